//! Services, endpoints, ingresses, policies.
//!
//! Picture to hold in mind: the switchboard's directory.

use crate::api::{Value, selector};
use crate::arrange::{Arrange, Gather};

use super::page::{Page, joined, line, list, number, or_none, text_of};

pub fn service(page: &mut Page, service: &Value, slices: &[Value]) {
    page.heading(service);
    let spec = service.at("spec");
    line!(page, 0, "Selector:\t{}", joined(spec.map("selector")));
    line!(page, 0, "Type:\t{}", spec.text("type"));
    if spec.has("ipFamilyPolicy") {
        line!(page, 0, "IP Family Policy:\t{}", spec.text("ipFamilyPolicy"));
    }
    line!(page, 0, "IP Families:\t{}", or_none(&list(spec, "ipFamilies", ",")));
    line!(page, 0, "IP:\t{}", spec.text("clusterIP"));
    line!(page, 0, "IPs:\t{}", or_none(&list(spec, "clusterIPs", ",")));
    if !spec.items("externalIPs").is_empty() {
        line!(page, 0, "External IPs:\t{}", list(spec, "externalIPs", ","));
    }
    for (title, field) in [("Desired LoadBalancer IP", "loadBalancerIP"), ("External Name", "externalName")] {
        if !spec.text(field).is_empty() {
            line!(page, 0, "{title}:\t{}", spec.text(field));
        }
    }
    let balancers = service.items("status.loadBalancer.ingress");
    if !balancers.is_empty() {
        let texts: Vec<String> = balancers
            .iter()
            .map(|ingress| match (ingress.text("ip"), ingress.text("ipMode")) {
                ("", _) => ingress.text("hostname").to_string(),
                (ip, "") => ip.to_string(),
                (ip, mode) => format!("{ip} ({mode})"),
            })
            .collect();
        line!(page, 0, "LoadBalancer Ingress:\t{}", texts.join(", "));
    }
    for port in spec.items("ports") {
        let (name, protocol) = (port.text("name"), port.text("protocol"));
        let shown = if name.is_empty() { "<unset>" } else { name };
        line!(page, 0, "Port:\t{shown}\t{}/{protocol}", number(port, "port"));
        line!(page, 0, "TargetPort:\t{}/{protocol}", text_of(port.at("targetPort")));
        if port.has("appProtocol") {
            line!(page, 0, "AppProtocol:\t{}", port.text("appProtocol"));
        }
        if number(port, "nodePort") != 0 {
            line!(page, 0, "NodePort:\t{shown}\t{}/{protocol}", number(port, "nodePort"));
        }
        line!(page, 0, "Endpoints:\t{}", endpoints_of(slices, name));
    }
    line!(page, 0, "Session Affinity:\t{}", spec.text("sessionAffinity"));
    for (title, field) in [
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
    ] {
        if !spec.text(field).is_empty() {
            line!(page, 0, "{title}:\t{}", spec.text(field));
        }
    }
    if number(spec, "healthCheckNodePort") != 0 {
        line!(page, 0, "HealthCheck NodePort:\t{}", number(spec, "healthCheckNodePort"));
    }
    if !spec.items("loadBalancerSourceRanges").is_empty() {
        line!(page, 0, "LoadBalancer Source Ranges:\t{}", list(spec, "loadBalancerSourceRanges", ","));
    }
    if spec.has("trafficDistribution") {
        line!(page, 0, "Traffic Distribution:\t{}", spec.text("trafficDistribution"));
    }
}

/// Ready addresses behind a port, three at most.
pub fn endpoints_of(slices: &[Value], port_name: &str) -> String {
    const MOST: usize = 3;
    if slices.is_empty() {
        return "<none>".into();
    }
    let mut all: Vec<String> = Vec::new();
    for slice in slices {
        let ready = || {
            let is_ready = |endpoint: &&Value| endpoint.at("conditions.ready").as_bool() != Some(false);
            slice
                .items("endpoints")
                .iter()
                .filter(is_ready)
                .filter_map(|endpoint| endpoint.items("addresses").first()?.as_str())
        };
        if slice.items("ports").is_empty() {
            all.extend(ready().map(String::from));
        }
        for port in slice.items("ports").iter().filter(|port| port.text("name") == port_name) {
            all.extend(ready().map(|address| match address.contains(':') {
                true => format!("[{address}]:{}", number(port, "port")),
                false => format!("{address}:{}", number(port, "port")),
            }));
        }
    }
    if all.len() > MOST {
        return format!("{} + {} more...", all[..MOST].join(","), all.len() - MOST);
    }
    all.join(",")
}

