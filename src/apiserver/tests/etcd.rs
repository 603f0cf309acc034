//! A stand-in for etcd: one process that answers at once and remembers everything.

use std::sync::Arc;

use crate::api::Text;
use crate::language::{Context, Input};
use crate::message::{Message, etcd};
use crate::sim::ActorId;
use crate::sorted::SortedMap;

#[derive(Clone, Default)]
pub struct TinyEtcd {
    pub revision: u64,
    pub keys: SortedMap<Text, Arc<etcd::KeyValue>>,
    history: Vec<etcd::WatchEvent>,
    watches: SortedMap<(ActorId, u64), (Text, Text)>,
    pub compacted: u64,
    pub requests: u64,
}

fn is_in(key: &str, (start, end): (&Text, &Text)) -> bool {
    if end.is_empty() { key == start.as_str() } else { start.as_str() <= key && key < end.as_str() }
}

impl TinyEtcd {
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        let Input::Message { from, message: Message::EtcdRequest(request) } = input else {
            // What is on the disk stays; connections do not.
            self.revision = self.revision.max(1);
            self.watches.clear();
            return;
        };
        self.requests += 1;
        let before = self.revision;
        let result = self.answer(from, &request);
        let response = etcd::Response {
            id: request.id,
            revision: self.revision,
            cluster: 1,
            member: 1,
            raft_term: 1,
            result,
        };
        context.send(from, Message::EtcdResponse(Arc::new(response)));
        match request.operation {
            etcd::Operation::Watch { ref key, ref range_end, start_revision, .. } => {
                self.watches.insert((from, request.id), (key.clone(), range_end.clone()));
                self.tell(|event| event.mod_revision >= start_revision && start_revision > 0, context);
            }
            etcd::Operation::Progress => {
                for (client, watch_id) in self.watches.keys() {
                    self.send(*client, *watch_id, Vec::new(), context);
                }
            }
            _ if self.revision > before => self.tell(|event| event.mod_revision > before, context),
            _ => {}
        }
    }
    fn send(&self, client: ActorId, watch_id: u64, events: Vec<etcd::WatchEvent>, context: &mut Context) {
        let response = etcd::WatchResponse { watch_id, revision: self.revision, events, compact_revision: 0 };
        context.send(client, Message::EtcdWatch(Arc::new(response)));
    }
    fn tell(&self, is_new: impl Fn(&etcd::WatchEvent) -> bool, context: &mut Context) {
        let first = self.history.iter().rposition(|event| !is_new(event)).map_or(0, |position| position + 1);
        for ((client, watch_id), (key, end)) in &self.watches {
            let events: Vec<_> =
                self.history[first..].iter().filter(|event| is_in(&event.key, (key, end))).cloned().collect();
            if !events.is_empty() {
                self.send(*client, *watch_id, events, context);
            }
        }
    }
    fn range(&self, range: &etcd::Range) -> etcd::RangeResult {
        let found: Vec<_> = if range.revision > 0 && range.revision < self.revision {
            let mut old: SortedMap<Text, Arc<etcd::KeyValue>> = SortedMap::new();
            for event in self.history.iter().filter(|event| event.mod_revision <= range.revision) {
                match &event.current {
                    Some(pair) => old.insert(event.key.clone(), pair.clone()),
                    None => old.remove(&event.key),
                };
            }
            old.into_values().collect()
        } else {
            self.keys.values().cloned().collect()
        };
        let mut pairs: Vec<_> =
            found.into_iter().filter(|pair| is_in(&pair.key, (&range.key, &range.range_end))).collect();
        let count = pairs.len() as u64;
        let limit = if range.limit == 0 { usize::MAX } else { range.limit as usize };
        let more = pairs.len() > limit;
        pairs.truncate(if range.count_only { 0 } else { limit });
        etcd::RangeResult { pairs, count, more }
    }
    fn answer(&mut self, from: ActorId, request: &etcd::Request) -> Result<etcd::Outcome, etcd::Error> {
        match &request.operation {
            etcd::Operation::Range(range) => {
                if range.revision > 0 && range.revision < self.compacted {
                    return Err(etcd::Error::Compacted { revision: self.compacted });
                }
                Ok(etcd::Outcome::Range(self.range(range)))
            }
            etcd::Operation::Txn(txn) => {
                let succeeded = txn.compare.iter().all(|compare| match compare {
                    etcd::Compare::ModRevision { key, revision } => {
                        self.keys.get(key).map_or(0, |pair| pair.mod_revision) == *revision
                    }
                    _ => false,
                });
                let changes = if succeeded { &txn.success } else { &txn.failure };
                let next = self.revision + 1;
                let mut results = Vec::new();
                for change in changes {
                    results.push(match change {
                        etcd::Change::Range(range) => etcd::ChangeResult::Range(self.range(range)),
                        etcd::Change::Put { key, value, lease } => {
                            let old = self.keys.get(key);
                            let pair = Arc::new(etcd::KeyValue {
                                key: key.clone(),
                                value: value.clone(),
                                create_revision: old.map_or(next, |old| old.create_revision),
                                mod_revision: next,
                                version: old.map_or(1, |old| old.version + 1),
                                lease: *lease,
                            });
                            self.revision = next;
                            self.keys.insert(key.clone(), pair.clone());
                            self.history.push(etcd::WatchEvent {
                                key: key.clone(),
                                mod_revision: next,
                                current: Some(pair),
                                previous: None,
                            });
                            etcd::ChangeResult::Put { previous: None }
                        }
                        etcd::Change::Update { .. } => unreachable!("Kubernetes never sends it"),
                        etcd::Change::Delete { key, .. } => {
                            let previous = self.keys.remove(key);
                            if previous.is_some() {
                                self.revision = next;
                                self.history.push(etcd::WatchEvent {
                                    key: key.clone(),
                                    mod_revision: next,
                                    current: None,
                                    previous: None,
                                });
                            }
                            etcd::ChangeResult::Delete {
                                deleted: u64::from(previous.is_some()),
                                previous: previous.into_iter().collect(),
                            }
                        }
                    });
                }
                Ok(etcd::Outcome::Txn { succeeded, results })
            }
            etcd::Operation::Watch { .. } => Ok(etcd::Outcome::WatchCreated),
            etcd::Operation::CancelWatch { watch_id } => {
                self.watches.remove(&(from, *watch_id));
                Ok(etcd::Outcome::Done)
            }
            etcd::Operation::LeaseGrant { lease, ttl_seconds } => {
                Ok(etcd::Outcome::Lease { lease: *lease, ttl_seconds: *ttl_seconds })
            }
            etcd::Operation::Compact { revision } => {
                self.compacted = *revision;
                Ok(etcd::Outcome::Compacted)
            }
            _ => Ok(etcd::Outcome::Done),
        }
    }
}
