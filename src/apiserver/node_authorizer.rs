//! What a node may do: what its pods need, and no more.
//!
//! Picture to hold in mind: a caterer with the seating plan. A table's waiter is handed what the guests at his table have
//! ordered; for the dishes of other tables he asks in vain.
//!
//! Follows `plugin/pkg/auth/authorizer/node` (node_authorizer.go, graph.go). Upstream keeps a graph of who refers to what;
//! here the pods of each node are known, and are read when the node asks: there are never many of them.

use crate::api::{Text, Value, meta};
use crate::shared_map::SharedMap;

use super::ApiServer;
use super::access::{Question, node_of};
use super::bootstrap::NODE_RULES;
use super::rbac::permit;
use super::references::{Referred, needs_secret, refers};

type Answer = Result<(), String>;

fn refuse(words: &str) -> Answer {
    Err(words.into())
}

/// What it says to a node that asks for something of others.
fn unrelated(node: &str) -> Answer {
    Err(format!("no relationship found between node '{node}' and this object"))
}

const RESOURCE_GROUP: &str = "resource.k8s.io";
const STORAGE_GROUP: &str = "storage.k8s.io";

impl ApiServer {
    /// `None`: whoever asks is no node. Otherwise whether the node may, and what is said against it.
    pub(super) fn ask_node_authorizer(&self, question: &Question) -> Option<Answer> {
        let node = node_of(question.user)?;
        if node.is_empty() {
            return Some(Err(format!("unknown node for user {:?}", question.user.name)));
        }
        let subdivided = if question.path.is_empty() { self.ask_about(node, question) } else { None };
        Some(
            subdivided
                .unwrap_or_else(|| if permit(&NODE_RULES, question).is_some() { Ok(()) } else { refuse("") }),
        )
    }

