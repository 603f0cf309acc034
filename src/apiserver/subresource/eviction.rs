//! `pods/eviction`: a deletion that asks the disruption budget first.
//!
//! Picture to hold in mind: leaving a shift. You may go only if enough colleagues stay; the book in which free places are
//! counted is signed first, then you hang up your coat.
//!
//! Follows `pkg/registry/core/pod/storage/eviction.go`.

use std::sync::Arc;

use crate::api::kind::GroupResource;
use crate::api::selector::LabelSelector;
use crate::api::status::{Reason, Status};
use crate::api::{Text, Value, meta};
use crate::language::Context;
use crate::object;

use crate::apiserver::ApiServer;
use crate::apiserver::admission::{Attributes, Operation};
use crate::apiserver::catalog::{Route, below};
use crate::apiserver::cycle::{Change, Current, Cycle, Job};
use crate::apiserver::delete::Deletion;
use crate::apiserver::exchange::{Answer, Exchange, Step};
use crate::apiserver::update::timestamp;

use super::binding::set_pod_condition;

/// `MaxDisruptedPodSize`.
const MAX_DISRUPTED_PODS: usize = 2000;

#[derive(Clone)]
pub(crate) struct Eviction {
    deletion: Deletion,
    phase: Phase,
    pod_cache: usize,
    pod_key: Text,
    budget: Text,
    /// The pod was unready and may go without a place in the budget, as long as it stays so.
    must_not_change: bool,
    pod_revision: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Look at the pod.
    Pod,
    /// Take a place in the budget.
    Budget,
    /// Write the condition DisruptionTarget.
    Mark,
}

fn too_many(budget: &str) -> Status {
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
        .with_cause(
            "DisruptionBudget",
            &format!("The disruption budget {budget} is still being processed by the server."),
            "",
        )
}

