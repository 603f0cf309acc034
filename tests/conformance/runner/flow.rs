//! Compares who asked the API server for what.
//!
//! Picture to hold in mind: two visitors' books of one town hall. Who came, for what, and in which order the
//! first of each errand was; how often somebody came back for a stamp depends on the day.

use std::collections::BTreeMap;

use clusterarium::api::Value;

/// Component, verb, resource, subresource, code.
type Errand = (String, String, String, String, i64);

/// The recorded requests.
pub fn recorded(requests: &[Value]) -> Vec<Errand> {
    requests
        .iter()
        .map(|request| {
            let text = |field: &str| request.text(field).to_string();
            // The recording tells some clients apart by what they were started with.
            let component = text("component");
            let component =
                component.split(' ').next_back().filter(|_| component.contains("node-controller")).map_or(
                    component.split(' ').next().unwrap_or("").replace("hollow-kubelet", "kubelet"),
                    String::from,
                );
            (
                component,
                text("verb"),
                text("resource"),
                text("subresource"),
                request.integer("code").unwrap_or(0),
            )
        })
        .collect()
}

/// The same of audit events: writes, and what kubectl reads, as the recording has it. The recording of one manifest
/// (`of_namespaces`) holds what was about its namespaces.
pub fn audited(events: &[Value], of_namespaces: bool) -> Vec<Errand> {
    events
        .iter()
        .filter(|event| {
            !of_namespaces
                || !event.text("objectRef.namespace").is_empty()
                || event.text("objectRef.resource") == "namespaces"
        })
        .map(|event| {
            let text = |path: &str| event.text(path).to_string();
            let code = event.integer("responseStatus.code").unwrap_or(0);
            let is_cluster_scoped = text("objectRef.namespace").is_empty();
            let errand = (
                text("userAgent"),
                text("verb"),
                text("objectRef.resource"),
                text("objectRef.subresource"),
                code,
            );
            (errand, is_cluster_scoped)
        })
        .filter(|((component, verb, resource, ..), is_cluster_scoped)| {
            let is_cluster_scoped = *is_cluster_scoped;
            let reads = matches!(verb.as_str(), "get" | "list" | "watch");
            // Stories hold reads within namespaces only.
            if reads && !of_namespaces && (is_cluster_scoped || resource == "namespaces") {
                return false;
            }
            resource != "leases"
                && !resource.is_empty()
                && (!reads || (component == "kubectl" && verb != "watch"))
        })
        .map(|(errand, _)| errand)
        .collect()
}

/// How often something was done counts, unless timing decides it.
fn counts(errands: &[Errand], is_story: bool) -> BTreeMap<Errand, usize> {
    let mut counts = BTreeMap::new();
    for errand in errands {
        let (component, verb, resource, subresource, code) = errand;
        if *code == 409 || (component == "kubelet" && verb == "get") {
            continue;
        }
        // The reference's API server mends its own Service after the cleaning between cases.
        if component == "kube-apiserver" {
            continue;
        }
        // What kubectl reads about the namespace itself is in some stories only.
        if component == "kubectl" && verb == "get" && resource == "namespaces" && is_story {
            continue;
        }
        // Nodes' own business goes on beside every story.
        if resource == "nodes" && component == "kubelet" {
            continue;
        }
        // So does how often somebody knocks at a closed door.
        let by_timing = subresource == "status"
            || *code == 403
            || resource == "events"
            || (verb == "update" && matches!(resource.as_str(), "endpoints" | "endpointslices"));
        let entry = counts.entry(errand.clone()).or_insert(0);
        *entry = if by_timing { 1 } else { *entry + 1 };
        // Events are created or patched, as their correlation has it.
        if resource == "events" && verb == "patch" {
            counts.remove(errand);
        }
    }
    counts
}

/// The order in which the first effects came: namespace, deployment, replicaset, pod, binding, status.
fn first_effects(errands: &[Errand]) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for (component, verb, resource, subresource, code) in errands {
        let is_effect = match (verb.as_str(), resource.as_str(), subresource.as_str()) {
            ("create", "namespaces" | "deployments" | "replicasets" | "pods", "") => true,
            ("create", "pods", "binding") => true,
            ("patch", "pods", "status") => component == "kubelet",
            _ => false,
        };
        let name = format!("{verb} {resource} {subresource}");
        if is_effect && *code < 300 && !order.contains(&name) {
            order.push(name);
        }
    }
    order
}

const CHAIN: [&str; 6] = [
    "create namespaces ",
    "create deployments ",
    "create replicasets ",
    "create pods ",
    "create pods binding",
    "patch pods status",
];

/// Kinds of errand that agree, of how many, and the differences.
pub fn compare(expected: &[Errand], actual: &[Errand], is_story: bool) -> (usize, usize, Vec<String>) {
    let (left, right) = (counts(expected, is_story), counts(actual, is_story));
    let (mut agreed, mut of, mut differences) = (0, 0, Vec::new());
    let show = |(component, verb, resource, subresource, code): &Errand| {
        let slash = if subresource.is_empty() { "" } else { "/" };
        format!("{component}: {verb} {resource}{slash}{subresource} {code}")
    };
    for (errand, count) in &left {
        of += 1;
        match right.get(errand) {
            Some(other) if other == count => agreed += 1,
            Some(other) => differences.push(format!("  {}: real {count}, ours {other}", show(errand))),
            None => differences.push(format!("  {}: real {count}, ours none", show(errand))),
        }
    }
    for (errand, count) in right.iter().filter(|(errand, _)| !left.contains_key(*errand)) {
        of += 1;
        differences.push(format!("  {}: real none, ours {count}", show(errand)));
    }
    let (real, ours) = (first_effects(expected), first_effects(actual));
    of += 1;
    // What is not one chain of causes races: then only the effects count.
    let is_chain =
        |effects: &[String]| effects.is_sorted_by_key(|effect| CHAIN.iter().position(|link| link == effect));
    let sorted = |effects: &[String]| {
        let mut effects = effects.to_vec();
        effects.sort();
        effects
    };
    if real == ours || (!is_chain(&real) && sorted(&real) == sorted(&ours)) {
        agreed += 1;
    } else {
        differences.push(format!("  first effects: real {real:?}, ours {ours:?}"));
    }
    (agreed, of, differences)
}
