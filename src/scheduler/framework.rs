//! The scheduling framework: what a plugin is asked, and what it may answer.
//!
//! Picture to hold in mind: a hiring committee. Each member first looks at the application alone and may say
//! "not my business" (skip) or "hopeless" (reject); then every member looks at each place; those places that
//! nobody objects to get marks, which are weighted and added up.
//!
//! After `k8s.io/kube-scheduler/framework` and `framework/runtime`. A plugin's state for one pod is the object
//! that it returns from `pre_filter` or `pre_score`, so plugins themselves hold nothing.

use std::sync::Arc;

use crate::api::{Map, Text, Value};
use crate::client::Store;

use super::cache::Cache;
use super::node_info::{NodeFacts, NodeInfo};
use super::pod_info::{MapHere, PodInfo};

pub const MAX_NODE_SCORE: i64 = 100;

/// Why a node (or a pod, everywhere) is turned down.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    pub plugin: &'static str,
    pub reasons: Vec<Text>,
    /// No removal of other pods would help.
    pub is_unresolvable: bool,
}

impl Rejection {
    pub fn unschedulable(plugin: &'static str, reason: Text) -> Rejection {
        Rejection { plugin, reasons: vec![reason], is_unresolvable: false }
    }
    pub fn unresolvable(plugin: &'static str, reason: Text) -> Rejection {
        Rejection { plugin, reasons: vec![reason], is_unresolvable: true }
    }
}

/// The world as it stands for one scheduling cycle.
pub struct View<'a> {
    pub cache: &'a Cache,
    pub stores: &'a [Store],
    pub informers: &'a Lists,
}

/// The numbers of the scheduler's informers.
#[derive(Clone, Default)]
pub struct Lists {
    pub pods: usize,
    pub nodes: usize,
    pub namespaces: usize,
    pub services: usize,
    pub replication_controllers: usize,
    pub replica_sets: usize,
    pub stateful_sets: usize,
    pub claims: usize,
    pub volumes: usize,
    pub storage_classes: usize,
    pub disruption_budgets: usize,
}

impl<'a> View<'a> {
    pub fn nodes(&self) -> &'a [Arc<NodeInfo>] {
        self.cache.nodes()
    }
    pub fn store(&self, informer: usize) -> &'a Store {
        &self.stores[informer]
    }
    pub fn namespace_labels(&self, namespace: &str) -> &'a Map {
        static NOWHERE: Value = Value::Null;
        self.store(self.informers.namespaces)
            .get(namespace)
            .map_or(&NOWHERE, |namespace| namespace.at("metadata.labels"))
            .map_here()
    }
}

/// What a plugin says to a pod before it sees nodes.
pub enum PreFilter<'a> {
    /// Has no objection to any node.
    Skip,
    /// No node will do.
    Reject(Rejection),
    Filter(Box<dyn Filter<'a> + 'a>),
    /// As `Filter`, and only these nodes are worth a look.
    Only(Vec<Text>, Box<dyn Filter<'a> + 'a>),
}

/// A plugin's objections to nodes, for one pod.
pub trait Filter<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection>;
    /// Reckons with `pod` as if it were on `node`.
    fn add_pod(&mut self, _pod: &PodInfo, _node: &NodeInfo) {}
    /// Reckons with `pod` as if it were gone from `node`.
    fn remove_pod(&mut self, _pod: &PodInfo, _node: &NodeInfo) {}
    fn copy(&self) -> Box<dyn Filter<'a> + 'a>;
}

/// A plugin's marks for nodes, for one pod.
pub trait Score {
    fn score(&self, node: &NodeInfo) -> i64;
    /// Brings raw marks into 0 to 100.
    fn normalize(&self, _nodes: &[&NodeInfo], _scores: &mut [i64]) {}
}

/// Something happened that may make room for a pod that found none.
pub enum Event<'a> {
    NodeAdded(&'a NodeInfo),
    NodeUpdated {
        old: &'a NodeFacts,
        new: &'a NodeInfo,
    },
    NodeDeleted,
    /// A pod with a node came, or was bound.
    PodAdded(&'a PodInfo),
    PodUpdated {
        old: &'a PodInfo,
        new: &'a PodInfo,
    },
    PodDeleted(&'a PodInfo),
    /// A claim, volume or storage class changed.
    Volumes,
}

pub trait Plugin: Sync {
    fn name(&self) -> &'static str;
    /// What its marks count.
    fn weight(&self) -> i64 {
        0
    }
    fn pre_filter<'a>(&self, _pod: &'a PodInfo, _view: &'a View<'a>) -> PreFilter<'a> {
        PreFilter::Skip
    }
    /// `None`: it gives no marks to this pod.
    fn pre_score<'a>(
        &self,
        _pod: &'a PodInfo,
        _view: &'a View<'a>,
        _nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        None
    }
    /// Whether `event` may let in a pod that this plugin had turned down (its queueing hint).
    fn may_help(&self, _pod: &PodInfo, _event: &Event) -> bool {
        false
    }
}

/// Brings marks into 0 to 100 in proportion to the highest (`DefaultNormalizeScore`).
pub fn normalize_by_highest(scores: &mut [i64], reverse: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let share = if highest == 0 { 0 } else { MAX_NODE_SCORE * *score / highest };
        *score = if reverse { MAX_NODE_SCORE - share } else { share };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_in_proportion() {
        for (scores, reverse, expected) in [
            (vec![1, 2, 4], false, vec![25, 50, 100]),
            (vec![1, 2, 4], true, vec![75, 50, 0]),
            (vec![0, 0], false, vec![0, 0]),
            (vec![0, 0], true, vec![100, 100]),
        ] {
            let mut normalized = scores.clone();
            normalize_by_highest(&mut normalized, reverse);
            assert_eq!(normalized, expected);
        }
    }
}