    /// The resources of which a node may have only its own; `None`: it is none of them.
    fn ask_about(&self, node: &str, question: &Question) -> Option<Answer> {
        let (verb, subresource) = (question.verb, question.subresource);
        let of_pods = |what: Referred| {
            if question.name.is_empty() {
                return refuse("No Object name found");
            }
            let is_related = self.is_referred(node, what, question.namespace, question.name);
            if is_related { Ok(()) } else { unrelated(node) }
        };
        let own = |is_own: bool| {
            if question.name.is_empty() {
                return refuse("No Object name found");
            }
            if is_own { Ok(()) } else { unrelated(node) }
        };
        let reads = || match verb {
            "get" | "list" | "watch" if !subresource.is_empty() => refuse("cannot read subresource"),
            "get" | "list" | "watch" if question.namespace.is_empty() => {
                refuse("can only read namespaced object of this type")
            }
            "get" | "list" | "watch" => Ok(()),
            _ => refuse("can only read resources of this type"),
        };
        let gets = || match verb {
            "get" if subresource.is_empty() => Ok(()),
            "get" => refuse("cannot get subresource"),
            _ => refuse("can only get individual resources of this type"),
        };
        Some(match (question.group, question.resource) {
            ("", "secrets") => reads().and_then(|()| of_pods(Referred::Secret)),
            ("", "configmaps") => reads().and_then(|()| of_pods(Referred::ConfigMap)),
            ("", "persistentvolumeclaims") if subresource == "status" => match verb {
                "update" | "patch" => of_pods(Referred::Claim),
                _ => refuse("can only get/update/patch this type"),
            },
            ("", "persistentvolumeclaims") => gets().and_then(|()| of_pods(Referred::Claim)),
            ("", "persistentvolumes") => gets().and_then(|()| {
                let volume = self.shelf(self.catalog.shelves.persistent_volumes, question.name);
                own(volume.is_some_and(|volume| self.is_volume_of(node, volume)))
            }),
            (RESOURCE_GROUP, "resourceclaims") => gets().and_then(|()| of_pods(Referred::ResourceClaim)),
            (STORAGE_GROUP, "volumeattachments") => {
                gets().and_then(|()| own(self.is_at(node, question, STORAGE_GROUP)))
            }
            ("", "serviceaccounts") if verb == "get" && subresource.is_empty() => {
                reads().and_then(|()| of_pods(Referred::ServiceAccount))
            }
            ("", "serviceaccounts") => match (verb, subresource) {
                ("create", "token") if !question.name.is_empty() => of_pods(Referred::ServiceAccount),
                ("create", _) if !question.name.is_empty() => {
                    refuse("can only create token subresource of serviceaccount")
                }
                _ => refuse("can only create tokens for individual service accounts"),
            },
            ("coordination.k8s.io", "leases") => match verb {
                "get" | "create" | "update" | "patch" | "delete" => match question.namespace {
                    "kube-node-lease" if verb == "create" || question.name == node => Ok(()),
                    "kube-node-lease" => {
                        refuse("can only access node lease with the same name as the requesting node")
                    }
                    _ => refuse("can only access leases in the \"kube-node-lease\" system namespace"),
                },
                _ => refuse("can only get, create, update, patch, or delete a node lease"),
            },
            (STORAGE_GROUP, "csinodes") => match verb {
                _ if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") => {
                    refuse("can only get, create, update, patch, or delete a CSINode")
                }
                _ if !subresource.is_empty() => refuse("cannot authorize CSINode subresources"),
                _ if verb == "create" || question.name == node => Ok(()),
                _ => refuse("can only access CSINode with the same name as the requesting node"),
            },
            (RESOURCE_GROUP, "resourceslices") => match verb {
                _ if !subresource.is_empty() => refuse("cannot authorize ResourceSlice subresources"),
                "create" => Ok(()),
                "get" | "update" | "patch" | "delete" => own(self.is_at(node, question, RESOURCE_GROUP)),
                "watch" | "list" | "deletecollection" => {
                    if question.selected("spec.nodeName") == Some(node) {
                        return Some(Ok(()));
                    }
                    refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
                }
                _ => refuse(
                    "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
                ),
            },
            // Admission keeps a node from writing others' objects.
            ("", "nodes") => match (subresource, verb, question.name) {
                ("", "create" | "update" | "patch", _) | ("status", "update" | "patch", _) => Ok(()),
                ("", "get" | "list" | "watch", name) if name == node => Ok(()),
                ("", "get" | "list" | "watch", "") => {
                    Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
                }
                ("", "get" | "list" | "watch", name) => {
                    Err(format!("node '{node}' cannot read '{name}', only its own Node object"))
                }
                _ => refuse(""),
            },
            ("", "pods") => match (subresource, verb) {
                ("", "list" | "watch") if question.selected("spec.nodeName") == Some(node) => Ok(()),
                ("", "list" | "watch") if question.name.is_empty() => {
                    refuse("can only list/watch pods with spec.nodeName field selector")
                }
                ("", "get" | "list" | "watch") => {
                    let key = [question.namespace, "/", question.name].concat();
                    let pod = self.shelf(self.catalog.shelves.pods, &key);
                    own(pod.is_some_and(|pod| pod.text("spec.nodeName") == node))
                }
                ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
                _ => refuse(""),
            },
            ("certificates.k8s.io", "podcertificaterequests") => refuse(""),
            _ => return None,
        })
    }

    /// Whether an object without references names the node: an attachment, a slice.
    fn is_at(&self, node: &str, question: &Question, group: &str) -> bool {
        let route = self.catalog.find(group, question.resource);
        let object = route.and_then(|route| self.shelf(route.cache?, question.name));
        object.is_some_and(|object| object.text("spec.nodeName") == node)
    }

    /// Whether a pod of the node refers to it, by way of a volume if need be.
    fn is_referred(&self, node: &str, what: Referred, namespace: &str, name: &str) -> bool {
        let mut pods = self.pods_of(node, namespace);
        if pods.any(|pod| refers(pod, what, name)) {
            return true;
        }
        let volumes = self.caches.get(self.catalog.shelves.persistent_volumes);
        what == Referred::Secret
            && volumes.is_some_and(|volumes| {
                let mut volumes = volumes.objects.values();
                volumes.any(|volume| needs_secret(volume, namespace, name) && self.is_volume_of(node, volume))
            })
    }
    /// Whether a pod of the node has the claim that holds the volume.
    fn is_volume_of(&self, node: &str, volume: &Value) -> bool {
        let claim = volume.at("spec.claimRef");
        let mut pods = self.pods_of(node, claim.text("namespace"));
        pods.any(|pod| refers(pod, Referred::Claim, claim.text("name")))
    }

    /// The pods of a node in a namespace. Mirror pods give no rights: the node itself has made them.
    fn pods_of(&self, node: &str, namespace: &str) -> impl Iterator<Item = &Value> {
        let start = Text::from([node, "/", namespace, "/"].concat());
        let from = self.bound.from(start.as_str());
        let own = from.take_while(move |(key, ())| key.starts_with(start.as_str()));
        let skip = node.len() + 1;
        let pods = own.filter_map(move |(key, ())| self.shelf(self.catalog.shelves.pods, &key[skip..]));
        pods.filter(|pod| meta::annotation(pod, "kubernetes.io/config.mirror").is_none())
    }

    /// A pod has come to a node, or has gone from one.
    pub(super) fn pod_bound(&mut self, key: &str, old: Option<&Value>, new: Option<&Value>) {
        let [old, new] = [old, new].map(|pod| pod.map_or("", |pod| pod.text("spec.nodeName")));
        if old == new {
            return;
        }
        if !old.is_empty() {
            self.bound.remove([old, "/", key].concat().as_str());
        }
        if !new.is_empty() {
            self.bound.insert([new, "/", key].concat().into(), ());
        }
    }
    /// All pods are known anew.
    pub(super) fn bind_all_pods(&mut self) {
        self.bound = SharedMap::new();
        let pods = self.caches.get(self.catalog.shelves.pods).cloned();
        for (key, pod) in pods.iter().flat_map(|cache| cache.objects.iter()) {
            self.pod_bound(key, None, Some(pod));
        }
    }
}
