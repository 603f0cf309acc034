//! Admission webhooks: who would be called, and what becomes of a call that nobody takes.
//!
//! Picture to hold in mind: a form that has to be stamped by an office in another town, where nobody picks up the phone.
//! Either it is not valid without that stamp, or it goes on as it is.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/webhook` and `pkg/util/proxy.ResolveCluster`. No program here serves a
//! webhook, so every call fails on its way.

use std::net::IpAddr;

use super::policy::subject_of;
use super::{Attributes, policy};
use crate::api::status::Status;
use crate::api::{Value, cel};
use crate::apiserver::ApiServer;

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
            match self.fits(attributes, hook, &subject, &Value::Null, &mut (cel::WHOLE_BUDGET / 4)) {
                Ok(true) if must_be_heard => {}
                Err(error) if must_be_heard => return Err(attributes.forbidden(object, error)),
                _ => continue,
            }
            let (url, trouble) = self.reach(hook.at("clientConfig"));
            let seconds = hook.integer("timeoutSeconds").unwrap_or(10).to_string();
            let name = hook.text("name");
            let words = [
                "failed calling webhook \"",
                name,
                "\": failed to call webhook: Post \"",
                &url,
                "?timeout=",
                &seconds,
                "s\": ",
                &trouble,
            ];
            return Err(Status::internal_error(words.concat()));
        }
        Ok(())
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
