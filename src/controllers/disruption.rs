//! disruption-controller: how many pods of a budget may be evicted now.
//!
//! Picture to hold in mind: the board at the staff room's door: so many are here, so many must be, so many may
//! go home. Whoever asks to leave looks at the last number.
//!
//! After `pkg/controller/disruption/disruption.go`.

use crate::api::selector::{self, LabelSelector};
use crate::api::{Text, Value, int_or_string, meta, time};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::object;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

use super::claim::resolve;
use super::kinds::{
    DEPLOYMENT, POD, POD_DISRUPTION_BUDGET, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET, count,
};
use super::pods;

/// An evicted pod that still stands after this counts again.
const DELETION_TIMEOUT: Duration = Duration::from_secs(2 * 60);
/// A pod's condition that it is about to be disrupted is taken back after this.
const STALE_CONDITION: Duration = Duration::from_secs(2 * 60);
/// What keys of pods with such a condition begin with.
const STALE: &str = "pod!";
const CONDITION: &str = "DisruptionAllowed";

#[derive(Clone, Default)]
pub struct DisruptionController {
    budgets: usize,
    pods: usize,
    replication_controllers: usize,
    replica_sets: usize,
    deployments: usize,
    stateful_sets: usize,
}

/// How many pods there should be, and how many of them healthy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    pods: i64,
    healthy: i64,
}

/// Since when the pod says that it is about to be disrupted, though nothing came of it.
fn stale_condition(pod: &Value, now: Time) -> Option<Duration> {
    let condition = meta::condition(pod, "DisruptionTarget")?;
    let is_by_kubelet = condition.text("reason") == "TerminationByKubelet";
    if meta::is_deleting(pod) || pods::is_terminal(pod) || is_by_kubelet || condition.text("status") != "True"
    {
        return None;
    }
    let due = time::parse(condition.text("lastTransitionTime"))? + STALE_CONDITION;
    Some(due.since(now))
}

