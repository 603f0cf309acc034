//! Which API servers stand behind the service `kubernetes`: each says that it is there, and all keep the list.
//!
//! Picture to hold in mind: a guest book by the door. Whoever is on duty signs every ten seconds; a signature fades after
//! fifteen. Everybody copies the names that can still be read onto the sign outside.
//!
//! Follows `pkg/controlplane/reconcilers/lease.go` (`/registry/masterleases/`). An API server that is alone has nobody to
//! tell, and does not sign: its name is the sign.

use std::sync::Arc;

use crate::api::{Text, Value};
use crate::arrange::Arrange;
use crate::language::Context;
use crate::message::etcd;
use crate::{array, object};

use super::{ApiServer, Purpose, Thing, thing};

const BOOK: &str = "/registry/masterleases/";
/// `DefaultEndpointReconcilerTTL`.
const SIGNATURE_SECONDS: u64 = 15;

impl ApiServer {
    /// The addresses of the servers that are there, this one's among them.
    fn servers(&self) -> Vec<Text> {
        let mut found: Vec<Text> =
            self.unclaimed.keys().filter_map(|key| key.strip_prefix(BOOK)).map(Text::from).collect();
        let own = &self.config.advertise_address;
        if !found.contains(own) {
            found.push(own.clone());
        }
        found.arrange();
        found
    }

    /// The Endpoints and the EndpointSlice of the service, as they ought to be.
    pub(super) fn endpoints(&self) -> [Arc<Thing>; 2] {
        let servers = self.servers();
        let ports = array![object! { "name" => "https", "port" => 6443, "protocol" => "TCP" }];
        let address = |ip: &Text| object! { "ip" => ip };
        let endpoints = object! {
            "kind" => "Endpoints",
            "metadata" => object! {
                "name" => "kubernetes",
                "namespace" => "default",
                "labels" => object! { "endpointslice.kubernetes.io/skip-mirror" => "true" },
            },
            "subsets" => array![object! {
                "addresses" => Value::array(servers.iter().map(address)),
                "ports" => ports.clone(),
            }],
        };
        let endpoint = |ip: &Text| {
            object! { "addresses" => array![ip], "conditions" => object! { "ready" => true } }
        };
        let slice = object! {
            "kind" => "EndpointSlice",
            "metadata" => object! {
                "name" => "kubernetes",
                "namespace" => "default",
                "labels" => object! { "kubernetes.io/service-name" => "kubernetes" },
            },
            "addressType" => "IPv4",
            "endpoints" => Value::array(servers.iter().map(endpoint)),
            "ports" => ports,
        };
        [
            thing("", "v1", "endpoints", "default", endpoints),
            thing("discovery.k8s.io", "v1", "endpointslices", "default", slice),
        ]
    }

    /// Once a round: signs the book, and brings the service up to date with it.
    pub(super) fn keep_book(&mut self, context: &mut Context) {
        if self.config.is_alone {
            return;
        }
        let lease = (context.random().next() >> 1).max(1) as i64;
        let grant = etcd::Operation::LeaseGrant { lease, ttl_seconds: SIGNATURE_SECONDS };
        self.store.ask(grant, Purpose::Signature { lease }, context);
        let [endpoints, slice] = self.endpoints();
        for (wanted, field) in [(endpoints, "subsets"), (slice, "endpoints")] {
            let Some(old) = self.find_own(&wanted) else { continue };
            if old.at(field) != wanted.object.at(field) {
                let object = old.clone().with(field, wanted.object.at(field).clone());
                let (resource, namespace) = (wanted.resource.clone(), wanted.namespace.clone());
                self.bootstrap.waiting.push_back(Arc::new(Thing {
                    resource,
                    namespace,
                    object,
                    is_update: true,
                }));
            }
        }
    }

    /// There is a lease for the signature.
    pub(in crate::apiserver) fn sign(&mut self, lease: i64, context: &mut Context) {
        let ip = &self.config.advertise_address;
        let value = object! {
            "kind" => "Endpoints",
            "apiVersion" => "v1",
            "subsets" => array![object! { "addresses" => array![object! { "ip" => ip }] }],
        };
        let put = etcd::Change::Put { key: arcstr::format!("{BOOK}{ip}"), value, lease };
        let txn = etcd::Txn { success: vec![put], ..etcd::Txn::default() };
        self.store.ask(etcd::Operation::Txn(txn), Purpose::Errand, context);
    }
}
