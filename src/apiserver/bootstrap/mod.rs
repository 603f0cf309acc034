//! The API server's own objects: what it finds missing it makes.
//!
//! Picture to hold in mind: a caretaker with a list. Every round each thing on the list is looked for and, if it is not
//! there, put there, through the same door that everybody else uses.
//!
//! Follows `pkg/controlplane` (systemnamespaces, kubernetesservice, controller/apiserverleasegc, default service CIDR),
//! `pkg/registry/scheduling/rest` (system priority classes) and `pkg/registry/rbac/rest` (roles: once, when the server
//! starts).

mod endpoints;
mod roles;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::value::literal;
use crate::api::{Text, Value, meta, time};
use crate::language::Context;
use crate::message::rest::{Options, Request, Resource, User, Verb};
use crate::sim::{Duration, Time};
use crate::{array, object};

use super::ApiServer;
use super::allocation::SERVICE_CLUSTER_IP_RANGE;
use super::catalog::below;
use super::exchange::Answer;
use super::store::Purpose;

pub(super) use roles::NODE_RULES;

/// The caretaker's round.
const ROUND: Duration = Duration::from_secs(10);
const IDENTITY_LEASE_SECONDS: u32 = 3600;

#[derive(Clone, Default)]
pub(crate) struct Bootstrap {
    /// Still to be made, in order.
    waiting: VecDeque<Arc<Thing>>,
    /// The request that makes the one in hand.
    in_hand: Option<u64>,
    next_round: Time,
    /// All roles have been there: what is taken away now stays away until the server is started again.
    has_roles: bool,
    /// Something of this round could not be made.
    has_failed: bool,
}

/// Something that must be there.
struct Thing {
    resource: Resource,
    namespace: Text,
    object: Value,
    is_update: bool,
}

fn thing(group: &str, version: &str, plural: &str, namespace: &str, object: Value) -> Arc<Thing> {
    let resource = Resource::new(group, version, plural);
    let object = object.with("apiVersion", resource.api_version());
    Arc::new(Thing { resource, namespace: namespace.into(), object, is_update: false })
}

fn namespace(name: &str) -> Arc<Thing> {
    let object = object! { "kind" => "Namespace", "metadata" => object! { "name" => name } };
    thing("", "v1", "namespaces", "", object)
}

fn priority_class(name: &str, value: i64, description: &str) -> Arc<Thing> {
    let object = object! {
        "kind" => "PriorityClass",
        "metadata" => object! { "name" => name },
        "value" => value,
        "description" => description,
        "preemptionPolicy" => "PreemptLowerPriority",
    };
    thing("scheduling.k8s.io", "v1", "priorityclasses", "", object)
}

impl ApiServer {
    /// The list, in the order in which a fresh server makes it.
    fn own_things(&self, now: Time) -> Vec<Arc<Thing>> {
        let mut things = vec![
            namespace("kube-system"),
            namespace("kube-public"),
            namespace("kube-node-lease"),
            namespace("default"),
            priority_class(
                "system-node-critical",
                2_000_001_000,
                "Used for system critical pods that must not be moved from their current node.",
            ),
            priority_class(
                "system-cluster-critical",
                2_000_000_000,
                "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
            ),
        ];
        let service_cidr = object! {
            "kind" => "ServiceCIDR",
            "metadata" => object! { "name" => "kubernetes" },
            "spec" => object! { "cidrs" => array![SERVICE_CLUSTER_IP_RANGE] },
        };
        things.push(thing("networking.k8s.io", "v1", "servicecidrs", "", service_cidr));
        let service = object! {
            "kind" => "Service",
            "metadata" => object! {
                "name" => "kubernetes",
                "namespace" => "default",
                "labels" => object! { "component" => "apiserver", "provider" => "kubernetes" },
            },
            "spec" => object! {
                "clusterIP" => "10.96.0.1",
                "type" => "ClusterIP",
                "sessionAffinity" => "None",
                "ipFamilies" => array!["IPv4"],
                "ipFamilyPolicy" => "SingleStack",
                "ports" => array![object! {
                    "name" => "https", "protocol" => "TCP", "port" => 443, "targetPort" => 6443,
                }],
            },
        };
        things.push(thing("", "v1", "services", "default", service));
        things.extend(self.endpoints());
        let authentication = object! {
            "kind" => "ConfigMap",
            "metadata" => object! { "name" => "extension-apiserver-authentication", "namespace" => "kube-system" },
            "data" => object! {
                "requestheader-allowed-names" => "[\"front-proxy-client\"]",
                "requestheader-extra-headers-prefix" => "[\"X-Remote-Extra-\"]",
                "requestheader-group-headers" => "[\"X-Remote-Group\"]",
                "requestheader-uid-headers" => "[\"X-Remote-Uid\"]",
                "requestheader-username-headers" => "[\"X-Remote-User\"]",
            },
        };
        things.push(thing("", "v1", "configmaps", "kube-system", authentication));
        let tracking = object! {
            "kind" => "ConfigMap",
            "metadata" => object! {
                "name" => "kube-apiserver-legacy-service-account-token-tracking",
                "namespace" => "kube-system",
            },
            "data" => object! { "since" => Text::from(time::rfc3339(now).get(..10).unwrap_or_default()) },
        };
        things.push(thing("", "v1", "configmaps", "kube-system", tracking));
        things.push(Arc::new(Thing { is_update: false, ..self.identity_lease(now) }));
        things
    }

