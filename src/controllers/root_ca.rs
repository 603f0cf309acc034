//! root-ca-cert-publisher: the cluster's CA certificate as a ConfigMap in every namespace.
//!
//! Picture to hold in mind: a notary's seal hung up in every office, so that each visitor can check the papers.
//!
//! After `pkg/controller/certificates/rootcacertpublisher/publisher.go`.

use crate::api::{Text, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::object;

use super::kinds::{CONFIG_MAP, NAMESPACE};
use super::pod_control::is_namespace_terminating;

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// The simulated cluster's own CA, the same in every run.
pub const CERTIFICATE: &str = include_str!("ca.crt");

#[derive(Clone)]
pub struct RootCaPublisher {
    certificate: Text,
    namespaces: usize,
    config_maps: usize,
}

impl RootCaPublisher {
    /// Of the cluster's own authority, unless there is another.
    pub fn new(authority: &str) -> RootCaPublisher {
        let certificate = if authority.is_empty() { CERTIFICATE } else { authority };
        RootCaPublisher { certificate: certificate.into(), namespaces: 0, config_maps: 0 }
    }
}

impl Controller for RootCaPublisher {
    fn name(&self) -> &'static str {
        "root-ca-cert-publisher"
    }
    fn workers(&self) -> usize {
        1
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.namespaces = informers.add(Selection::all(&NAMESPACE.resource));
        self.config_maps = informers.add(Selection::all(&CONFIG_MAP.resource));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        let object = &delta.object;
        if delta.informer == self.namespaces {
            let is_news = match delta.kind {
                DeltaType::Added => true,
                DeltaType::Updated => object.text("status.phase") == "Active",
                DeltaType::Deleted => false,
            };
            if is_news {
                keys.add(key_of(object));
            }
        } else if delta.informer == self.config_maps
            && delta.kind != DeltaType::Added
            && meta::name(object) == NAME
        {
            keys.add(object.shared_text("metadata.namespace"));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let namespace = call.key().clone();
        let data = object! { "ca.crt" => &self.certificate };
        let Some(existing) = call.store(self.config_maps).get_by_name(&namespace, NAME) else {
            let map = object! {
                "apiVersion" => "v1",
                "kind" => "ConfigMap",
                "metadata" => object! {
                    "name" => NAME,
                    "namespace" => &namespace,
                    "annotations" => object! { "kubernetes.io/description" => DESCRIPTION },
                },
                "data" => data,
            };
            return match call.attempt(request::create(&CONFIG_MAP.resource, &namespace, map))? {
                Err(status) if status.text("reason") == "NotFound" || is_namespace_terminating(&status) => {
                    Ok(())
                }
                Err(status) => Err(Interrupt::from_status(&status)),
                Ok(_) => Ok(()),
            };
        };
        let is_described = meta::annotation(existing, "kubernetes.io/description").is_some();
        if *existing.at("data") == data && is_described {
            return Ok(());
        }
        let mut map = CONFIG_MAP.named(existing);
        map.set("data", data);
        meta::set_annotation(&mut map, "kubernetes.io/description", DESCRIPTION);
        call.update(&CONFIG_MAP.resource, map)?;
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
