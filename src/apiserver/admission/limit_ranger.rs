//! LimitRanger: a namespace's usual sizes for containers, and the largest and smallest that it takes.
//!
//! Picture to hold in mind: a luggage gauge at the gate, with spare labels for bags that carry none.
//!
//! Follows `plugin/pkg/admission/limitranger/admission.go`. Upstream walks Go maps, whose order is chance; here
//! resources go by name.

use crate::api::field::aggregate;
use crate::api::quantity::Quantity;
use crate::api::quota::{Amounts as List, read, total};
use crate::api::status::Status;
use crate::api::{Map, Text, Value, meta};

use super::Attributes;
use crate::apiserver::ApiServer;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

impl ApiServer {
    fn limit_ranges(&self, namespace: &str) -> Vec<&Value> {
        match self.caches.get(self.catalog.shelves.limit_ranges) {
            Some(cache) if !cache.objects.is_empty() => {
                cache.list(namespace).map(|(_, range)| range).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn default_limits(&self, attributes: &Attributes, pod: &mut Value) {
        for range in self.limit_ranges(&attributes.namespace) {
            let (mut requests, mut limits) = (Map::new(), Map::new());
            for limit in range.items("spec.limits").iter().filter(|limit| limit.text("type") == "Container") {
                for (name, value) in limit.map("defaultRequest").iter() {
                    requests.insert(name, value);
                }
                for (name, value) in limit.map("default").iter() {
                    limits.insert(name, value);
                }
            }
            let mut notes: Vec<String> = Vec::new();
            for (field, prefix) in
                [("spec.containers", "container"), ("spec.initContainers", "init container")]
            {
                if pod.items(field).is_empty() {
                    continue;
                }
                for container in pod.at_mut(field).make_array() {
                    let name = container.shared_text("name");
                    for (path, defaults, what) in
                        [("resources.requests", &requests, "request"), ("resources.limits", &limits, "limit")]
                    {
                        let missing: Vec<(&Text, &Value)> = defaults
                            .iter()
                            .filter(|(name, _)| !container.map(path).contains_key(name))
                            .collect();
                        if missing.is_empty() {
                            continue;
                        }
                        let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
                        notes.push(format!("{} {what} for {prefix} {name}", names.join(", ")));
                        let map = container.at_mut(path).make_object();
                        for (name, value) in missing {
                            map.insert(name, value);
                        }
                    }
                }
            }
            if !notes.is_empty() {
                let note = format!("LimitRanger plugin set: {}", notes.join("; "));
                meta::set_annotation(pod, ANNOTATION, note);
            }
        }
    }

    pub(super) fn check_limits(&self, attributes: &Attributes, pod: &Value) -> Result<(), Status> {
        for range in self.limit_ranges(&attributes.namespace) {
            let mut errors = Vec::new();
            for limit in range.items("spec.limits") {
                match limit.text("type") {
                    "Container" => {
                        for container in
                            pod.items("spec.containers").iter().chain(pod.items("spec.initContainers"))
                        {
                            let amounts = Amounts {
                                requests: read(container.map("resources.requests")),
                                limits: read(container.map("resources.limits")),
                            };
                            check(limit, "Container", &amounts, &mut errors);
                        }
                    }
                    "Pod" => {
                        let amounts =
                            Amounts { requests: total(pod, "requests"), limits: total(pod, "limits") };
                        check(limit, "Pod", &amounts, &mut errors);
                    }
                    _ => {}
                }
            }
            if let Some(text) = aggregate(&errors) {
                return Err(attributes.forbidden(pod, text));
            }
        }
        Ok(())
    }

    pub(super) fn check_claim_limits(&self, attributes: &Attributes, claim: &Value) -> Result<(), Status> {
        for range in self.limit_ranges(&attributes.namespace) {
            let mut errors = Vec::new();
            let requests = read(claim.map("spec.resources.requests"));
            for limit in range.items("spec.limits") {
                if limit.text("type") != "PersistentVolumeClaim" {
                    continue;
                }
                let kind = "PersistentVolumeClaim";
                for (name, enforced) in read(limit.map("min")) {
                    minimum(kind, &name, enforced, requests.get(&name), None, &mut errors);
                }
                for (name, enforced) in read(limit.map("max")) {
                    match requests.get(&name) {
                        None => errors.push(format!(
                            "maximum {name} usage per {kind} is {enforced}.  No request is specified"
                        )),
                        Some(request) if *request > enforced => errors.push(format!(
                            "maximum {name} usage per {kind} is {enforced}, but request is {request}"
                        )),
                        Some(_) => {}
                    }
                }
            }
            if let Some(text) = aggregate(&errors) {
                return Err(attributes.forbidden(claim, text));
            }
        }
        Ok(())
    }
}

struct Amounts {
    requests: List,
    limits: List,
}

fn minimum(
    kind: &str,
    name: &str,
    enforced: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
    errors: &mut Vec<String>,
) {
    match (request, limit) {
        (None, _) => {
            errors.push(format!("minimum {name} usage per {kind} is {enforced}.  No request is specified"));
        }
        (Some(request), _) if *request < enforced => {
            errors.push(format!("minimum {name} usage per {kind} is {enforced}, but request is {request}"));
        }
        (_, Some(limit)) if *limit < enforced => {
            errors.push(format!("minimum {name} usage per {kind} is {enforced}, but limit is {limit}"));
        }
        _ => {}
    }
}

fn check(limit: &Value, kind: &str, amounts: &Amounts, errors: &mut Vec<String>) {
    for (name, enforced) in read(limit.map("min")) {
        let (request, limit) = (amounts.requests.get(&name), amounts.limits.get(&name));
        minimum(kind, &name, enforced, request, limit, errors);
    }
    for (name, enforced) in read(limit.map("max")) {
        match (amounts.limits.get(&name), amounts.requests.get(&name)) {
            (None, _) => {
                errors.push(format!("maximum {name} usage per {kind} is {enforced}.  No limit is specified"));
            }
            (Some(limit), _) if *limit > enforced => {
                errors.push(format!("maximum {name} usage per {kind} is {enforced}, but limit is {limit}"));
            }
            (_, Some(request)) if *request > enforced => {
                errors
                    .push(format!("maximum {name} usage per {kind} is {enforced}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, enforced) in read(limit.map("maxLimitRequestRatio")) {
        let ratio = format!("{name} max limit to request ratio per {kind} is {enforced}");
        let amount = |list: &List| list.get(&name).map_or(0, Quantity::milli_value);
        let (request, limit) = (amount(&amounts.requests), amount(&amounts.limits));
        if request == 0 {
            errors.push(format!("{ratio}, but no request is specified or request is 0"));
        } else if limit == 0 {
            errors.push(format!("{ratio}, but no limit is specified or limit is 0"));
        } else if i128::from(limit) * 1000 > i128::from(enforced.milli_value()) * i128::from(request) {
            // As `%f`: six decimals.
            let millionths = i128::from(limit) * 1_000_000 / i128::from(request);
            errors.push(format!(
                "{ratio}, but provided ratio is {}.{:06}",
                millionths / 1_000_000,
                millionths % 1_000_000
            ));
        }
    }
}
