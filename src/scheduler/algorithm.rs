//! One scheduling cycle: which nodes could take the pod, which of them is liked best, and why.
//!
//! Picture to hold in mind: a casting: everybody who cannot play the part goes, those who stay get marks, and
//! of the best one is drawn by lot.
//!
//! After `schedule_one.go`. The outcome is kept in full for small clusters: it answers *Why this node?* and
//! *Why Pending?*.

use crate::api::{Text, Value};
use crate::arrange::{Arrange, Gather};
use crate::object;
use crate::sim::Random;
use crate::sorted::{SortedMap, SortedSet};

use super::framework::{Filter, Plugin, PreFilter, Rejection, Score, View};
use super::node_info::NodeInfo;
use super::plugins::PLUGINS;
use super::pod_info::PodInfo;

/// At least so many nodes are tried, and at least so much of all.
const MIN_FEASIBLE_NODES: usize = 100;
const MIN_FEASIBLE_PERCENT: usize = 5;
/// Rows of an outcome that are shown of each kind where there are more than `ALL_ROWS` nodes.
const SOME_ROWS: usize = 10;
const ALL_ROWS: usize = 100;

/// The objections that one pod has raised, and what came of them.
pub struct Filters<'a> {
    pub filters: Vec<Box<dyn Filter<'a> + 'a>>,
}

impl Filters<'_> {
    pub fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        self.filters.iter().try_for_each(|filter| filter.check(node))
    }
}

impl<'a> Filters<'a> {
    pub fn copy(&self) -> Filters<'a> {
        Filters { filters: self.filters.iter().map(|filter| filter.copy()).collect() }
    }
    pub fn add_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        for filter in &mut self.filters {
            filter.add_pod(pod, node);
        }
    }
    pub fn remove_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        for filter in &mut self.filters {
            filter.remove_pod(pod, node);
        }
    }
}

/// Pods that have been promised room on a node by preemption.
pub type Nominations = SortedMap<Text, Vec<std::sync::Arc<PodInfo>>>;

/// How a cycle ended.
pub struct Cycle<'a> {
    pub result: Result<Text, Failure<'a>>,
    pub outcome: Outcome,
    /// Nodes that were looked at.
    pub evaluated: usize,
}

/// No node will do.
pub struct Failure<'a> {
    /// `None` where no plugin got as far as looking at nodes.
    pub filters: Option<Filters<'a>>,
    /// Of each node that was looked at.
    pub rejections: Vec<(Text, Rejection)>,
    pub message: Text,
    pub rejectors: Vec<&'static str>,
}

/// What is shown of a cycle: a row a node.
#[derive(Clone, Default)]
pub struct Outcome {
    /// `name`, scores of plugins (weighted) in the order of `PLUGINS`, their sum.
    scored: Vec<(Text, Vec<Option<i64>>, i64)>,
    rejected: Vec<(Text, &'static str, Text)>,
    evaluated: usize,
    all: usize,
    /// The node chosen; empty: none.
    pub node: Text,
    /// Why there is none.
    pub message: Text,
}

impl Outcome {
    /// As data for the picture.
    pub fn to_value(&self) -> Value {
        let mut rows: Vec<Value> = Vec::new();
        for (name, scores, total) in &self.scored {
            let by_plugin: Value = PLUGINS
                .iter()
                .zip(scores)
                .filter_map(|(plugin, score)| {
                    Some((crate::api::value::name(plugin.name()), Value::from((*score)?)))
                })
                .collect::<crate::api::Map>()
                .into();
            rows.push(object! { "node" => name, "scores" => by_plugin, "total" => *total });
        }
        for (name, plugin, reasons) in &self.rejected {
            rows.push(object! { "node" => name, "plugin" => *plugin, "reason" => reasons });
        }
        object! {
            "node" => &self.node,
            "message" => &self.message,
            "rows" => rows,
            "evaluated" => self.evaluated,
            "nodes" => self.all,
        }
    }
}

/// How many feasible nodes are enough (`numFeasibleNodesToFind`).
pub fn enough_nodes(all: usize) -> usize {
    if all < MIN_FEASIBLE_NODES {
        return all;
    }
    let percent = 50_usize.saturating_sub(all / 125).max(MIN_FEASIBLE_PERCENT);
    (all * percent / 100).max(MIN_FEASIBLE_NODES)
}

fn join(reasons: &[Text]) -> Text {
    match reasons {
        [one] => one.clone(),
        many => many.join(", ").into(),
    }
}

/// `0/4 nodes are available: ...` (`FitError`): reasons with their counts, sorted as text.
pub fn fit_error<'a>(all: usize, reasons: impl IntoIterator<Item = (&'a str, usize)>) -> String {
    let mut counts: SortedMap<&str, usize> = SortedMap::new();
    for (reason, count) in reasons {
        *counts.entry(reason).or_default() += count;
    }
    let mut texts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.arrange();
    let mut message = format!("0/{all} nodes are available:");
    if !texts.is_empty() {
        message = format!("{message} {}.", texts.join(", "));
    }
    message
}

