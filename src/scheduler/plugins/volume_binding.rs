//! VolumeBinding: a pod goes only where its volumes can be; claims that wait for their first consumer get their
//! volume with the node.
//!
//! Picture to hold in mind: a removal firm: what is already unpacked somewhere decides where one can live; what
//! is still in boxes goes where one moves.

use arcstr::literal;

use crate::api::volumes::{find_matching, is_bound, is_delayed, is_reachable, storage_class};
use crate::api::{Text, Value, meta};
use crate::scheduler::framework::{Event, Filter, Plugin, PreFilter, Rejection, View};
use crate::scheduler::node_info::NodeInfo;
use crate::scheduler::pod_info::PodInfo;

pub struct VolumeBinding;

const NAME: &str = "VolumeBinding";

/// What the claims of a pod ask of a node.
#[derive(Clone, Default)]
pub struct ClaimNeeds {
    /// Volumes of bound claims; `Null` for one that is gone.
    bound: Vec<Value>,
    /// Claims that get their volume with the node, and their storage classes.
    pub delayed: Vec<(Value, Value)>,
}

/// The names of the claims that a pod uses, each with whether it is made for the pod (ephemeral).
fn claim_names(pod: &PodInfo) -> Vec<(Text, bool)> {
    pod.pod
        .items("spec.volumes")
        .iter()
        .filter_map(|volume| {
            if volume.has("persistentVolumeClaim") {
                Some((volume.shared_text("persistentVolumeClaim.claimName"), false))
            } else if volume.has("ephemeral") {
                Some((arcstr::format!("{}-{}", pod.name(), volume.text("name")), true))
            } else {
                None
            }
        })
        .collect()
}

/// `None` when the pod uses no claims; a rejection when no node will do.
pub fn claim_needs(pod: &PodInfo, view: &View) -> Option<Result<ClaimNeeds, Rejection>> {
    if !pod.pod.has("spec.volumes") {
        return None;
    }
    let names = claim_names(pod);
    if names.is_empty() {
        return None;
    }
    let mut needs = ClaimNeeds::default();
    let mut is_waiting = false;
    let reject = |reason: Text| Some(Err(Rejection::unresolvable(NAME, reason)));
    for (name, is_ephemeral) in names {
        let Some(claim) = view.store(view.informers.claims).get_by_name(&pod.namespace, &name) else {
            return reject(if is_ephemeral {
                arcstr::format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
                )
            } else {
                arcstr::format!("persistentvolumeclaim \"{name}\" not found")
            });
        };
        if claim.text("status.phase") == "Lost" {
            return reject(arcstr::format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{}\"",
                claim.text("spec.volumeName")
            ));
        }
        if meta::is_deleting(claim) {
            return reject(arcstr::format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        if is_bound(claim) {
            let volume = view.store(view.informers.volumes).get(claim.text("spec.volumeName"));
            needs.bound.push(volume.cloned().unwrap_or_default());
            continue;
        }
        let class = view.store(view.informers.storage_classes).get(storage_class(claim));
        match class.filter(|class| is_delayed(class) && claim.text("spec.volumeName").is_empty()) {
            Some(class) => needs.delayed.push((claim.clone(), class.clone())),
            None => is_waiting = true,
        }
    }
    if is_waiting {
        return reject(literal!("pod has unbound immediate PersistentVolumeClaims"));
    }
    Some(Ok(needs))
}

#[derive(Clone)]
struct Needs<'a> {
    needs: ClaimNeeds,
    view: &'a View<'a>,
}

impl ClaimNeeds {
    /// For each delayed claim the volume that it can have on `node`; `None` for one to be provisioned there. An
    /// error where there is neither.
    pub fn volumes_on<'a>(&self, node: &NodeInfo, view: &View<'a>) -> Result<Vec<Option<&'a Value>>, Text> {
        let place = (node.name().as_str(), node.facts.labels());
        let mut taken: Vec<&str> = Vec::new();
        let mut chosen = Vec::new();
        for (claim, class) in &self.delayed {
            let volumes = view
                .store(view.informers.volumes)
                .values()
                .filter(|volume| !taken.contains(&meta::name(volume)));
            let found = find_matching(claim, volumes, Some(place), true);
            if found.is_none() && class.text("provisioner") == "kubernetes.io/no-provisioner" {
                return Err(literal!("node(s) didn't find available persistent volumes to bind"));
            }
            if found.is_none() && !fits_topology(class, node) {
                return Err(literal!("node(s) didn't find available persistent volumes to bind"));
            }
            taken.extend(found.map(meta::name));
            chosen.push(found);
        }
        Ok(chosen)
    }
}

/// Whether the class may provision on `node`.
fn fits_topology(class: &Value, node: &NodeInfo) -> bool {
    let terms = class.items("allowedTopologies");
    terms.is_empty()
        || terms.iter().any(|term| {
            term.items("matchLabelExpressions").iter().all(|expression| {
                let label = node.facts.label(expression.text("key"));
                expression.items("values").iter().any(|value| value.as_str() == label)
            })
        })
}

impl<'a> Filter<'a> for Needs<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let place = (node.name().as_str(), node.facts.labels());
        let reason = if self.needs.bound.iter().any(Value::is_null) {
            Some(literal!("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"))
        } else if !self.needs.bound.iter().all(|volume| is_reachable(volume, place)) {
            Some(literal!("node(s) didn't match PersistentVolume's node affinity"))
        } else {
            self.needs.volumes_on(node, self.view).err()
        };
        reason.map_or(Ok(()), |reason| Err(Rejection::unresolvable(NAME, reason)))
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, view: &'a View<'a>) -> PreFilter<'a> {
        match claim_needs(pod, view) {
            None => PreFilter::Skip,
            Some(Err(rejection)) => PreFilter::Reject(rejection),
            Some(Ok(needs)) => PreFilter::Filter(Box::new(Needs { needs, view })),
        }
    }
    fn may_help(&self, _pod: &PodInfo, event: &Event) -> bool {
        matches!(event, Event::Volumes | Event::NodeAdded(_) | Event::NodeUpdated { .. })
    }
}