impl DisruptionController {
    fn budget_of<'a>(&self, stores: &'a [Store], pod: &Value) -> Option<&'a Value> {
        stores[self.budgets].in_namespace(meta::namespace(pod)).find(|budget| {
            LabelSelector::from_value(budget.at("spec.selector"))
                .is_ok_and(|selector| selector.matches_object(pod))
        })
    }

    /// The UID and the wanted replicas of what stands behind a pod's controller: of a ReplicaSet its Deployment.
    fn scale_of(&self, stores: &[Store], namespace: &str, reference: &Value) -> Option<(Text, i64)> {
        let scale = |object: &Value| (object.shared_text("metadata.uid"), count(object, "spec.replicas"));
        if let Some(set) = resolve(&stores[self.replica_sets], &REPLICA_SET, namespace, reference) {
            let owner = meta::controller_of(set).filter(|owner| owner.text("kind") == "Deployment");
            return match owner {
                Some(owner) => resolve(&stores[self.deployments], &DEPLOYMENT, namespace, owner).map(scale),
                None => Some(scale(set)),
            };
        }
        resolve(&stores[self.stateful_sets], &STATEFUL_SET, namespace, reference)
            .or_else(|| {
                let store = &stores[self.replication_controllers];
                resolve(store, &REPLICATION_CONTROLLER, namespace, reference)
            })
            .map(scale)
    }
    /// The sum of the scales of all controllers of `pods`, and the names of the pods without one.
    fn scales(&self, stores: &[Store], pods: &[Value]) -> Result<(i64, Vec<Text>), String> {
        let (mut scales, mut unmanaged) = (SortedMap::new(), Vec::new());
        for pod in pods {
            let Some(reference) = meta::controller_of(pod) else {
                unmanaged.push(pod.shared_text("metadata.name"));
                continue;
            };
            if scales.contains_key(&reference.shared_text("uid")) {
                continue;
            }
            match self.scale_of(stores, meta::namespace(pod), reference) {
                Some((uid, replicas)) => scales.insert(uid, replicas),
                None => {
                    let kind = reference.text("kind");
                    let has_scale =
                        matches!(kind, "ReplicaSet" | "Deployment" | "StatefulSet" | "ReplicationController");
                    return Err(if has_scale {
                        format!("found no controllers for pod {:?}", meta::name(pod))
                    } else {
                        let group = meta::split_api_version(reference.text("apiVersion")).0;
                        let plural = format!("{}s", kind.to_ascii_lowercase());
                        let dot = if group.is_empty() { "" } else { "." };
                        format!("{plural}{dot}{group} does not implement the scale subresource")
                    });
                }
            };
        }
        Ok((scales.values().sum(), unmanaged))
    }
    fn expected(
        &self,
        stores: &[Store],
        budget: &Value,
        pods: &[Value],
    ) -> Result<(Expected, Vec<Text>), String> {
        let (most, least) = (budget.at("spec.maxUnavailable"), budget.at("spec.minAvailable"));
        if let Some(healthy) = least.as_integer() {
            return Ok((Expected { pods: pods.len() as i64, healthy }, Vec::new()));
        }
        if most.is_null() && least.is_null() {
            return Ok((Expected::default(), Vec::new()));
        }
        let (total, unmanaged) = self.scales(stores, pods)?;
        let limit = if most.is_null() { least } else { most };
        let scaled = int_or_string::scaled(limit, total, true)
            .ok_or_else(|| format!("invalid value for IntOrString: {limit}"))?;
        let healthy = if most.is_null() { scaled } else { (total - scaled).max(0) };
        Ok((Expected { pods: total, healthy }, unmanaged))
    }

    fn sync_budget(&self, call: &mut Call, budget: &Value) -> Result<(), Interrupt> {
        let now = call.now();
        let selector = LabelSelector::from_value(budget.at("spec.selector"));
        let selected: Vec<Value> = match &selector {
            Ok(selector) => call
                .store(self.pods)
                .in_namespace(meta::namespace(budget))
                .filter(|pod| selector.matches_object(pod))
                .map(|pod| POD.named(pod))
                .collect(),
            Err(_) => Vec::new(),
        };
        if selected.is_empty() {
            call.event(budget, "Normal", "NoPods", "No matching pods found");
        }
        let (expected, unmanaged) = match self.expected(call.stores(), budget, &selected) {
            Ok(expected) => expected,
            Err(error) => {
                let message = format!("Failed to calculate the number of expected pods: {error}");
                call.event(budget, "Warning", "CalculateExpectedPodCountFailed", message);
                return self.fail_safe(call, budget, &error);
            }
        };
        if !unmanaged.is_empty() {
            let selector = selector::format(budget.at("spec.selector"));
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a \
                 result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. \
                 To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
            );
            call.event(budget, "Warning", "UnmanagedPods", message);
        }
        let disrupted = self.still_disrupted(call, budget, &selected);
        let is_healthy = |pod: &&Value| {
            !meta::is_deleting(pod) && !disrupted.contains_key(meta::name(pod)) && pods::is_ready(pod)
        };
        let healthy = selected.iter().filter(is_healthy).count() as i64;
        self.write_status(call, budget, healthy, &expected, &disrupted)?;
        let recheck = disrupted.values().map(|(due, _)| *due).min();
        if let Some(due) = recheck {
            call.requeue_after(due.since(now));
        }
        Ok(())
    }
    /// The pods that were evicted and still stand, with when they count again and when they were evicted.
    fn still_disrupted(
        &self,
        call: &mut Call,
        budget: &Value,
        selected: &[Value],
    ) -> SortedMap<Text, (Time, Value)> {
        let now = call.now();
        let mut disrupted = SortedMap::new();
        for pod in selected.iter().filter(|pod| !meta::is_deleting(pod)) {
            let name = meta::name(pod);
            let Some(since) = budget.map("status.disruptedPods").get(name) else { continue };
            let due = since.as_str().and_then(time::parse).unwrap_or(Time::ZERO) + DELETION_TIMEOUT;
            if due < now {
                let namespace = meta::namespace(budget);
                let message =
                    format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
                call.event(pod, "Warning", "NotDeleted", message);
            } else {
                disrupted.insert(name.into(), (due, since.clone()));
            }
        }
        disrupted
    }
    fn write_status(
        &self,
        call: &mut Call,
        budget: &Value,
        healthy: i64,
        expected: &Expected,
        disrupted: &SortedMap<Text, (Time, Value)>,
    ) -> Result<(), Interrupt> {
        let mut allowed = (healthy - expected.healthy).max(0);
        if expected.pods <= 0 {
            allowed = 0;
        }
        let generation = meta::generation(budget);
        let mut new = budget.clone();
        for (field, number) in [
            ("status.currentHealthy", healthy),
            ("status.desiredHealthy", expected.healthy),
            ("status.expectedPods", expected.pods),
            ("status.disruptionsAllowed", allowed),
            ("status.observedGeneration", generation),
        ] {
            new.set(field, number);
        }
        if disrupted.is_empty() {
            new.remove("status.disruptedPods");
        } else {
            let mut names = Value::object();
            for (name, (_, since)) in disrupted {
                names.make_object().insert(name, since.clone());
            }
            new.set("status.disruptedPods", names);
        }
        let (status, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        set_allowed(&mut new, status, reason, "", generation, call.now());
        if new == *budget {
            return Ok(());
        }
        call.update_status(&POD_DISRUPTION_BUDGET.resource, new)?;
        Ok(())
    }
    /// Who cannot count lets nobody go.
    fn fail_safe(&self, call: &mut Call, budget: &Value, error: &str) -> Result<(), Interrupt> {
        let mut new = budget.clone();
        for field in ["currentHealthy", "desiredHealthy", "expectedPods"] {
            new.set_default(&format!("status.{field}"), 0);
        }
        new.set("status.disruptionsAllowed", 0);
        let observed = meta::observed_generation(budget);
        set_allowed(&mut new, "False", "SyncFailed", error, observed, call.now());
        call.update_status(&POD_DISRUPTION_BUDGET.resource, new)?;
        Ok(())
    }

    /// Takes back the condition of a pod whose disruption did not come.
    fn sync_stale(&self, call: &mut Call, key: &str) -> Result<(), Interrupt> {
        let Some(pod) = POD.find(call.store(self.pods), key) else { return Ok(()) };
        let Some(left) = stale_condition(&pod, call.now()) else { return Ok(()) };
        if left > Duration::ZERO {
            call.requeue_after(left);
            return Ok(());
        }
        let mut new = pod.clone();
        let mut condition = object! { "type" => "DisruptionTarget", "status" => "False" };
        condition.set("lastProbeTime", Value::Null);
        meta::set_condition(&mut new, &condition, &time::rfc3339(call.now()));
        call.request(request::update_status(&POD.resource, new))?;
        Ok(())
    }
}