/// Runs the filters with the pods that have been promised room on the node, and without them (they may go
/// elsewhere): both must pass.
pub fn check_with_nominated(
    filters: &Filters,
    pod: &PodInfo,
    node: &NodeInfo,
    nominations: &Nominations,
) -> Result<(), Rejection> {
    let guests: Vec<_> = nominations
        .get(node.name())
        .into_iter()
        .flatten()
        .filter(|guest| guest.priority >= pod.priority && guest.uid != pod.uid)
        .collect();
    if !guests.is_empty() {
        let (mut filters, mut crowded) = (filters.copy(), node.clone());
        for guest in guests {
            filters.add_pod(guest, node);
            crowded.add((*guest).clone());
        }
        filters.check(&crowded)?;
    }
    filters.check(node)
}

/// Finds a node for `pod`. `start` is where the last cycle stopped looking.
pub fn schedule<'a>(
    pod: &'a PodInfo,
    view: &'a View<'a>,
    nominations: &Nominations,
    start: &mut usize,
    random: &mut Random,
) -> Cycle<'a> {
    let nodes = view.nodes();
    let mut outcome = Outcome { all: nodes.len(), ..Outcome::default() };
    let fail = |outcome: Outcome, failure: Failure<'a>| Cycle { result: Err(failure), outcome, evaluated: 0 };
    if nodes.is_empty() {
        let message = "no nodes available to schedule pods".into();
        let failure = Failure { filters: None, rejections: Vec::new(), message, rejectors: Vec::new() };
        return fail(outcome, failure);
    }
    let mut filters = Filters { filters: Vec::with_capacity(PLUGINS.len()) };
    let mut only: Option<(Vec<Text>, &'static str)> = None;
    for plugin in PLUGINS {
        match plugin.pre_filter(pod, view) {
            PreFilter::Skip => {}
            PreFilter::Filter(filter) => filters.filters.push(filter),
            PreFilter::Only(names, filter) => {
                only = Some((names, plugin.name()));
                filters.filters.push(filter);
            }
            PreFilter::Reject(rejection) => {
                // The PostFilter plugins then find no state to go by, and upstream says so in these words.
                let reasons = join(&rejection.reasons);
                let message = arcstr::format!("0/{} nodes are available: {reasons}. not found", nodes.len());
                outcome.rejected.push((Text::new(), rejection.plugin, reasons));
                let rejectors = vec![rejection.plugin];
                return fail(outcome, Failure { filters: None, rejections: Vec::new(), message, rejectors });
            }
        }
    }

    let candidates: Vec<usize> = match &only {
        Some((names, _)) => {
            let mut positions: Vec<usize> =
                (0..nodes.len()).filter(|position| names.contains(nodes[*position].name())).collect();
            positions.arrange();
            positions
        }
        None => Vec::new(),
    };
    let (count, enough) = match &only {
        Some(_) => (candidates.len(), enough_nodes(candidates.len())),
        None => (nodes.len(), enough_nodes(nodes.len())),
    };
    let position = |turn: usize| match &only {
        Some(_) => candidates[turn],
        None => (*start + turn) % nodes.len(),
    };
    let mut feasible: Vec<&NodeInfo> = Vec::with_capacity(enough);
    let mut rejections: Vec<(Text, Rejection)> = Vec::new();
    let has_nominations = !nominations.is_empty();
    // A pod that made room for itself looks there first.
    let promised = (!pod.nominated_node.is_empty())
        .then(|| view.cache.node(&pod.nominated_node))
        .flatten()
        .filter(|node| check_with_nominated(&filters, pod, node, nominations).is_ok());
    if let Some(node) = promised {
        feasible.push(node);
    } else {
        for turn in 0..count {
            let node = &nodes[position(turn)];
            let verdict = if has_nominations {
                check_with_nominated(&filters, pod, node, nominations)
            } else {
                filters.check(node)
            };
            match verdict {
                Ok(()) => feasible.push(node),
                Err(rejection) => rejections.push((node.name().clone(), rejection)),
            }
            if feasible.len() == enough {
                break;
            }
        }
    }
    let evaluated = feasible.len() + rejections.len();
    *start = (*start + evaluated) % nodes.len();
    outcome.evaluated = evaluated;
    let shown = if nodes.len() <= ALL_ROWS { ALL_ROWS } else { SOME_ROWS };
    outcome.rejected = rejections
        .iter()
        .take(shown)
        .map(|(name, rejection)| (name.clone(), rejection.plugin, join(&rejection.reasons)))
        .collect();

    if feasible.is_empty() {
        let mut reasons: Vec<(&str, usize)> = rejections
            .iter()
            .flat_map(|(_, rejection)| rejection.reasons.iter().map(|reason| (reason.as_str(), 1)))
            .collect();
        let absent;
        if let Some((_, plugin)) = only {
            absent = format!("node(s) didn't satisfy plugin(s) [{plugin}]");
            reasons.push((&absent, nodes.len() - rejections.len()));
            reasons.retain(|(_, count)| *count > 0);
        }
        let message = fit_error(nodes.len(), reasons).into();
        let rejectors: SortedSet<&'static str> = rejections
            .iter()
            .map(|(_, rejection)| rejection.plugin)
            .chain(only.as_ref().map(|(_, plugin)| *plugin))
            .gather();
        let failure = Failure {
            filters: Some(filters),
            rejections,
            message,
            rejectors: rejectors.into_iter().collect(),
        };
        return Cycle { result: Err(failure), outcome, evaluated };
    }
    let chosen = choose(pod, view, &feasible, random, &mut outcome, shown);
    Cycle { result: Ok(chosen), outcome, evaluated }
}