pub fn endpoints(page: &mut Page, endpoints: &Value) {
    page.heading(endpoints);
    line!(page, 0, "Subsets:");
    for subset in endpoints.items("subsets") {
        for (title, field) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
            let addresses: Vec<&str> = subset.items(field).iter().map(|address| address.text("ip")).collect();
            line!(page, 1, "{title}:\t{}", or_none(&addresses.join(",")));
        }
        if !subset.items("ports").is_empty() {
            line!(page, 1, "Ports:");
            line!(page, 2, "Name\tPort\tProtocol");
            line!(page, 2, "----\t----\t--------");
            for port in subset.items("ports") {
                let name = port.text("name");
                let name = if name.is_empty() { "<unset>" } else { name };
                line!(page, 2, "{name}\t{}\t{}", number(port, "port"), port.text("protocol"));
            }
        }
        line!(page, 0, "");
    }
}

pub fn endpoint_slice(page: &mut Page, slice: &Value) {
    page.heading(slice);
    line!(page, 0, "AddressType:\t{}", slice.text("addressType"));
    if slice.items("ports").is_empty() {
        line!(page, 0, "Ports: <unset>");
    } else {
        line!(page, 0, "Ports:");
        line!(page, 1, "Name\tPort\tProtocol");
        line!(page, 1, "----\t----\t--------");
        for port in slice.items("ports") {
            let unset =
                |text: String| if text.is_empty() || text == "<nil>" { "<unset>".to_string() } else { text };
            let (name, number) = (unset(port.text("name").into()), unset(text_of(port.at("port"))));
            line!(page, 1, "{name}\t{number}\t{}", port.text("protocol"));
        }
    }
    if slice.items("endpoints").is_empty() {
        return line!(page, 0, "Endpoints: <none>");
    }
    line!(page, 0, "Endpoints:");
    for endpoint in slice.items("endpoints") {
        let unset = |text: &str| if text.is_empty() { "<unset>".to_string() } else { text.to_string() };
        line!(page, 1, "- Addresses:\t{}", or_none(&list(endpoint, "addresses", ", ")));
        line!(page, 2, "Conditions:");
        let ready =
            endpoint.at("conditions.ready").as_bool().map_or("<unset>".into(), |ready| ready.to_string());
        line!(page, 3, "Ready:\t{ready}");
        line!(page, 2, "Hostname:\t{}", unset(endpoint.text("hostname")));
        if endpoint.has("targetRef") {
            line!(
                page,
                2,
                "TargetRef:\t{}/{}",
                endpoint.text("targetRef.kind"),
                endpoint.text("targetRef.name")
            );
        }
        line!(page, 2, "NodeName:\t{}", unset(endpoint.text("nodeName")));
        line!(page, 2, "Zone:\t{}", unset(endpoint.text("zone")));
    }
}

/// `backends` says where each `service:port` leads.
pub fn ingress(page: &mut Page, ingress: &Value, backends: &dyn Fn(&Value) -> String) {
    line!(page, 0, "Name:\t{}", ingress.text("metadata.name"));
    page.labels(ingress);
    line!(page, 0, "Namespace:\t{}", ingress.text("metadata.namespace"));
    let mut addresses: Vec<&str> = ingress
        .items("status.loadBalancer.ingress")
        .iter()
        .map(
            |balancer| {
                if balancer.text("ip").is_empty() { balancer.text("hostname") } else { balancer.text("ip") }
            },
        )
        .filter(|address| !address.is_empty())
        .gather();
    addresses.arrange();
    line!(page, 0, "Address:\t{}", addresses.join(","));
    line!(page, 0, "Ingress Class:\t{}", or_none(ingress.text("spec.ingressClassName")));
    let default = match ingress.has("spec.defaultBackend") {
        true => backends(ingress.at("spec.defaultBackend")),
        false => "<default>".into(),
    };
    line!(page, 0, "Default backend:\t{default}");
    if !ingress.items("spec.tls").is_empty() {
        line!(page, 0, "TLS:");
        for tls in ingress.items("spec.tls") {
            let hosts = list(tls, "hosts", ",");
            match tls.text("secretName") {
                "" => line!(page, 1, "SNI routes {hosts}"),
                secret => line!(page, 1, "{secret} terminates {hosts}"),
            }
        }
    }
    line!(page, 0, "Rules:");
    line!(page, 1, "Host\tPath\tBackends");
    line!(page, 1, "----\t----\t--------");
    let rules: Vec<&Value> = ingress.items("spec.rules").iter().filter(|rule| rule.has("http")).gather();
    for rule in &rules {
        let host = rule.text("host");
        line!(page, 1, "{}\t", if host.is_empty() { "*" } else { host });
        for path in rule.items("http.paths") {
            line!(page, 2, "\t{} \t{}", path.text("path"), backends(path.at("backend")));
        }
    }
    if rules.is_empty() {
        line!(page, 1, "*\t*\t{default}");
    }
    page.annotations("Annotations", ingress.map("metadata.annotations"));
}

