//! PodTopologySpread: pods of one kind evenly over zones, hosts or whatever a label names.
//!
//! Picture to hold in mind: dealing cards: nobody gets a third before everybody has a first (hard), or at least
//! one tries (soft).

use std::cell::Cell;

use arcstr::literal;

use crate::api::scheduling::{Effect, untolerated};
use crate::api::selector::{LabelSelector, Operator, Requirement};
use crate::api::{Text, Value, meta};
use crate::scheduler::cache::Cache;
use crate::scheduler::framework::{Event, Filter, MAX_NODE_SCORE, Plugin, PreFilter, Rejection, Score, View};
use crate::scheduler::node_info::{NodeFacts, NodeInfo};
use crate::scheduler::pod_info::PodInfo;
use crate::sorted::SortedMap;

pub struct PodTopologySpread;

const NAME: &str = "PodTopologySpread";
const HOSTNAME: &str = "kubernetes.io/hostname";
/// What holds for pods that say nothing: `(topology, skew)`, softly.
const SYSTEM_DEFAULTS: [(&str, i64); 2] = [(HOSTNAME, 3), ("topology.kubernetes.io/zone", 5)];

#[derive(Clone)]
struct Constraint {
    max_skew: i64,
    topology_key: Text,
    selector: LabelSelector,
    min_domains: i64,
    honors_affinity: bool,
    honors_taints: bool,
}

impl Constraint {
    fn parse(constraint: &Value, pod: &PodInfo) -> Constraint {
        let mut selector = LabelSelector::from_value(constraint.at("labelSelector"))
            .unwrap_or_else(|_| LabelSelector::nothing());
        let mut requirements = selector.requirements().to_vec();
        for key in constraint.items("matchLabelKeys").iter().filter_map(Value::as_str) {
            if let Some(value) = meta::label(&pod.pod, key) {
                let values = vec![Text::from(value)];
                requirements.push(Requirement { key: key.into(), operator: Operator::In, values });
            }
        }
        if requirements.len() > selector.requirements().len() {
            selector = LabelSelector::new(requirements);
        }
        Constraint {
            max_skew: constraint.integer("maxSkew").unwrap_or(1),
            topology_key: constraint.shared_text("topologyKey"),
            selector,
            min_domains: constraint.integer("minDomains").unwrap_or(1),
            honors_affinity: constraint.text("nodeAffinityPolicy") != "Ignore",
            honors_taints: constraint.text("nodeTaintsPolicy") == "Honor",
        }
    }
    /// Whether `node` counts at all.
    fn includes(&self, pod: &PodInfo, facts: &NodeFacts) -> bool {
        (!self.honors_affinity || pod.node_affinity.matches(&facts.name, facts.labels()))
            && (!self.honors_taints
                || untolerated(&facts.taints, &pod.tolerations, Effect::is_hard).is_none())
    }
}

fn of_spec(pod: &PodInfo, action: &str) -> Vec<Constraint> {
    pod.pod
        .items("spec.topologySpreadConstraints")
        .iter()
        .filter(|constraint| constraint.text("whenUnsatisfiable") == action)
        .map(|constraint| Constraint::parse(constraint, pod))
        .collect()
}