/// The best of the `feasible` nodes; of equals one by lot.
fn choose<'a>(
    pod: &'a PodInfo,
    view: &'a View<'a>,
    feasible: &[&'a NodeInfo],
    random: &mut Random,
    outcome: &mut Outcome,
    shown: usize,
) -> Text {
    if let [only] = feasible {
        outcome.scored.push((only.name().clone(), Vec::new(), 0));
        return only.name().clone();
    }
    let mut totals = vec![0_i64; feasible.len()];
    let mut columns: Vec<Option<Vec<i64>>> = Vec::with_capacity(PLUGINS.len());
    for plugin in PLUGINS {
        columns.push(column(plugin, pod, view, feasible));
        if let Some(Some(column)) = columns.last() {
            for (total, score) in totals.iter_mut().zip(column) {
                *total += score;
            }
        }
    }
    let best = totals.iter().copied().max().unwrap_or(0);
    let equals = totals.iter().filter(|total| **total == best).count() as u64;
    let lot = if equals > 1 { random.below(equals) } else { 0 } as usize;
    let winner = (0..feasible.len()).filter(|index| totals[*index] == best).nth(lot).unwrap_or(0);

    let mut order: Vec<usize> = (0..feasible.len()).collect();
    if feasible.len() > shown {
        // The winner, then the best of the others.
        order.arrange_by_key(|index| (*index != winner, -totals[*index]));
        order.truncate(shown);
    }
    for index in order {
        let scores = columns.iter().map(|column| column.as_ref().map(|column| column[index])).collect();
        outcome.scored.push((feasible[index].name().clone(), scores, totals[index]));
    }
    feasible[winner].name().clone()
}

/// The weighted marks of one plugin, `None` if it gives none.
fn column<'a>(
    plugin: &dyn Plugin,
    pod: &'a PodInfo,
    view: &'a View<'a>,
    feasible: &[&'a NodeInfo],
) -> Option<Vec<i64>> {
    let scorer: Box<dyn Score + 'a> = plugin.pre_score(pod, view, feasible)?;
    let mut scores: Vec<i64> = feasible.iter().map(|node| scorer.score(node)).collect();
    scorer.normalize(feasible, &mut scores);
    for score in &mut scores {
        *score *= plugin.weight();
    }
    Some(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_clusters_are_sampled() {
        for (all, enough) in
            [(4, 4), (99, 99), (100, 100), (1000, 420), (5000, 500), (6000, 300), (15000, 750)]
        {
            assert_eq!(enough_nodes(all), enough, "{all}");
        }
    }

    #[test]
    fn reasons_are_counted_and_sorted_as_text() {
        let reasons =
            [("Insufficient cpu", 1), ("node(s) had untolerated taint(s)", 1), ("Insufficient cpu", 2)];
        assert_eq!(
            fit_error(4, reasons),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient cpu."
        );
    }
}