impl ApiServer {
    pub(super) fn begin_eviction(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let body = &request.body;
        if meta::name(body) != request.name.as_str() {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut options = (*request).clone();
        options.body = body.at("deleteOptions").clone();
        let deletion = Deletion::read(&options)?;
        let mut attributes = Attributes::new(Operation::Create, &route.info, exchange);
        self.restrict_node(&attributes, body, None)?;
        self.validate(&mut attributes, body, None, context)?;
        exchange.warnings.append(&mut attributes.warnings);
        let key = below(&route.info, &request.namespace, &request.name);
        let eviction = Eviction {
            deletion,
            phase: Phase::Pod,
            pod_cache: cache,
            pod_key: key.clone(),
            budget: Text::new(),
            must_not_change: false,
            pod_revision: 0,
        };
        self.write(exchange, Cycle::new(Job::Evict(Box::new(eviction)), cache, key), context)
    }

    /// The budgets whose selector matches the pod.
    fn budgets_of(&self, pod: &Value) -> Vec<(Text, Value)> {
        let shelf = self.catalog.shelves.disruption_budgets;
        let Some(cache) = self.caches.get(shelf) else { return Vec::new() };
        cache
            .list(meta::namespace(pod))
            .filter(|(_, budget)| {
                LabelSelector::from_value(budget.at("spec.selector"))
                    .is_ok_and(|selector| selector.matches(meta::labels(pod)))
            })
            .map(|(key, budget)| (key.clone(), budget.clone()))
            .collect()
    }

    pub(in crate::apiserver) fn decide_evict(
        &mut self,
        exchange: &Exchange,
        route: &Route,
        cycle: &mut Cycle,
        eviction: &mut Eviction,
        current: Option<&Current>,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let name = &exchange.request.name;
        let resource = route.info.group_resource();
        match eviction.phase {
            Phase::Pod | Phase::Mark => {
                let Some(current) = current else { return Err(Status::not_found(&resource, name)) };
                let pod = &current.object;
                eviction.deletion.check(&route.info, pod)?;
                if eviction.phase == Phase::Pod {
                    let ignores_budget =
                        matches!(pod.text("status.phase"), "Succeeded" | "Failed" | "Pending")
                            || meta::is_deleting(pod);
                    if !ignores_budget && self.find_budget(eviction, pod)? {
                        eviction.pod_revision = current.revision;
                        // On to the budget: nothing is written to the pod yet.
                        return Ok(Change::Same(pod.clone()));
                    }
                    eviction.phase = Phase::Mark;
                } else if eviction.must_not_change && current.revision != eviction.pod_revision {
                    return Err(too_many(&eviction.budget));
                }
                if exchange.request.options.dry_run {
                    return Ok(Change::Same(pod.clone()));
                }
                let mut marked = pod.clone();
                let condition = object! {
                    "type" => "DisruptionTarget",
                    "status" => "True",
                    "reason" => "EvictionByEvictionAPI",
                    "message" => "Eviction API: evicting",
                };
                set_pod_condition(&mut marked, condition, context);
                Ok(Change::Put(marked))
            }
            Phase::Budget => {
                let budgets = GroupResource::new("policy", "poddisruptionbudgets");
                let key = cycle.key.rsplit('/').next().unwrap_or("").to_owned();
                let Some(current) = current else { return Err(Status::not_found(&budgets, &key)) };
                decrement(&current.object, name, context).map(Change::Put)
            }
        }
    }

    /// Whether a budget must be asked, which then is the eviction's.
    fn find_budget(&self, eviction: &mut Eviction, pod: &Value) -> Result<bool, Status> {
        let mut budgets = self.budgets_of(pod);
        if budgets.len() > 1 {
            return Err(Status::new(
                500,
                Reason::Unknown,
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        let Some((key, budget)) = budgets.pop() else { return Ok(false) };
        eviction.budget = budget.shared_text("metadata.name");
        if !meta::is_condition_true(pod, "Ready") {
            let count = |field: &str| budget.integer(field).unwrap_or(0);
            let (healthy, desired) = (count("status.currentHealthy"), count("status.desiredHealthy"));
            let may_always = budget.text("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow";
            if may_always || (healthy >= desired && desired > 0) {
                eviction.must_not_change = true;
                return Ok(false);
            }
        }
        eviction.budget = key;
        Ok(true)
    }

    pub(in crate::apiserver) fn evicted(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        mut cycle: Box<Cycle>,
        change: Change,
        revision: u64,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let Job::Evict(eviction) = &mut cycle.job else {
            return Err(Status::internal_error("not an eviction"));
        };
        let is_dry_run = exchange.request.options.dry_run;
        match eviction.phase {
            Phase::Pod => {
                eviction.phase = Phase::Budget;
                cycle.cache = self.catalog.shelves.disruption_budgets;
                cycle.key = eviction.budget.clone();
                self.write(exchange, cycle, context)
            }
            Phase::Budget => {
                eviction.phase = Phase::Mark;
                cycle.cache = eviction.pod_cache;
                cycle.key = eviction.pod_key.clone();
                self.write(exchange, cycle, context)
            }
            Phase::Mark if is_dry_run => Ok(Step::Answer(Answer::new(201, super::success()))),
            Phase::Mark => {
                let (Change::Put(mut pod)
                | Change::Same(mut pod)
                | Change::Create(mut pod)
                | Change::Remove(mut pod)) = change;
                meta::set_resource_version(&mut pod, revision);
                let deletion = eviction.deletion.clone().after_own_change(revision);
                cycle.job = Job::Delete(deletion);
                let _ = route;
                self.attempt(exchange, cycle, Some(Current { object: pod, revision }), true, context)
            }
        }
    }
}

/// `checkAndDecrement`: the budget with one place less, or why there is none.
fn decrement(budget: &Value, pod: &str, context: &Context) -> Result<Value, Status> {
    let name = meta::name(budget);
    let count = |field: &str| budget.integer(field).unwrap_or(0);
    let resource = GroupResource::new("policy", "poddisruptionbudget");
    if meta::observed_generation(budget) < meta::generation(budget) {
        return Err(too_many(name));
    }
    let allowed = count("status.disruptionsAllowed");
    if allowed < 0 {
        return Err(Status::forbidden(&resource, name, "pdb disruptions allowed is negative"));
    }
    if budget.map("status.disruptedPods").len() > MAX_DISRUPTED_PODS {
        return Err(Status::forbidden(
            &resource,
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let (healthy, desired) = (count("status.currentHealthy"), count("status.desiredHealthy"));
        let condition = meta::condition(budget, "DisruptionAllowed")
            .filter(|condition| condition.text("status") == "False" && !condition.text("message").is_empty());
        let message = match condition {
            Some(condition) if condition.text("reason") == "SyncFailed" => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                condition.text("message")
            ),
            _ if healthy <= desired => {
                format!(
                    "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
                )
            }
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently ({}): {}",
                condition.text("reason"),
                condition.text("message")
            ),
            None => format!("The disruption budget {name} does not allow evicting pods currently"),
        };
        let status =
            Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0);
        return Err(status.with_cause("DisruptionBudget", &message, ""));
    }
    let mut taken = budget.clone();
    taken.set("status.disruptionsAllowed", allowed - 1);
    if allowed == 1 {
        let condition = object! {
            "type" => "DisruptionAllowed",
            "status" => "False",
            "reason" => "InsufficientPods",
            "message" => "",
            "observedGeneration" => meta::observed_generation(budget),
        };
        meta::set_condition(&mut taken, &condition, &timestamp(context));
    }
    taken.at_mut("status.disruptedPods").make_object().insert(pod, timestamp(context));
    Ok(taken)
}
