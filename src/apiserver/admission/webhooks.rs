//! Admission webhooks: who would be called, and what becomes of a call that nobody takes.
//!
//! Picture to hold in mind: a form that has to be stamped by an office in another town, where nobody picks up the phone.
//! Either it is not valid without that stamp, or it goes on as it is.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/webhook`, `pkg/util/proxy.ResolveCluster`, and for the webhooks that
//! convert custom resources apiextensions-apiserver `pkg/apiserver/conversion`. No program here serves a webhook, so every
//! call fails on its way.

use std::net::IpAddr;

use super::policy::subject_of;
use super::{Attributes, policy};
use crate::api::kind::ResourceInfo;
use crate::api::status::{Reason, Status};
use crate::api::{Value, meta};
use crate::apiserver::ApiServer;

/// Go's words for a request that nobody answers.
fn unanswered(url: &str, seconds: &str, trouble: &str) -> String {
    ["Post \"", url, "?timeout=", seconds, "s\": ", trouble].concat()
}

impl ApiServer {
    /// Calls the webhooks of all configurations on the shelf that are about a request: the first that must be heard and
    /// cannot be reached refuses it.
    pub(super) fn call_webhooks(
        &self,
        attributes: &Attributes,
        shelf: usize,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let old = old.unwrap_or(&Value::Null);
        // Who locks himself out must be able to take the lock off again.
        let Some(configurations) = self.caches.get(shelf).filter(|own| !own.objects.is_empty()) else {
            return Ok(());
        };
        if attributes.info.group == "admissionregistration.k8s.io" {
            return Ok(());
        }
        for hook in configurations.objects.values().flat_map(|own| own.items("webhooks")) {
            let is_exact = hook.text("matchPolicy") == "Exact";
            if !self.selects(attributes, hook, object, old) {
                continue;
            }
            let Some(version) = policy::matched(attributes, hook.items("rules"), is_exact) else { continue };
            let subject = subject_of(attributes, &version, object, old);
            let must_be_heard = hook.text("failurePolicy") != "Ignore";
            match self.fits(attributes, hook, &subject, &Value::Null) {
                Ok(true) if must_be_heard => {}
                Err(error) if must_be_heard => return Err(attributes.forbidden(object, error)),
                _ => continue,
            }
            let (url, trouble) = self.reach(hook.at("clientConfig"));
            let seconds = hook.integer("timeoutSeconds").unwrap_or(10).to_string();
            let name = hook.text("name");
            let why = unanswered(&url, &seconds, &trouble);
            let words = ["failed calling webhook \"", name, "\": failed to call webhook: ", &why];
            return Err(Status::internal_error(words.concat()));
        }
        Ok(())
    }

    /// Whether a stored or sent object can be had in another version: not where a webhook would have to convert it
    /// (`webhook_converter.go`). Built-in kinds and definitions without a webhook always can.
    pub(in crate::apiserver) fn convertible(
        &self,
        info: &ResourceInfo,
        version: &str,
        object: &Value,
    ) -> Result<(), Status> {
        let Some(conversion) = info.definition.as_ref().map(|kind| kind.definition().at("spec.conversion"))
        else {
            return Ok(());
        };
        let (group, own_version) = meta::split_api_version(object.text("apiVersion"));
        if conversion.text("strategy") != "Webhook" || own_version == version {
            return Ok(());
        }
        let (url, trouble) = self.reach(conversion.at("webhook.clientConfig"));
        let why = unanswered(&url, "30", &trouble);
        let kind = [group, "/", own_version, ", Kind=", &info.kind];
        let words = ["conversion webhook for ", &kind.concat(), " failed: ", &why].concat();
        Err(Status::new(500, Reason::Unknown, words))
    }

    /// Why a version's watch cache, which holds all objects in that version, cannot be filled.
    pub(in crate::apiserver) fn fillable(
        &self,
        info: &ResourceInfo,
        cache: usize,
        version: &str,
    ) -> Result<(), Status> {
        if info.definition.is_none() {
            return Ok(());
        }
        let mut objects = self.caches.get(cache).into_iter().flat_map(|cache| cache.objects.values());
        objects.try_for_each(|object| self.convertible(info, version, object)).map_err(|status| {
            let kind = [&info.group, "/", version, ", Kind=", &info.kind].concat();
            let words = ["storage is (re)initializing: failed to list ", &kind, ": ", &status.message];
            Status::too_many_requests(words.concat(), 1)
        })
    }

    /// The address that is called, and why nobody answers.
    fn reach(&self, client: &Value) -> (String, String) {
        let service = client.at("service");
        if service.is_null() {
            let url = client.text("url");
            let host = url.trim_start_matches("https://").split('/').next().unwrap_or("");
            let (name, port) = host.rsplit_once(':').unwrap_or((host, "443"));
            let path = if url.ends_with(host) { "/" } else { "" };
            let trouble = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(_) => ["dial tcp ", name, ":", port, ": connect: connection refused"],
                Err(_) => ["dial tcp: lookup ", name, ":", " no such host", ""],
            };
            return ([url, path].concat(), trouble.concat());
        }
        let (namespace, name) = (service.text("namespace"), service.text("name"));
        let port = service.integer("port").unwrap_or(443);
        let port_text = port.to_string();
        let path = service.text("path");
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = ["https://", name, ".", namespace, ".svc:", &port_text, slash, path].concat();
        let key = [namespace, "/", name].concat();
        let trouble = match self.shelf(self.catalog.shelves.services, &key) {
            None => ["service \"", name, "\" not found"].concat(),
            Some(service) if service.text("spec.clusterIP") == "None" => {
                "cannot route to service with ClusterIP \"None\"".into()
            }
            Some(service) => {
                let has = service.items("spec.ports").iter().any(|own| own.integer("port") == Some(port));
                match (service.text("spec.clusterIP"), has) {
                    (_, false) => {
                        ["no service port ", &port_text, " found for service \"", name, "\""].concat()
                    }
                    (ip, true) => {
                        ["dial tcp ", ip, ":", &port_text, ": connect: connection refused"].concat()
                    }
                }
            }
        };
        (url, trouble)
    }
}