fn set_allowed(budget: &mut Value, status: &str, reason: &str, message: &str, observed: i64, now: Time) {
    let mut condition =
        object! { "type" => CONDITION, "status" => status, "reason" => reason, "message" => message };
    if observed != 0 {
        condition.set("observedGeneration", observed);
    }
    meta::set_condition(budget, &condition, &time::rfc3339(now));
}

impl Controller for DisruptionController {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }
    fn event_source(&self) -> &'static str {
        "controllermanager"
    }
    fn workers(&self) -> usize {
        1
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.pods = informers.add(Selection::all(&POD.resource));
        self.budgets = informers.add(Selection::all(&POD_DISRUPTION_BUDGET.resource));
        self.replication_controllers = informers.add(Selection::all(&REPLICATION_CONTROLLER.resource));
        self.replica_sets = informers.add(Selection::all(&REPLICA_SET.resource));
        self.deployments = informers.add(Selection::all(&DEPLOYMENT.resource));
        self.stateful_sets = informers.add(Selection::all(&STATEFUL_SET.resource));
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.budgets {
            keys.add(key_of(&delta.object));
        } else if delta.informer == self.pods {
            if let Some(budget) = self.budget_of(stores, &delta.object) {
                keys.add(key_of(budget));
            }
            if delta.kind != DeltaType::Deleted
                && let Some(left) = stale_condition(&delta.object, keys.now())
            {
                keys.add_after(arcstr::format!("{STALE}{}", key_of(&delta.object)), left);
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        if let Some(pod) = key.strip_prefix(STALE) {
            return self.sync_stale(call, pod);
        }
        match POD_DISRUPTION_BUDGET.find(call.store(self.budgets), &key) {
            Some(budget) => self.sync_budget(call, &budget),
            None => Ok(()),
        }
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array;
    use crate::client::testing::{Manager, Sandbox};

    fn set(replicas: i64) -> Value {
        object! {
            "kind" => "ReplicaSet",
            "metadata" => object! { "name" => "web", "namespace" => "a", "uid" => "set" },
            "spec" => object! { "replicas" => replicas },
        }
    }
    fn pod(name: &str, owner: &str, ready: &str) -> Value {
        let mut pod = object! {
            "kind" => "Pod",
            "metadata" => object! {
                "name" => name, "namespace" => "a", "labels" => object! { "app" => "web" },
            },
            "status" => object! {
                "phase" => "Running",
                "conditions" => array![object! { "type" => "Ready", "status" => ready }],
            },
        };
        if !owner.is_empty() {
            let reference = object! {
                "apiVersion" => "apps/v1", "kind" => owner, "name" => "web", "uid" => "set",
                "controller" => true,
            };
            pod.set("metadata.ownerReferences", array![reference]);
        }
        pod
    }
    fn budget(field: &str, value: Value) -> Value {
        let mut budget = object! {
            "kind" => "PodDisruptionBudget",
            "metadata" => object! { "name" => "web", "namespace" => "a" },
            "spec" => object! {
                "selector" => object! { "matchLabels" => object! { "app" => "web" } },
            },
        };
        budget.set(field, value);
        budget
    }

    #[test]
    fn a_budget_allows_what_health_leaves_over() {
        let reason = |allowed: i64| if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
        for (field, value, healthy, desired, expected, allowed) in [
            ("spec.minAvailable", Value::from(2), 3, 2, 4, 1),
            ("spec.minAvailable", Value::from("50%"), 3, 2, 4, 1),
            ("spec.minAvailable", Value::from("60%"), 3, 3, 4, 0),
            ("spec.maxUnavailable", Value::from(1), 3, 3, 4, 0),
            ("spec.maxUnavailable", Value::from("50%"), 3, 2, 4, 1),
            ("spec.maxUnavailable", Value::from(9), 3, 0, 4, 3),
        ] {
            let mut objects = vec![set(4), budget(field, value)];
            for (name, ready) in [("a", "True"), ("b", "True"), ("c", "True"), ("d", "False")] {
                objects.push(pod(name, "ReplicaSet", ready));
            }
            let controller = Box::<DisruptionController>::default();
            let mut sandbox = Sandbox::new(objects, vec![Manager::of(vec![controller])]);
            sandbox.run(2);
            let budget = sandbox.server().get("poddisruptionbudgets", "a/web").cloned().unwrap_or_default();
            let number = |field: &str| budget.integer(&format!("status.{field}")).unwrap_or(-1);
            let found =
                ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"].map(number);
            assert_eq!(found, [healthy, desired, expected, allowed], "{field}");
            let condition = meta::condition(&budget, CONDITION).cloned().unwrap_or_default();
            assert_eq!(condition.text("reason"), reason(allowed));
        }
    }

    #[test]
    fn who_cannot_count_lets_nobody_go() {
        let mut objects = vec![budget("spec.maxUnavailable", Value::from(1))];
        objects.push(pod("a", "Job", "True"));
        let controller = Box::<DisruptionController>::default();
        let mut sandbox = Sandbox::new(objects, vec![Manager::of(vec![controller])]);
        sandbox.run(2);
        let budget = sandbox.server().get("poddisruptionbudgets", "a/web").cloned().unwrap_or_default();
        let condition = meta::condition(&budget, CONDITION).cloned().unwrap_or_default();
        assert_eq!(condition.text("reason"), "SyncFailed");
        assert_eq!(condition.text("message"), "jobs.apps does not implement the scale subresource");
    }
}