pub fn ingress_class(page: &mut Page, class: &Value) {
    line!(page, 0, "Name:\t{}", class.text("metadata.name"));
    page.marks(class);
    line!(page, 0, "Controller:\t{}", class.text("spec.controller"));
    if class.has("spec.parameters") {
        let parameters = class.at("spec.parameters");
        line!(page, 0, "Parameters:");
        if parameters.has("apiGroup") {
            line!(page, 1, "APIGroup:\t{}", parameters.text("apiGroup"));
        }
        line!(page, 1, "Kind:\t{}", parameters.text("kind"));
        line!(page, 1, "Name:\t{}", parameters.text("name"));
    }
}

pub fn network_policy(page: &mut Page, policy: &Value) {
    page.name(policy);
    line!(page, 0, "Created on:\t{}", super::cluster::created(policy));
    page.marks(policy);
    let spec = policy.at("spec");
    line!(page, 0, "Spec:");
    let chosen = match spec.at("podSelector").is_empty() {
        true => "<none> (Allowing the specific traffic to all pods in this namespace)".to_string(),
        false => selector::format(spec.at("podSelector")),
    };
    line!(page, 1, "PodSelector:     {chosen}");
    let types: Vec<&str> = spec.items("policyTypes").iter().filter_map(Value::as_str).gather();
    for (kind, word, field, peers, preposition) in
        [("Ingress", "ingress", "ingress", "from", "From"), ("Egress", "egress", "egress", "to", "To")]
    {
        if !types.contains(&kind) {
            line!(page, 1, "Not affecting {word} traffic");
            continue;
        }
        line!(page, 1, "Allowing {word} traffic:");
        let rules = spec.items(field);
        if rules.is_empty() {
            line!(page, 2, "<none> (Selected pods are isolated for {word} connectivity)");
        }
        for (index, rule) in rules.iter().enumerate() {
            policy_rule(page, rule, peers, preposition);
            if index + 1 < rules.len() {
                line!(page, 2, "----------");
            }
        }
    }
    line!(page, 1, "Policy Types: {}", or_none(&types.join(", ")));
}

fn policy_rule(page: &mut Page, rule: &Value, peers: &str, preposition: &str) {
    if rule.items("ports").is_empty() {
        line!(page, 2, "To Port: <any> (traffic allowed to all ports)");
    }
    for port in rule.items("ports") {
        let protocol = port.text("protocol");
        let protocol = if protocol.is_empty() { "TCP" } else { protocol };
        match port.integer("endPort") {
            None => line!(page, 2, "To Port: {}/{protocol}", text_of(port.at("port"))),
            Some(end) => line!(page, 2, "To Port Range: {}-{end}/{protocol}", text_of(port.at("port"))),
        }
    }
    if rule.items(peers).is_empty() {
        let why = if preposition == "From" { "source" } else { "destination" };
        line!(page, 2, "{preposition}: <any> (traffic not restricted by {why})");
    }
    for peer in rule.items(peers) {
        line!(page, 2, "{preposition}:");
        for (title, field) in [("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")] {
            if peer.has(field) {
                line!(page, 3, "{title}: {}", selector::format(peer.at(field)));
            }
        }
        if peer.has("ipBlock") {
            line!(page, 3, "IPBlock:");
            line!(page, 4, "CIDR: {}", peer.text("ipBlock.cidr"));
            line!(page, 4, "Except: {}", list(peer, "ipBlock.except", ", "));
        }
    }
}