    fn identity_name(&self) -> String {
        // Upstream hashes the host name; any stable name of that form does.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.config().host.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        format!("apiserver-{hash:016x}{:010x}", hash.rotate_left(21) >> 24)
    }

    fn identity_lease(&self, now: Time) -> Thing {
        let name = self.identity_name();
        let holder = format!("{name}_{}", self.config().host);
        let object = object! {
            "apiVersion" => "coordination.k8s.io/v1",
            "kind" => "Lease",
            "metadata" => object! {
                "name" => &name[..],
                "namespace" => "kube-system",
                "labels" => object! {
                    "apiserver.kubernetes.io/identity" => "kube-apiserver",
                    "kubernetes.io/hostname" => &self.config().host,
                },
            },
            "spec" => object! {
                "holderIdentity" => holder,
                "leaseDurationSeconds" => IDENTITY_LEASE_SECONDS,
                "renewTime" => time::micro_time(now),
            },
        };
        Thing {
            resource: Resource::new("coordination.k8s.io", "v1", "leases"),
            namespace: literal!("kube-system"),
            object,
            is_update: true,
        }
    }

    /// The caches are filled for the first time: the first round.
    pub(super) fn begin_bootstrap(&mut self, context: &mut Context) {
        self.bootstrap.next_round = context.now();
        self.look_after_own_objects(context);
    }

    /// Once a second; a round begins every ten.
    pub(super) fn look_after_own_objects(&mut self, context: &mut Context) {
        let now = context.now();
        if !self.is_ready() || now < self.bootstrap.next_round || self.bootstrap.in_hand.is_some() {
            return;
        }
        self.bootstrap.next_round = now + ROUND;
        let things = self.own_things(now);
        self.bootstrap.waiting = things.into_iter().filter(|thing| self.find_own(thing).is_none()).collect();
        if !self.bootstrap.has_roles {
            let wanted = roles::ROLES.iter().filter_map(|thing| match self.find_own(thing) {
                None => Some(Arc::clone(thing)),
                Some(old) => roles::completed(old, thing).map(Arc::new),
            });
            let wanted: Vec<Arc<Thing>> = wanted.collect();
            self.bootstrap.waiting.extend(wanted);
        }
        self.bootstrap.has_failed = false;
        // The identity is renewed by an update of what is there.
        let mut lease = self.identity_lease(now);
        if let Some(old) = self.find_own(&lease) {
            let renewed = old.clone().with("spec.renewTime", time::micro_time(now));
            lease.object = renewed;
            self.bootstrap.waiting.push_back(Arc::new(lease));
        }
        self.keep_book(context);
        self.make_next(context);
    }

    fn find_own(&self, thing: &Thing) -> Option<&Value> {
        let route = self.catalog.route(&thing.resource)?;
        self.shelf(route.cache?, &below(&route.info, &thing.namespace, meta::name(&thing.object)))
    }

    fn make_next(&mut self, context: &mut Context) {
        self.bootstrap.in_hand = None;
        let thing = loop {
            let Some(thing) = self.bootstrap.waiting.pop_front() else {
                self.bootstrap.has_roles |= !self.bootstrap.has_failed;
                return;
            };
            // Another server may have been faster.
            if thing.is_update || self.find_own(&thing).is_none() {
                break thing;
            }
        };
        let request = Request {
            id: 0,
            user: Arc::new(User::default()),
            user_agent: Text::new(),
            verb: if thing.is_update { Verb::Update } else { Verb::Create },
            resource: thing.resource.clone(),
            namespace: thing.namespace.clone(),
            name: if thing.is_update { thing.object.shared_text("metadata.name") } else { Text::new() },
            subresource: Text::new(),
            path: Text::new(),
            options: Options::default(),
            body: thing.object.clone(),
        };
        self.bootstrap.in_hand = Some(self.request_own(request, context));
    }

    /// The answer to a request of the server to itself: on to the next; what failed is missing in the next round.
    pub(super) fn own_answer(&mut self, id: u64, answer: &Answer, context: &mut Context) {
        if self.bootstrap.in_hand == Some(id) {
            // Another server may have been faster.
            self.bootstrap.has_failed |= answer.code >= 400 && answer.body.text("reason") != "AlreadyExists";
            self.make_next(context);
        } else {
            self.definition_answered(id, answer, context);
        }
    }
}
