//! NodeRestriction: a node writes about itself and its own pods, and about nobody else.
//!
//! Picture to hold in mind: the janitor of one house may report its broken windows, but not rename the street.
//!
//! Follows `plugin/pkg/admission/noderestriction/admission.go`.

use crate::api::status::Status;
use crate::api::value::Map;
use crate::api::x509::Request;
use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;

use super::{Attributes, Operation};
use crate::apiserver::ApiServer;
use crate::apiserver::access::{Question, node_of};
use crate::apiserver::rbac::Verdict;
use crate::apiserver::references::first_in_api;

const MIRROR_POD: &str = "kubernetes.io/config.mirror";

type Answer = Result<(), String>;

fn only_if(is_so: bool, words: impl FnOnce() -> String) -> Answer {
    if is_so { Ok(()) } else { Err(words()) }
}

fn is_of_kubelets(signer: &str) -> bool {
    matches!(signer, "kubernetes.io/kubelet-serving" | "kubernetes.io/kube-apiserver-client-kubelet")
}

impl ApiServer {
    pub(in crate::apiserver) fn restrict_node(
        &self,
        attributes: &Attributes,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(node) = node_of(&attributes.user) else { return Ok(()) };
        let info = attributes.info;
        let is_delete = attributes.operation == Operation::Delete;
        let is_create = attributes.operation == Operation::Create;
        let subresource = attributes.subresource.as_str();
        let refuse = |words: String| attributes.forbidden(old.unwrap_or(object), words);
        if node.is_empty() {
            return Err(refuse(format!("could not determine node from user {:?}", attributes.user.name)));
        }
        let before = old.unwrap_or(&Value::Null);
        let is_own = |pod: &Value| pod.text("spec.nodeName") == node;
        let is_named = (if is_create { meta::name(object) } else { &attributes.name }) == node;
        let answer = match (info.group.as_str(), info.plural.as_str(), subresource) {
            ("", "pods", "") if is_delete => only_if(is_own(before), || {
                format!("node {node:?} can only delete pods with spec.nodeName set to itself")
            }),
            ("", "pods", "") if is_create => self.restrict_pod(node, object),
            ("", "pods", "") => Err(format!(
                "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
            )),
            ("", "pods", "status") => only_if(is_own(before), || {
                format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
            })
            .and_then(|()| {
                only_if(meta::labels(before) == meta::labels(object), || {
                    format!("node {node:?} cannot update labels through pod status")
                })
            })
            .and_then(|()| {
                let field = "status.resourceClaimStatuses";
                only_if(before.items(field) == object.items(field), || {
                    format!("node {node:?} cannot update resource claim statues")
                })
            })
            .and_then(|()| {
                let field = "status.extendedResourceClaimStatus";
                only_if(before.at(field) == object.at(field), || {
                    format!("node {node:?} cannot update extended resource claim status")
                })
            }),
            ("", "pods", "eviction") => {
                let pod = self.pod(&attributes.namespace, &attributes.name)?;
                only_if(is_own(pod), || {
                    format!("node {node} can only evict pods with spec.nodeName set to itself")
                })
            }
            ("", "pods", other) => {
                Err(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
            }
            ("", "nodes", _) => {
                let name = if is_create { meta::name(object) } else { &attributes.name };
                only_if(is_named, || format!("node {node:?} is not allowed to modify node {name:?}"))
                    .and_then(|()| if is_delete { Ok(()) } else { restrict_own(node, object, old) })
            }
            ("", "persistentvolumeclaims", "status") => only_if(is_same_claim(before, object), || {
                format!(
                    "node {node:?} is not allowed to update fields other than status.quantity and status.conditions: "
                )
            }),
            ("", "persistentvolumeclaims", _) => Err("may only update PVC status".into()),
            ("", "serviceaccounts", "token") => self.restrict_token(node, attributes, object)?,
            ("coordination.k8s.io", "leases", _) => {
                only_if(attributes.namespace == "kube-node-lease", || {
                    "can only access leases in the \"kube-node-lease\" system namespace".into()
                })
                .and_then(|()| {
                    only_if(is_named, || {
                        "can only access node lease with the same name as the requesting node".into()
                    })
                })
            }
            ("certificates.k8s.io", "certificatesigningrequests", _)
                if is_create && is_of_kubelets(object.text("spec.signerName")) =>
            {
                let asked = Request::read(object.text("spec.request"));
                asked.map_err(|problem| format!("unable to parse csr: {problem}")).and_then(|asked| {
                    only_if(asked.common_name().strip_prefix("system:node:") == Some(node), || {
                        format!("can only create a node CSR with CN=system:node:{node}")
                    })
                })
            }
            ("storage.k8s.io", "csinodes", _) => only_if(is_named, || {
                "can only access CSINode with the same name as the requesting node".into()
            }),
            ("resource.k8s.io", "resourceslices", _) if is_create || is_delete => {
                only_if(is_own(old.unwrap_or(object)), || {
                    let verb = if is_create { "create" } else { "delete" };
                    format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")
                })
            }
            _ => Ok(()),
        };
        answer.map_err(refuse)
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<&Value, Status> {
        let pod = self.shelf(self.catalog.shelves.pods, &[namespace, "/", name].concat());
        let resource = crate::api::kind::GroupResource::new("", "pods");
        pod.ok_or_else(|| Status::not_found(&resource, name))
    }

    /// A pod that a node makes: an image of a static pod of its own that needs nothing of the API.
    fn restrict_pod(&self, node: &str, pod: &Value) -> Answer {
        only_if(meta::annotation(pod, MIRROR_POD).is_some(), || {
            format!("pod does not have {MIRROR_POD:?} annotation, node {node:?} can only create mirror pods")
        })?;
        only_if(pod.text("spec.nodeName") == node, || {
            format!("node {node:?} can only create pods with spec.nodeName set to itself")
        })?;
        let no_owner = || format!("node {node:?} can only create pods with an owner reference set to itself");
        let owner = match pod.items("metadata.ownerReferences") {
            [] => return Err(no_owner()),
            [owner] => owner,
            _ => {
                return Err(format!(
                    "node {node:?} can only create pods with a single owner reference set to itself"
                ));
            }
        };
        let is_it =
            owner.text("apiVersion") == "v1" && owner.text("kind") == "Node" && owner.text("name") == node;
        only_if(is_it, no_owner)?;
        only_if(owner.at("controller").as_bool() == Some(true), || {
            format!("node {node:?} can only create pods with a controller owner reference set to itself")
        })?;
        only_if(owner.at("blockOwnerDeletion").as_bool() != Some(true), || {
            format!("node {node:?} must not set blockOwnerDeletion on an owner reference")
        })?;
        let Some(own) = self.shelf(self.catalog.shelves.nodes, node) else {
            return Err(format!("node {node:?} not found"));
        };
        let (uid, right) = (owner.text("uid"), meta::uid(own));
        only_if(uid == right, || format!("node {node} UID mismatch: expected {uid} got {right}"))?;
        match first_in_api(pod) {
            Some(what) => Err(format!("node {node:?} can not create pods that reference {what}")),
            None => Ok(()),
        }
    }

    /// A token that a node asks for: for a pod that runs on it, and for whom the pod is to show it to.
    fn restrict_token(&self, node: &str, attributes: &Attributes, request: &Value) -> Result<Answer, Status> {
        let bound = request.at("spec.boundObjectRef");
        let (name, uid) = (bound.text("name"), bound.text("uid"));
        if bound.text("apiVersion") != "v1" || bound.text("kind") != "Pod" || name.is_empty() {
            return Ok(Err("node requested token not bound to a pod".into()));
        }
        if uid.is_empty() {
            return Ok(Err("node requested token with a pod binding without a uid".into()));
        }
        let pod = self.pod(&attributes.namespace, name)?;
        if uid != meta::uid(pod) {
            return Ok(Err(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            )));
        }
        if pod.text("spec.nodeName") != node {
            return Ok(Err("node requested token bound to a pod scheduled on a different node".into()));
        }
        let audience = match request.items("spec.audiences") {
            [] => "",
            [audience] => audience.as_str().unwrap_or_default(),
            _ => return Ok(Err("node may only request 0 or 1 audiences".into())),
        };
        if self.shows_token_to(pod, audience) {
            return Ok(Ok(()));
        }
        let user = &attributes.user;
        let about = Question::about(user, "request-serviceaccounts-token-audience", "", audience);
        let question = Question { namespace: &attributes.namespace, name: &attributes.name, ..about };
        Ok(match self.judge(&question) {
            Verdict::Allowed { .. } => Ok(()),
            Verdict::NoOpinion { .. } => Err(format!(
                "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
                user.name
            )),
        })
    }

    /// Whether a volume of the pod holds a token for the audience, or the CSI driver of one wants it.
    fn shows_token_to(&self, pod: &Value, audience: &str) -> bool {
        let namespace = meta::namespace(pod);
        let find = |group: &str, plural: &str, key: &str| {
            let route = self.catalog.find(group, plural);
            route.and_then(|route| self.shelf(route.cache?, key))
        };
        let driver_of_claim = |claim: &str| {
            let claim = find("", "persistentvolumeclaims", &[namespace, "/", claim].concat())?;
            let volume =
                self.shelf(self.catalog.shelves.persistent_volumes, claim.text("spec.volumeName"))?;
            Some(volume.shared_text("spec.csi.driver"))
        };
        pod.items("spec.volumes").iter().any(|volume| {
            let mut sources = volume.items("projected.sources").iter();
            let is_it = |source: &Value| {
                source.has("serviceAccountToken") && source.text("serviceAccountToken.audience") == audience
            };
            if sources.any(is_it) {
                return true;
            }
            let driver = if volume.has("ephemeral") {
                driver_of_claim(&[meta::name(pod), "-", volume.text("name")].concat())
            } else if volume.has("persistentVolumeClaim") {
                driver_of_claim(volume.text("persistentVolumeClaim.claimName"))
            } else {
                Some(volume.shared_text("csi.driver"))
            };
            let driver = driver.filter(|driver: &Text| !driver.is_empty());
            let driver = driver.and_then(|driver| find("storage.k8s.io", "csidrivers", &driver));
            driver.is_some_and(|driver| {
                let mut wanted = driver.items("spec.tokenRequests").iter();
                wanted.any(|one| one.text("audience") == audience)
            })
        })
    }
}

/// What a node may say of itself.
fn restrict_own(node: &str, object: &Value, old: Option<&Value>) -> Answer {
    let source = object.at("spec.configSource");
    let Some(old) = old else {
        only_if(source.is_null(), || {
            format!("node {node:?} is not allowed to create pods with a non-nil configSource")
        })?;
        let labels = forbidden_labels(meta::labels(object), &Map::default());
        return only_if(labels.is_empty(), || {
            format!("node {node:?} is not allowed to set the following labels: {labels}")
        });
    };
    only_if(source.is_null() || source == old.at("spec.configSource"), || {
        format!("node {node:?} is not allowed to update configSource to a new non-nil configSource")
    })?;
    only_if(object.items("spec.taints") == old.items("spec.taints"), || {
        format!("node {node:?} is not allowed to modify taints")
    })?;
    let owners = "metadata.ownerReferences";
    only_if(object.items(owners) == old.items(owners), || {
        format!("node {node:?} is not allowed to modify ownerReferences")
    })?;
    if meta::labels(object) == meta::labels(old) {
        return Ok(());
    }
    let labels = forbidden_labels(meta::labels(object), meta::labels(old));
    only_if(labels.is_empty(), || format!("is not allowed to modify labels: {labels}"))
}

/// Labels that differ and that a node may not set, take away or change, as a list.
fn forbidden_labels(new: &Map, old: &Map) -> String {
    let differ = |(key, value): &(&Text, &Value), other: &Map| other.get(key) != Some(*value);
    let changed = new.iter().filter(|label| differ(label, old));
    let mut labels: Vec<&str> = changed
        .chain(old.iter().filter(|label| differ(label, new)))
        .map(|(key, _)| key.as_str())
        .filter(|key| is_forbidden(key))
        .collect();
    labels.arrange();
    labels.dedup();
    labels.join(", ")
}

fn is_forbidden(label: &str) -> bool {
    /// `IsKubeletLabel`.
    const OWN: [&str; 11] = [
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ];
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let is_in =
        |wanted: &str| domain.strip_suffix(wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_own = OWN.contains(&label) || is_in("kubelet.kubernetes.io") || is_in("node.kubernetes.io");
    is_in("node-restriction.kubernetes.io") || (is_in("kubernetes.io") || is_in("k8s.io")) && !is_own
}

/// Whether nothing of a claim differs but what a kubelet that resizes a volume writes.
fn is_same_claim(old: &Value, new: &Value) -> bool {
    let [old, new] = [old, new].map(|claim| {
        let mut claim = claim.clone();
        for field in [
            "metadata.resourceVersion",
            "metadata.managedFields",
            "status.capacity",
            "status.conditions",
            "status.allocatedResourceStatuses",
            "status.allocatedResources",
        ] {
            claim.remove(field);
        }
        claim
    });
    old == new
}
