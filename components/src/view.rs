//! What every panel looks at: the instant, its picture, the messages around it, and what is selected.
//!
//! Picture to hold in mind: one lectern with one open book. Stage, timeline and inspector read over the same
//! shoulder, so they always show the same instant.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use clusterarium::picture::{Detail, Flow, Picture, Sentence};
use clusterarium::playback::Speed;
use leptos::prelude::*;
use worker::protocol::{Frame, FromWorker, Query, ToWorker};

use crate::cluster::Cluster;
use crate::stage::Target;
use crate::stage::network::controls::{source, target as target_of};

/// Messages kept for drawing at most; older ones are asked for again after a seek.
const FLOWS: usize = 30_000;
/// Sentences of the story that are kept.
const STORY: usize = 400;
/// Of those about etcd's members.
const ETCD: usize = 12;

/// Copies are handles.
#[derive(Clone, Copy)]
pub struct View {
    pub picture: RwSignal<Arc<Picture>>,
    pub time_us: RwSignal<f64>,
    pub horizon_us: RwSignal<f64>,
    pub is_playing: RwSignal<bool>,
    pub speed: RwSignal<Speed>,
    /// How fast time passes at this moment, in thousandths of real time.
    pub pace_per_mille: RwSignal<u64>,
    pub selected: RwSignal<Option<Target>>,
    pub detail: RwSignal<Option<Arc<Detail>>>,
    pub branches: RwSignal<Vec<u64>>,
    /// Bumped when the messages changed.
    pub revision: RwSignal<u64>,
    /// What happened up to now, in sentences, oldest first.
    pub story: RwSignal<Vec<Sentence>>,
    /// What etcd's members did last among themselves, oldest first.
    pub etcd: RwSignal<Vec<Sentence>>,
    flows: StoredValue<Rc<RefCell<Vec<Flow>>>, LocalStorage>,
    cluster: Cluster,
}

impl View {
    pub fn new(cluster: Cluster) -> View {
        let view = View {
            picture: RwSignal::new(Arc::default()),
            time_us: RwSignal::new(0.0),
            horizon_us: RwSignal::new(0.0),
            is_playing: RwSignal::new(true),
            speed: RwSignal::new(Speed::Auto),
            pace_per_mille: RwSignal::new(0),
            selected: RwSignal::new(None),
            detail: RwSignal::new(None),
            branches: RwSignal::new(Vec::new()),
            revision: RwSignal::new(0),
            story: RwSignal::new(Vec::new()),
            etcd: RwSignal::new(Vec::new()),
            flows: StoredValue::new_local(Rc::default()),
            cluster,
        };
        cluster.listen(move |slip| match slip {
            FromWorker::Frame(frame) => view.show(frame),
            FromWorker::Detail(detail) => view.detail.set(detail.clone().map(|detail| Arc::new(*detail))),
            _ => {}
        });
        Effect::new(move |_| {
            let query = view.selected.get().map(|target| query_of(&target));
            if query.is_none() {
                view.detail.set(None);
            }
            cluster.send(&ToWorker::Inspect(query));
        });
        view
    }

    fn show(&self, frame: &Frame) {
        if let Some(picture) = &frame.picture {
            self.picture.set(Arc::new(picture.clone()));
        }
        let flows = self.flows.get_value();
        {
            let mut flows = flows.borrow_mut();
            if frame.is_jump {
                flows.clear();
            }
            for flow in &frame.flows {
                // What is told of again fares otherwise than it set out to.
                if flows.last().is_none_or(|last| last.id < flow.id) {
                    flows.push(flow.clone());
                } else if let Ok(place) = flows.binary_search_by_key(&flow.id, |flow| flow.id) {
                    flows[place] = flow.clone();
                }
            }
            if flows.len() > FLOWS {
                let gone = flows.len() - FLOWS;
                flows.drain(..gone);
            }
        }
        if frame.is_jump || !frame.flows.is_empty() {
            self.revision.update(|revision| *revision += 1);
        }
        for (kept, new, most) in [(self.story, &frame.story, STORY), (self.etcd, &frame.etcd, ETCD)] {
            if frame.is_jump || !new.is_empty() {
                kept.update(|kept| {
                    if frame.is_jump {
                        kept.clear();
                    }
                    for sentence in new {
                        // Who asks in vain asks again and again: of etcd's members nothing is told twice.
                        if most > ETCD || kept.iter().all(|one| one.text != sentence.text) {
                            kept.push(sentence.clone());
                        }
                    }
                    let gone = kept.len().saturating_sub(most);
                    kept.drain(..gone);
                });
            }
        }
        self.time_us.set(frame.time_us as f64);
        if self.horizon_us.get_untracked() != frame.horizon_us as f64 {
            self.horizon_us.set(frame.horizon_us as f64);
        }
        if self.is_playing.get_untracked() != frame.is_playing {
            self.is_playing.set(frame.is_playing);
        }
        if self.speed.get_untracked() != frame.speed {
            self.speed.set(frame.speed);
        }
        if self.pace_per_mille.get_untracked() != frame.pace_per_mille {
            self.pace_per_mille.set(frame.pace_per_mille);
        }
        if self.branches.get_untracked() != frame.branches {
            self.branches.set(frame.branches.clone());
        }
    }

