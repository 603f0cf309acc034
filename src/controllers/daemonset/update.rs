//! Replacing daemon pods of old templates, a few nodes at a time.
//!
//! Picture to hold in mind: changing light bulbs in a corridor: some may be dark at a time (maxUnavailable), or
//! a second bulb is screwed in beside the old one first (maxSurge).
//!
//! After `pkg/controller/daemon/update.go`.

use crate::api::{Text, Value, int_or_string, meta};
use crate::arrange::Arrange;
use crate::controllers::pods;
use crate::sim::Time;

use super::{Daemons, Plan};

fn scaled(set: &Value, field: &str, nodes: i64) -> i64 {
    if set.text("spec.updateStrategy.type") != "RollingUpdate" {
        return 0;
    }
    let value = set.at("spec.updateStrategy.rollingUpdate").at(field);
    int_or_string::scaled(value, nodes, true).unwrap_or(0)
}
pub(super) fn surge_count(set: &Value, nodes: i64) -> i64 {
    scaled(set, "maxSurge", nodes)
}

/// Of several pods that run on one node with surge, the oldest new and the oldest old one stay; the old one
/// goes when it is not ready, or the new one is available.
pub(super) fn prefer_new(daemons: &Daemons, running: Vec<Value>, now: Time, delete: &mut Vec<Value>) {
    if running.len() <= 1 {
        return;
    }
    let (mut new, mut old): (Option<Value>, Option<Value>) = (None, None);
    for pod in running {
        let is_new = meta::label(&pod, super::REVISION_HASH) == Some(&daemons.hash);
        let place = if is_new { &mut new } else { &mut old };
        if place.is_none() {
            *place = Some(pod);
        } else {
            delete.push(pod);
        }
    }
    if let (Some(new), Some(old)) = (new, old)
        && (!pods::is_ready(&old) || daemons.is_available(&new, now))
    {
        delete.push(old);
    }
}

/// `(new, old)` of a node; `None` where one of them is there twice.
fn pair<'a>(daemons: &Daemons, on_node: &'a [Value]) -> Option<(Option<&'a Value>, Option<&'a Value>)> {
    let (mut new, mut old) = (None, None);
    for pod in on_node.iter().filter(|pod| !meta::is_deleting(pod)) {
        let place = if daemons.is_updated(pod) { &mut new } else { &mut old };
        if place.replace(pod).is_some() {
            return None;
        }
    }
    Some((new, old))
}

/// The next step of a rolling update.
pub(super) fn plan(daemons: &Daemons, now: Time) -> Plan {
    let should_run = |name: &str| {
        let node = daemons.nodes.iter().find(|node| meta::name(node) == name);
        node.is_some_and(|node| daemons.placement.verdict(node).0)
    };
    let wanted: Vec<Text> = daemons
        .nodes
        .iter()
        .filter(|node| daemons.placement.verdict(node).0)
        .map(|node| node.shared_text("metadata.name"))
        .collect();
    let desired = wanted.len() as i64;
    let max_surge = surge_count(&daemons.set, desired);
    let mut max_unavailable = scaled(&daemons.set, "maxUnavailable", desired);
    if desired > 0 && max_surge == 0 && max_unavailable == 0 {
        max_unavailable = 1;
    }
    let mut names: Vec<Text> = daemons.pods.keys().cloned().chain(wanted).collect();
    names.arrange();
    names.dedup();
    let none = Vec::new();
    let nodes = names.iter().map(|name| (name, daemons.pods.get(name).unwrap_or(&none)));
    let available = |pod: &Value| daemons.is_available(pod, now);
    let mut plan = Plan::default();
    if max_surge == 0 {
        let mut unavailable = 0;
        let mut candidates: Vec<Value> = Vec::new();
        for (_, on_node) in nodes {
            match pair(daemons, on_node) {
                None | Some((None, None) | (Some(_), Some(_))) => unavailable += 1,
                Some((Some(new), None)) => unavailable += i64::from(!available(new)),
                // What does not work may go at once.
                Some((None, Some(old))) if !available(old) => {
                    plan.delete.push(old.clone());
                    unavailable += 1;
                }
                Some((None, Some(_))) if unavailable >= max_unavailable => {}
                Some((None, Some(old))) => candidates.push(old.clone()),
            }
        }
        let room = usize::try_from(max_unavailable - unavailable).unwrap_or(0);
        plan.delete.extend(candidates.into_iter().take(room));
        return plan;
    }
    let (mut surge, mut working) = (0, 0);
    let mut candidates: Vec<Text> = Vec::new();
    let mut misplaced: Vec<Value> = Vec::new();
    for (name, on_node) in nodes {
        let Some((new, old)) = pair(daemons, on_node) else {
            surge += 1;
            continue;
        };
        working += i64::from(old.or(new).is_some_and(available));
        let Some(old) = old else { continue };
        match new {
            Some(new) if available(new) => plan.delete.push(old.clone()),
            Some(_) => surge += 1,
            None => match (available(old), should_run(name)) {
                (false, false) => plan.delete.push(old.clone()),
                (false, true) => plan.create_on.push(name.clone()),
                (true, false) => misplaced.push(old.clone()),
                (true, true) if surge >= max_surge => {}
                (true, true) => candidates.push(name.clone()),
            },
        }
    }
    let spare = usize::try_from(working - desired).unwrap_or(0);
    plan.delete.extend(misplaced.into_iter().take(spare));
    let room = usize::try_from(max_surge - surge).unwrap_or(0);
    plan.create_on.extend(candidates.into_iter().take(room));
    plan
}
