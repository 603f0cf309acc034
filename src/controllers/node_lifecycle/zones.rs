//! How many nodes of a zone may be given up, and how fast.
//!
//! Picture to hold in mind: a fire brigade that sees one house burn: it comes at once. It sees the whole
//! quarter burn: it doubts its eyes and comes slowly. It sees the whole city burn: it cleans its glasses.

use crate::api::{Text, Value, meta};
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

/// One node each ten seconds (`--node-eviction-rate` 0.1), each hundred in a disrupted zone (0.01).
const NORMAL_INTERVAL: Duration = Duration::from_secs(10);
const REDUCED_INTERVAL: Duration = Duration::from_secs(100);
/// In zones of at most so many nodes a partial disruption stops evictions altogether.
const LARGE_ZONE: usize = 50;
/// From this share of nodes not ready, in percent, and from three nodes, a zone is disrupted.
const UNHEALTHY_PERCENT: usize = 55;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Normal,
    Partial,
    Full,
}

#[derive(Clone, Default)]
pub struct Zones {
    zones: SortedMap<Text, Zone>,
    all_are_down: bool,
}

#[derive(Clone)]
struct Zone {
    state: State,
    size: usize,
    /// From when on the next node may be given up.
    next: Time,
}

/// `region:zone`, empty where the node says neither.
fn zone_of(node: &Value) -> Text {
    let region = meta::label(node, "topology.kubernetes.io/region").unwrap_or("");
    let zone = meta::label(node, "topology.kubernetes.io/zone").unwrap_or("");
    arcstr::format!("{region}:{zone}")
}

impl Zones {
    /// Looks at all nodes. True when all zones have just come back from being down.
    pub fn assess<'a>(&mut self, nodes: impl Iterator<Item = &'a Value>) -> bool {
        let mut counts: SortedMap<Text, (usize, usize)> = SortedMap::new();
        for node in nodes {
            if meta::label(node, "node.kubernetes.io/exclude-disruption").is_some() {
                continue;
            }
            let (ready, dark) = counts.entry(zone_of(node)).or_default();
            *if meta::is_condition_true(node, "Ready") { ready } else { dark } += 1;
        }
        self.zones.retain(|name, _| counts.contains_key(name));
        for (name, (ready, dark)) in &counts {
            let state = if *ready == 0 && *dark > 0 {
                State::Full
            } else if *dark > 2 && dark * 100 >= UNHEALTHY_PERCENT * (ready + dark) {
                State::Partial
            } else {
                State::Normal
            };
            let zone = self.zones.entry(name.clone()).or_insert(Zone { state, size: 0, next: Time::ZERO });
            zone.state = state;
            zone.size = ready + dark;
        }
        let were_down = self.all_are_down;
        self.all_are_down =
            !self.zones.is_empty() && self.zones.values().all(|zone| zone.state == State::Full);
        were_down && !self.all_are_down
    }
    /// Every zone is down: then it is rather this side that hears nothing.
    pub fn all_are_down(&self) -> bool {
        self.all_are_down
    }
    /// Leave to give up `node`: after how long, `None`: not now.
    pub fn leave(&mut self, node: &Value, now: Time) -> Option<Duration> {
        if self.all_are_down {
            return None;
        }
        let zone = self.zones.entry(zone_of(node)).or_insert(Zone {
            state: State::Normal,
            size: 1,
            next: Time::ZERO,
        });
        let interval = match zone.state {
            // A zone that is down all over is given up at the normal pace: its pods have other places to go.
            State::Normal | State::Full => NORMAL_INTERVAL,
            State::Partial if zone.size > LARGE_ZONE => REDUCED_INTERVAL,
            State::Partial => return None,
        };
        if zone.next > now {
            return None;
        }
        zone.next = now + interval;
        Some(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    fn nodes(zone: &str, ready: usize, dark: usize) -> Vec<Value> {
        let node = |status: &str| {
            object! {
                "metadata" => object! { "labels" => object! { "topology.kubernetes.io/zone" => zone } },
                "status" => object! {
                    "conditions" => array![object! { "type" => "Ready", "status" => status }],
                },
            }
        };
        std::iter::repeat_n(node("True"), ready).chain(std::iter::repeat_n(node("Unknown"), dark)).collect()
    }

    #[test]
    fn the_more_fall_silent_the_slower_they_are_given_up() {
        // (nodes, nodes of the first zone that may be given up within 20 s)
        for (all, expected) in [
            (nodes("a", 3, 1), 3),
            ([nodes("a", 0, 2), nodes("b", 1, 0)].concat(), 3),
            ([nodes("a", 2, 3), nodes("b", 1, 0)].concat(), 0),
            ([nodes("a", 20, 40), nodes("b", 1, 0)].concat(), 1),
            ([nodes("a", 0, 2), nodes("b", 0, 1)].concat(), 0),
        ] {
            let mut zones = Zones::default();
            zones.assess(all.iter());
            let given_up =
                (100..=120).filter(|second| zones.leave(&all[0], Time::from_secs(*second)).is_some()).count();
            assert_eq!(given_up, expected);
        }
    }
}