/// What pods are "of one kind" with `pod` for want of its own word: those of its services and of its owner
/// (`helper.DefaultSelector`).
fn default_selector(pod: &PodInfo, view: &View) -> LabelSelector {
    let mut requirements: Vec<Requirement> = Vec::new();
    let mut add_labels = |labels: &crate::api::Map| {
        for requirement in LabelSelector::from_map(labels).requirements() {
            requirements.retain(|known| known.key != requirement.key);
            requirements.push(requirement.clone());
        }
    };
    for service in view.store(view.informers.services).in_namespace(&pod.namespace) {
        let labels = service.map("spec.selector");
        if !labels.is_empty() && LabelSelector::from_map(labels).matches(pod.labels()) {
            add_labels(labels);
        }
    }
    if let Some(owner) = meta::controller_of(&pod.pod) {
        let list = match owner.text("kind") {
            "ReplicaSet" => Some(view.informers.replica_sets),
            "StatefulSet" => Some(view.informers.stateful_sets),
            "ReplicationController" => Some(view.informers.replication_controllers),
            _ => None,
        };
        let found = list.and_then(|list| view.store(list).get_by_name(&pod.namespace, owner.text("name")));
        if let Some(found) = found {
            if owner.text("kind") == "ReplicationController" {
                add_labels(found.map("spec.selector"));
            } else if let Ok(selector) = LabelSelector::from_value(found.at("spec.selector")) {
                requirements.extend(selector.requirements().iter().cloned());
            }
        }
    }
    LabelSelector::new(requirements)
}

/// Which label groups a constraint means, found out once for each.
#[derive(Clone)]
struct Matches {
    known: Vec<Cell<u8>>,
}

impl Matches {
    fn new(cache: &Cache) -> Matches {
        Matches { known: vec![Cell::new(0); cache.groups().len()] }
    }
    /// Pods on `node` that `constraint` means and that are not being deleted.
    fn count(&self, node: &NodeInfo, constraint: &Constraint, namespace: &str, cache: &Cache) -> i64 {
        if constraint.selector.is_empty() {
            return 0;
        }
        let is_meant = |group: u32| {
            let Some(cell) = self.known.get(group as usize) else { return false };
            if cell.get() == 0 {
                let group = &cache.groups()[group as usize];
                let meant = group.namespace == namespace && constraint.selector.matches(group.labels());
                cell.set(1 + u8::from(meant));
            }
            cell.get() == 2
        };
        node.groups.iter().filter(|(group, _)| is_meant(*group)).map(|(_, count)| i64::from(*count)).sum()
    }
}

fn has_all_labels(facts: &NodeFacts, constraints: &[Constraint]) -> bool {
    constraints.iter().all(|constraint| facts.label(&constraint.topology_key).is_some())
}

/// The hard constraints with what is counted in each domain.
#[derive(Clone)]
struct Spread<'a> {
    pod: &'a PodInfo,
    domains: Vec<Domains>,
}

#[derive(Clone)]
struct Domains {
    constraint: Constraint,
    counts: SortedMap<Text, i64>,
    lowest: i64,
    matches_itself: bool,
}

impl Domains {
    fn settle(&mut self) {
        self.lowest = if (self.counts.len() as i64) < self.constraint.min_domains {
            0
        } else {
            self.counts.values().copied().min().unwrap_or(i64::from(i32::MAX))
        };
    }
}

impl Spread<'_> {
    fn change(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        if other.namespace != self.pod.namespace {
            return;
        }
        if self.domains.iter().any(|domains| node.facts.label(&domains.constraint.topology_key).is_none()) {
            return;
        }
        for domains in &mut self.domains {
            let constraint = &domains.constraint;
            if constraint.selector.matches(other.labels()) && constraint.includes(self.pod, &node.facts) {
                let value = node.facts.label(&constraint.topology_key).unwrap_or("");
                *domains.counts.entry(value.into()).or_default() += by;
                domains.settle();
            }
        }
    }
}

impl<'a> Filter<'a> for Spread<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        for domains in &self.domains {
            let Some(value) = node.facts.label(&domains.constraint.topology_key) else {
                let reason =
                    literal!("node(s) didn't match pod topology spread constraints (missing required label)");
                return Err(Rejection::unresolvable(NAME, reason));
            };
            let here = domains.counts.get(value).copied().unwrap_or(0);
            let skew = here + i64::from(domains.matches_itself) - domains.lowest;
            if skew > domains.constraint.max_skew {
                let reason = literal!("node(s) didn't match pod topology spread constraints");
                return Err(Rejection::unschedulable(NAME, reason));
            }
        }
        Ok(())
    }
    fn add_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.change(pod, node, 1);
    }
    fn remove_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.change(pod, node, -1);
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

