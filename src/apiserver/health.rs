//! What is not about a resource: version, health, and where to find the rest.
//!
//! Picture to hold in mind: the signs at the entrance.
//!
//! Follows `k8s.io/apiserver/pkg/server/healthz` and `pkg/server/routes`.

use crate::api::status::{Reason, Status};
use crate::api::{Text, Value};
use crate::message::rest::Request;
use crate::object;
use crate::sim::Time;

use super::ApiServer;
use super::exchange::Answer;

/// The checks of `/readyz`, in order; those marked are `/livez`' as well.
const CHECKS: &[(&str, bool)] = &[
    ("ping", true),
    ("log", true),
    ("informer-sync", false),
    ("poststarthook/start-apiserver-admission-initializer", true),
    ("poststarthook/generic-apiserver-start-informers", true),
    ("poststarthook/priority-and-fairness-config-consumer", true),
    ("poststarthook/priority-and-fairness-filter", true),
    ("poststarthook/storage-object-count-tracker-hook", true),
    ("poststarthook/start-apiextensions-informers", true),
    ("poststarthook/start-apiextensions-controllers", true),
    ("poststarthook/crd-informer-synced", true),
    ("poststarthook/start-system-namespaces-controller", true),
    ("poststarthook/peer-endpoint-reconciler-controller", true),
    ("poststarthook/start-cluster-authentication-info-controller", true),
    ("poststarthook/start-kube-apiserver-identity-lease-controller", true),
    ("poststarthook/start-kube-apiserver-identity-lease-garbage-collector", true),
    ("poststarthook/storage-readiness", true),
    ("poststarthook/start-legacy-token-tracking-controller", true),
    ("poststarthook/start-service-ip-repair-controllers", true),
    ("poststarthook/rbac/bootstrap-roles", true),
    ("poststarthook/scheduling/bootstrap-system-priority-classes", true),
    ("poststarthook/priority-and-fairness-config-producer", true),
    ("poststarthook/bootstrap-controller", true),
    ("poststarthook/start-kubernetes-service-cidr-controller", true),
    ("poststarthook/start-kube-aggregator-informers", true),
    ("poststarthook/apiservice-status-local-available-controller", true),
    ("poststarthook/apiservice-status-remote-available-controller", true),
    ("poststarthook/apiservice-registration-controller", true),
    ("poststarthook/apiservice-wait-for-first-sync", true),
    ("poststarthook/apiservice-discovery-controller", true),
    ("poststarthook/kube-apiserver-autoregistration", true),
    ("autoregister-completion", true),
    ("poststarthook/apiservice-openapi-controller", true),
    ("poststarthook/apiservice-openapiv3-controller", true),
    ("shutdown", false),
];

fn version() -> Value {
    object! {
        "major" => "1",
        "minor" => "36",
        "emulationMajor" => "1",
        "emulationMinor" => "36",
        "minCompatibilityMajor" => "1",
        "minCompatibilityMinor" => "35",
        "gitVersion" => "v1.36.2",
        "gitCommit" => "clusterarium",
        "gitTreeState" => "clean",
        "buildDate" => "1970-01-01T00:00:00Z",
        "goVersion" => "go1.26.6",
        "compiler" => "gc",
        "platform" => "linux/amd64",
    }
}

impl ApiServer {
    /// A path and, after a question mark or as parameters, a query.
    pub(super) fn answer_path(&self, request: &Request, now: Time) -> Answer {
        let _ = now;
        let (path, query) = request.path.split_once('?').unwrap_or((request.path.as_str(), ""));
        let asks = |name: &str| {
            query.split('&').any(|part| part.split('=').next() == Some(name))
                || request.options.parameters.iter().any(|(parameter, _)| parameter == name)
        };
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        for (endpoint, is_readyz) in [("/healthz", false), ("/livez", false), ("/readyz", true)] {
            if path == endpoint {
                return self.answer_health(&endpoint[1..], is_readyz, asks("verbose"));
            }
            if let Some(check) = path.strip_prefix(endpoint).and_then(|rest| rest.strip_prefix('/')) {
                return match self.check(check) {
                    Some(true) => Answer::new(200, Value::from("ok")),
                    Some(false) => Answer::new(500, Value::from(format!("internal server error: {check}"))),
                    None => Status::no_such_path().into(),
                };
            }
        }
        if path == "/version" {
            return Answer::new(200, version());
        }
        match self.discovery(path, asks("aggregated")).or_else(|| self.openapi(path)) {
            Some(document) => Answer::new(200, document),
            None => {
                Status::new(404, Reason::NotFound, "the server could not find the requested resource").into()
            }
        }
    }

    fn check(&self, name: &str) -> Option<bool> {
        let (known, _) = CHECKS.iter().find(|(known, _)| *known == name)?;
        Some(match *known {
            "informer-sync" | "poststarthook/storage-readiness" => self.is_ready(),
            _ => true,
        })
    }

    fn answer_health(&self, endpoint: &str, is_readyz: bool, is_verbose: bool) -> Answer {
        let mut lines = String::new();
        let mut is_healthy = true;
        for (name, everywhere) in CHECKS {
            if !is_readyz && !everywhere {
                continue;
            }
            let is_ok = self.check(name).unwrap_or(true);
            is_healthy &= is_ok;
            lines.push_str(&if is_ok {
                format!("[+]{name} ok\n")
            } else {
                format!("[-]{name} failed: reason withheld\n")
            });
        }
        match (is_healthy, is_verbose) {
            (true, false) => Answer::new(200, Value::from("ok")),
            (true, true) => Answer::new(200, Value::from(format!("{lines}{endpoint} check passed\n"))),
            (false, _) => {
                Answer::new(500, Value::from(Text::from(format!("{lines}{endpoint} check failed\n"))))
            }
        }
    }
}
