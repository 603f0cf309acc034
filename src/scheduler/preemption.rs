//! Preemption: whom to turn out so that a more important pod fits, and where that hurts least.
//!
//! Picture to hold in mind: a full waiting room and a heart attack. In each room one imagines all less urgent
//! patients gone; if that would do, they are asked back one by one, most urgent first, as long as there is room.
//!
//! After `framework/preemption` and `plugins/defaultpreemption`.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::api::selector::LabelSelector;
use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::sim::{Random, Time};

use super::algorithm::{Filters, Nominations, check_with_nominated, fit_error};
use super::framework::{Rejection, View};
use super::node_info::NodeInfo;
use super::pod_info::PodInfo;

/// Rooms that are imagined empty: a tenth, at least so many.
const MIN_CANDIDATES: usize = 100;
const MIN_CANDIDATES_PERCENT: usize = 10;

/// Where room is made, and for whom at whose cost.
pub struct Plan {
    pub node: Text,
    pub victims: Vec<Arc<PodInfo>>,
}

struct Candidate {
    plan: Plan,
    /// Victims that a PodDisruptionBudget would rather keep.
    violations: usize,
}

/// By importance: priority, then age.
fn importance(pod: &PodInfo) -> (Reverse<i64>, Time, Text) {
    (Reverse(pod.priority), pod.started_at.unwrap_or(Time::MAX), pod.key.clone())
}

/// `Ok`: a plan; `Err`: what the message says instead (`preemption: ...`).
pub fn plan(
    pod: &PodInfo,
    view: &View,
    filters: &Filters,
    rejections: &[(Text, Rejection)],
    nominations: &Nominations,
    random: &mut Random,
) -> Result<Plan, String> {
    if pod.pod.text("spec.preemptionPolicy") == "Never" {
        return Err("preemption: not eligible due to preemptionPolicy=Never.".to_owned());
    }
    if waits_for_victims(pod, view, rejections) {
        return Err("preemption: not eligible due to a terminating pod on the nominated node.".to_owned());
    }
    let all = view.nodes().len();
    let potential: Vec<&Arc<NodeInfo>> = rejections
        .iter()
        .filter(|(_, rejection)| !rejection.is_unresolvable)
        .filter_map(|(name, _)| view.cache.node(name))
        .collect();
    let wanted = (potential.len() * MIN_CANDIDATES_PERCENT / 100).max(MIN_CANDIDATES).min(potential.len());
    let offset = random.below(potential.len() as u64) as usize;
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut refusals: Vec<Text> = Vec::new();
    for turn in 0..potential.len() {
        let node = potential[(offset + turn) % potential.len()];
        match victims_on(pod, node, view, filters, nominations) {
            Ok(candidate) => candidates.push(candidate),
            Err(reasons) => refusals.extend(reasons),
        }
        let has_clean = candidates.iter().any(|candidate| candidate.violations == 0);
        if has_clean && candidates.len() >= wanted {
            break;
        }
    }
    let best = candidates.into_iter().min_by_key(|candidate| {
        let victims = &candidate.plan.victims;
        let highest = victims.iter().map(|victim| victim.priority).max().unwrap_or(i64::MIN);
        let sum: i64 = victims.iter().map(|victim| victim.priority + i64::from(i32::MAX) + 1).sum();
        // Of equals the one whose most important victims started last.
        let earliest = victims
            .iter()
            .filter(|victim| victim.priority == highest)
            .map(|victim| victim.started_at.unwrap_or(Time::MAX))
            .min();
        (candidate.violations, highest, sum, victims.len(), Reverse(earliest))
    });
    best.map(|candidate| candidate.plan).ok_or_else(|| {
        let hopeless = all - potential.len();
        let reasons = refusals
            .iter()
            .map(|reason| (reason.as_str(), 1))
            .chain((hopeless > 0).then_some(("Preemption is not helpful for scheduling", hopeless)));
        format!("preemption: {}", fit_error(all, reasons))
    })
}

/// The pod has preempted already, and its victims are on their way out.
fn waits_for_victims(pod: &PodInfo, view: &View, rejections: &[(Text, Rejection)]) -> bool {
    let nominated = &pod.nominated_node;
    let is_hopeless =
        rejections.iter().any(|(name, rejection)| name == nominated && rejection.is_unresolvable);
    if nominated.is_empty() || is_hopeless {
        return false;
    }
    let is_victim = |other: &Arc<PodInfo>| {
        other.priority < pod.priority
            && other.is_deleting
            && meta::condition(&other.pod, "DisruptionTarget").is_some_and(|condition| {
                condition.text("status") == "True" && condition.text("reason") == "PreemptionByScheduler"
            })
    };
    view.cache.node(nominated).is_some_and(|node| node.pods.iter().any(is_victim))
}

fn victims_on(
    pod: &PodInfo,
    node: &NodeInfo,
    view: &View,
    filters: &Filters,
    nominations: &Nominations,
) -> Result<Candidate, Vec<Text>> {
    let (mut filters, mut room) = (filters.copy(), node.clone());
    let mut lesser: Vec<Arc<PodInfo>> =
        node.pods.iter().filter(|other| other.priority < pod.priority).cloned().collect();
    if lesser.is_empty() {
        return Err(vec![arcstr::literal!("No preemption victims found for incoming pod")]);
    }
    for other in &lesser {
        room.remove(&other.uid);
        filters.remove_pod(other, node);
    }
    check_with_nominated(&filters, pod, &room, nominations).map_err(|rejection| rejection.reasons)?;
    lesser.arrange_by_key(|other| importance(other));
    let (protected, free) = by_disruption_budget(lesser, view);
    let mut victims = Vec::new();
    let mut violations = 0;
    for (is_protected, other) in
        protected.into_iter().map(|pod| (true, pod)).chain(free.into_iter().map(|pod| (false, pod)))
    {
        filters.add_pod(&other, node);
        room.add(other.clone());
        if check_with_nominated(&filters, pod, &room, nominations).is_err() {
            room.remove(&other.uid);
            filters.remove_pod(&other, node);
            violations += usize::from(is_protected);
            victims.push(other);
        }
    }
    victims.arrange_by_key(|victim| importance(victim));
    Ok(Candidate { plan: Plan { node: node.name().clone(), victims }, violations })
}

/// Those whose removal a PodDisruptionBudget does not allow, and the others.
fn by_disruption_budget(pods: Vec<Arc<PodInfo>>, view: &View) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut budgets: Vec<(&Value, LabelSelector, i64)> = view
        .store(view.informers.disruption_budgets)
        .values()
        .filter_map(|budget| {
            let selector = LabelSelector::from_value(budget.at("spec.selector")).ok()?;
            let allowed = budget.integer("status.disruptionsAllowed").unwrap_or(0);
            (!selector.is_empty()).then_some((budget, selector, allowed))
        })
        .collect();
    pods.into_iter().partition(|pod| {
        let mut is_protected = false;
        for (budget, selector, allowed) in &mut budgets {
            let concerns = meta::namespace(budget) == pod.namespace
                && !pod.labels().is_empty()
                && selector.matches(pod.labels())
                && budget.map("status.disruptedPods").get(pod.name()).is_none();
            if concerns {
                *allowed -= 1;
                is_protected |= *allowed < 0;
            }
        }
        is_protected
    })
}