/// The soft constraints, each with what is counted in each domain and what a domain weighs.
struct SoftSpread<'a> {
    pod: &'a PodInfo,
    cache: &'a Cache,
    constraints: Vec<SoftConstraint>,
    requires_all: bool,
}

struct SoftConstraint {
    constraint: Constraint,
    matches: Matches,
    counts: SortedMap<Text, i64>,
    /// ln(domains + 2), in 2^-32.
    weight: i64,
}

/// The natural logarithm of `number`, in 2^-32: in whole numbers, so that every target agrees.
fn natural_logarithm(number: u64) -> i64 {
    const LN_2: u128 = 2_977_044_472;
    let number = number.max(1);
    let whole = number.ilog2();
    let mut mantissa = u128::from(number) << (63 - whole);
    let mut fraction: u64 = 0;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >= 1 << 64 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    let log_2 = (u128::from(whole) << 32) | u128::from(fraction);
    ((log_2 * LN_2) >> 32) as i64
}

impl SoftSpread<'_> {
    fn is_ignored(&self, node: &NodeInfo) -> bool {
        self.requires_all
            && self.constraints.iter().any(|soft| node.facts.label(&soft.constraint.topology_key).is_none())
    }
}

impl Score for SoftSpread<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        if self.is_ignored(node) {
            return 0;
        }
        let mut score: i128 = 0;
        for soft in &self.constraints {
            let constraint = &soft.constraint;
            let Some(value) = node.facts.label(&constraint.topology_key) else { continue };
            let count = if constraint.topology_key == HOSTNAME {
                soft.matches.count(node, constraint, &self.pod.namespace, self.cache)
            } else {
                soft.counts.get(value).copied().unwrap_or(0)
            };
            score +=
                i128::from(count) * i128::from(soft.weight) + (i128::from(constraint.max_skew - 1) << 32);
        }
        ((score + (1 << 31)) >> 32) as i64
    }
    fn normalize(&self, nodes: &[&NodeInfo], scores: &mut [i64]) {
        let (mut lowest, mut highest) = (i64::MAX, 0);
        for (node, score) in nodes.iter().zip(scores.iter()) {
            if !self.is_ignored(node) {
                lowest = lowest.min(*score);
                highest = highest.max(*score);
            }
        }
        for (node, score) in nodes.iter().zip(scores.iter_mut()) {
            *score = if self.is_ignored(node) {
                0
            } else if highest == 0 {
                MAX_NODE_SCORE
            } else {
                MAX_NODE_SCORE * (highest + lowest - *score) / highest
            };
        }
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }
    fn weight(&self) -> i64 {
        2
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, view: &'a View<'a>) -> PreFilter<'a> {
        let constraints = of_spec(pod, "DoNotSchedule");
        if constraints.is_empty() {
            return PreFilter::Skip;
        }
        let matches: Vec<Matches> = constraints.iter().map(|_| Matches::new(view.cache)).collect();
        let mut counts: Vec<SortedMap<Text, i64>> = vec![SortedMap::new(); constraints.len()];
        for node in view.nodes() {
            if !has_all_labels(&node.facts, &constraints) {
                continue;
            }
            for (index, constraint) in constraints.iter().enumerate() {
                if constraint.includes(pod, &node.facts) {
                    let value = node.facts.label(&constraint.topology_key).unwrap_or("");
                    let count = matches[index].count(node, constraint, &pod.namespace, view.cache);
                    *counts[index].entry(value.into()).or_default() += count;
                }
            }
        }
        let domains = constraints
            .into_iter()
            .zip(counts)
            .map(|(constraint, counts)| {
                let matches_itself = constraint.selector.matches(pod.labels());
                let mut domains = Domains { constraint, counts, lowest: 0, matches_itself };
                domains.settle();
                domains
            })
            .collect();
        PreFilter::Filter(Box::new(Spread { pod, domains }))
    }
    fn pre_score<'a>(
        &self,
        pod: &'a PodInfo,
        view: &'a View<'a>,
        nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let requires_all = !pod.pod.items("spec.topologySpreadConstraints").is_empty();
        let constraints = if requires_all {
            of_spec(pod, "ScheduleAnyway")
        } else {
            let selector = default_selector(pod, view);
            if selector.is_empty() {
                return None;
            }
            SYSTEM_DEFAULTS
                .iter()
                .map(|(key, max_skew)| Constraint {
                    max_skew: *max_skew,
                    topology_key: (*key).into(),
                    selector: selector.clone(),
                    min_domains: 1,
                    honors_affinity: true,
                    honors_taints: false,
                })
                .collect()
        };
        if constraints.is_empty() {
            return None;
        }
        let mut counts: Vec<SortedMap<Text, i64>> = vec![SortedMap::new(); constraints.len()];
        let mut counted_nodes = 0;
        for node in nodes {
            if requires_all && !has_all_labels(&node.facts, &constraints) {
                continue;
            }
            counted_nodes += 1;
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if constraint.topology_key != HOSTNAME {
                    let value = node.facts.label(&constraint.topology_key).unwrap_or("");
                    if !counts.contains_key(value) {
                        counts.insert(value.into(), 0);
                    }
                }
            }
        }
        let mut soft = SoftSpread { pod, cache: view.cache, constraints: Vec::new(), requires_all };
        for (index, constraint) in constraints.iter().enumerate() {
            let is_hostname = constraint.topology_key == HOSTNAME;
            let domains = if is_hostname { counted_nodes } else { counts[index].len() };
            let matches = Matches::new(view.cache);
            let mut counts = std::mem::take(&mut counts[index]);
            if !is_hostname {
                for node in view.nodes() {
                    let Some(value) = node.facts.label(&constraint.topology_key) else { continue };
                    if requires_all && !has_all_labels(&node.facts, &constraints) {
                        continue;
                    }
                    let Some(count) = counts.get_mut(value) else { continue };
                    if constraint.includes(pod, &node.facts) {
                        *count += matches.count(node, constraint, &pod.namespace, view.cache);
                    }
                }
            }
            let weight = natural_logarithm(domains as u64 + 2);
            soft.constraints.push(SoftConstraint { constraint: constraint.clone(), matches, counts, weight });
        }
        Some(Box::new(soft))
    }
    fn may_help(&self, pod: &PodInfo, event: &Event) -> bool {
        let constraints = of_spec(pod, "DoNotSchedule");
        let is_meant = |other: &PodInfo| {
            other.namespace == pod.namespace
                && constraints.iter().any(|constraint| constraint.selector.matches(other.labels()))
        };
        match event {
            Event::PodAdded(other) | Event::PodDeleted(other) => is_meant(other),
            Event::PodUpdated { old, new } => is_meant(old) != is_meant(new),
            Event::NodeAdded(node) => has_all_labels(&node.facts, &constraints),
            Event::NodeUpdated { old, new } => {
                let (was, is) = (has_all_labels(old, &constraints), has_all_labels(&new.facts, &constraints));
                let moved = constraints.iter().any(|constraint| {
                    old.label(&constraint.topology_key) != new.facts.label(&constraint.topology_key)
                });
                was != is || (is && (moved || old.taints != new.facts.taints))
            }
            Event::NodeDeleted => true,
            Event::Volumes => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::natural_logarithm;

    #[test]
    fn logarithms_agree_with_the_tables() {
        for (number, expected) in [(3_u64, 1.098_612_29), (12, 2.484_906_65), (5002, 8.517_593_11)] {
            let found = natural_logarithm(number) as f64 / 4_294_967_296.0;
            assert!((found - expected).abs() < 1e-7, "ln {number} = {found}");
        }
    }
}
