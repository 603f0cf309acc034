//! Services and what routes to them.
//!
//! Picture to hold in mind: a telephone book: the number inside, the number outside, the extension.
//!
//! Follows the printers of services, endpoints and `networking.k8s.io` in `pkg/printers/internalversion/printers.go`.

use crate::api::{Value, meta, selector};
use crate::arrange::Gather;
use crate::sorted::SortedSet;

use super::{Printer, labels, name_of, number, text_or, with_more};

pub(super) fn cells(group: &str, kind: &str, object: &Value, printer: &Printer) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("", "Service") => {
            let address = object.items("spec.clusterIPs").first().and_then(Value::as_str).unwrap_or("<none>");
            vec![
                name_of(object),
                object.text("spec.type").into(),
                address.into(),
                external_address(object).into(),
                ports(object).into(),
                printer.age(object),
                labels(object.at("spec.selector")).into(),
            ]
        }
        ("", "Endpoints") => vec![name_of(object), endpoints(object).into(), printer.age(object)],
        ("discovery.k8s.io", "EndpointSlice") => {
            let ports: Vec<String> = object
                .items("ports")
                .iter()
                .map(|port| match port.integer("port") {
                    Some(number) => number.to_string(),
                    None => text_or(port, "name", "*").to_owned(),
                })
                .collect();
            let addresses: Vec<String> = object
                .items("endpoints")
                .iter()
                .flat_map(|endpoint| endpoint.items("addresses"))
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .gather();
            vec![
                name_of(object),
                object.text("addressType").into(),
                with_more(&ports, 3).into(),
                with_more(&addresses, 3).into(),
                printer.age(object),
            ]
        }
        ("networking.k8s.io", "Ingress") => vec![
            name_of(object),
            text_or(object, "spec.ingressClassName", "<none>").into(),
            hosts(object.items("spec.rules")).into(),
            load_balancer(object).into(),
            if object.items("spec.tls").is_empty() { "80" } else { "80, 443" }.into(),
            printer.age(object),
        ],
        ("networking.k8s.io", "IngressClass") => {
            let parameters = object.at("spec.parameters");
            let parameters = if parameters.is_null() {
                "<none>".to_owned()
            } else {
                let group = match parameters.text("apiGroup") {
                    "" => String::new(),
                    group => format!(".{group}"),
                };
                format!("{}{group}/{}", parameters.text("kind"), parameters.text("name"))
            };
            let is_default =
                meta::annotation(object, "ingressclass.kubernetes.io/is-default-class") == Some("true");
            let name = format!("{}{}", meta::name(object), if is_default { " (default)" } else { "" });
            vec![name.into(), object.text("spec.controller").into(), parameters.into(), printer.age(object)]
        }
        ("networking.k8s.io", "NetworkPolicy") => {
            vec![name_of(object), selector::format(object.at("spec.podSelector")).into(), printer.age(object)]
        }
        ("networking.k8s.io", "ServiceCIDR") => {
            let cidrs: Vec<&str> = object.items("spec.cidrs").iter().filter_map(Value::as_str).gather();
            vec![name_of(object), cidrs.join(",").into(), printer.age(object)]
        }
        ("networking.k8s.io", "IPAddress") => {
            let parent = object.at("spec.parentRef");
            let mut text = "<none>".to_owned();
            if !parent.is_null() {
                let parts = [
                    parent.text("resource").to_owned()
                        + &match parent.text("group") {
                            "" => String::new(),
                            group => format!(".{group}"),
                        },
                    parent.text("namespace").to_owned(),
                    parent.text("name").to_owned(),
                ];
                text = parts.into_iter().filter(|part| !part.is_empty()).gather::<Vec<_>>().join("/");
            }
            vec![name_of(object), text.into()]
        }
        _ => return None,
    })
}

fn load_balancer(object: &Value) -> String {
    let addresses: SortedSet<&str> = object
        .items("status.loadBalancer.ingress")
        .iter()
        .map(|ingress| text_or(ingress, "ip", ingress.text("hostname")))
        .filter(|address| !address.is_empty())
        .gather();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

fn external_address(service: &Value) -> String {
    let own: Vec<&str> = service.items("spec.externalIPs").iter().filter_map(Value::as_str).gather();
    match service.text("spec.type") {
        "ClusterIP" | "NodePort" if own.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => own.join(","),
        "LoadBalancer" => {
            let balancer = load_balancer(service);
            let all: Vec<&str> =
                [balancer.as_str()].into_iter().filter(|text| !text.is_empty()).chain(own).gather();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => service.text("spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ports(service: &Value) -> String {
    let ports: Vec<String> = service
        .items("spec.ports")
        .iter()
        .map(|port| {
            let protocol = port.text("protocol");
            match number(port, "nodePort") {
                0 => format!("{}/{protocol}", number(port, "port")),
                node_port => format!("{}:{node_port}/{protocol}", number(port, "port")),
            }
        })
        .collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

fn hosts(rules: &[Value]) -> String {
    const MAX: usize = 3;
    let mut list: Vec<&str> = Vec::new();
    let mut has_more = false;
    for rule in rules {
        has_more |= list.len() == MAX;
        let host = rule.text("host");
        if !has_more && !host.is_empty() {
            list.push(host);
        }
    }
    if list.is_empty() {
        return "*".to_owned();
    }
    let shown = list.join(",");
    if has_more { format!("{shown} + {} more...", rules.len() - MAX) } else { shown }
}

fn endpoints(endpoints: &Value) -> String {
    let subsets = endpoints.items("subsets");
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let host_port = |address: &str, port: i64| {
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    };
    let mut list: Vec<String> = Vec::new();
    for subset in subsets {
        let addresses = subset.items("addresses").iter().map(|address| address.text("ip"));
        if subset.items("ports").is_empty() {
            list.extend(addresses.map(str::to_owned));
            continue;
        }
        for port in subset.items("ports") {
            list.extend(addresses.clone().map(|address| host_port(address, number(port, "port"))));
        }
    }
    if list.is_empty() { String::new() } else { with_more(&list, 3) }
}