    /// Reads the messages, oldest first.
    pub fn with_flows<R>(&self, read: impl FnOnce(&[Flow]) -> R) -> R {
        self.flows.with_value(|flows| read(&flows.borrow()))
    }
    pub fn send(&self, slip: ToWorker) {
        self.cluster.send(&slip);
    }
    pub fn play(&self, is_playing: bool) {
        self.is_playing.set(is_playing);
        self.send(ToWorker::Play(is_playing));
    }
    pub fn seek(&self, time_us: f64) {
        self.send(ToWorker::Seek { time_us: time_us.max(0.0) as u64 });
    }
    pub fn set_speed(&self, speed: Speed) {
        self.speed.set(speed);
        self.send(ToWorker::Speed(speed));
    }
    /// Stops the time while the message `id` is under way, so that something can be done to it; it may have arrived since
    /// it was last drawn.
    pub fn hold(&self, id: u64) {
        self.play(false);
        // What passes until the cluster hears of it, in microseconds: two frames.
        let margin = 40.0 * self.pace_per_mille.get_untracked() as f64;
        let flight = self.with_flows(|flows| {
            let flow = flows.iter().rev().find(|flow| flow.id == id)?;
            Some((flow.sent_us as f64, flow.arrives_us? as f64))
        });
        if let Some((sent, arrives)) = flight
            && self.time_us.get_untracked() + margin >= arrives
        {
            self.seek((sent + arrives) / 2.0);
        }
    }
    pub fn select(&self, target: Option<Target>) {
        if self.selected.get_untracked() != target {
            self.selected.set(target);
        }
    }
}

fn query_of(target: &Target) -> Query {
    match target.clone() {
        Target::Component(name) => Query::Component { name },
        Target::Host(name) => Query::Host { name },
        Target::Pod(namespace, name) => Query::Pod { namespace, name },
        Target::Container(namespace, pod, container) => Query::Container { namespace, pod, container },
        Target::Message(record) => Query::Message { record },
        Target::Packet(packet) => Query::Packet {
            from: source(&packet.from),
            to: target_of(&packet.to),
            port: 0,
            protocol: "TCP".to_string(),
            number: packet.number,
        },
        Target::Load => Query::Load,
        Target::Link(a, b) => Query::Link { a, b },
        Target::Entry(member, index) => Query::EtcdEntry { member, index },
        Target::Key(key) => Query::EtcdKey { key },
        Target::Keys(prefix, from) => Query::EtcdKeys { prefix, from },
    }
}

/// What a card refers to, where it can be selected.
pub fn target_asked(query: &Query) -> Option<Target> {
    Some(match query.clone() {
        Query::Host { name } => Target::Host(name),
        Query::Pod { namespace, name } => Target::Pod(namespace, name),
        Query::EtcdEntry { member, index } => Target::Entry(member, index),
        Query::EtcdKey { key } => Target::Key(key),
        Query::EtcdKeys { prefix, from } => Target::Keys(prefix, from),
        Query::Message { record } => Target::Message(record),
        Query::Component { name } => Target::Component(name),
        _ => return None,
    })
}
