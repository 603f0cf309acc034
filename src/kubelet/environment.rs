//! What a sandbox and its containers are given: names, DNS, environment variables, mounts.
//!
//! Picture to hold in mind: a moving-in kit: the name plate, the phone book's address, a folder of notes
//! (environment variables) copied from the pod, its ConfigMaps and Secrets, and the keys to shared rooms.
//!
//! Follows `pkg/kubelet/kubelet_pods.go` (`makeEnvironmentVariables`, `makeMounts`), `envvars`, `network/dns`.

use crate::api::base64::STANDARD;
use crate::api::{Quantity, Text, Value, meta};
use crate::client::Store;
use crate::message::cri::{Call, ContainerConfig, DialRequest, DnsConfig, Mount, MountSource, SandboxConfig};
use crate::network::packet::Protocol;
use crate::network::portmap::PortMapping;
use crate::sorted::SortedMap;

use super::config::KubeletConfig;
use super::volumes::{CachedObject, ObjectKey, ObjectKind};
use super::worker::Worker;
use super::{SERVICES, State};

/// Where values of the environment come from.
pub struct Source<'a> {
    pub config: &'a KubeletConfig,
    /// Absent on hollow nodes.
    pub services: Option<&'a Store>,
    pub objects: &'a SortedMap<ObjectKey, CachedObject>,
}

impl State {
    pub(super) fn environment_source(&self) -> Source<'_> {
        let services = (!self.config.hollow).then(|| self.informers.store(SERVICES));
        Source { config: &self.config, services, objects: &self.objects }
    }
}

/// At most 63 characters, as a host name may have.
fn hostname(pod: &Value) -> Text {
    let name = match pod.text("spec.hostname") {
        "" => meta::name(pod),
        name => name,
    };
    let mut name: String = name.chars().take(63).collect();
    while name.ends_with(['-', '.']) {
        name.pop();
    }
    name.into()
}

pub fn sandbox_config(config: &KubeletConfig, worker: &Worker, attempt: u32) -> SandboxConfig {
    let pod = &worker.pod;
    let host_network = pod.is_true("spec.hostNetwork");
    SandboxConfig {
        namespace: pod.shared_text("metadata.namespace"),
        name: pod.shared_text("metadata.name"),
        uid: pod.shared_text("metadata.uid"),
        attempt,
        hostname: if host_network { config.node_name.clone() } else { hostname(pod) },
        host_network,
        host_ipc: pod.is_true("spec.hostIPC"),
        share_process_namespace: pod.is_true("spec.shareProcessNamespace"),
        dns: dns(config, pod),
        port_mappings: if host_network { Vec::new() } else { port_mappings(pod) },
        annotations: pod.at("metadata.annotations").clone(),
    }
}

/// Host ports of a pod's containers (`MakePortMappings`), and of those that begin before and go on beside them.
fn port_mappings(pod: &Value) -> Vec<PortMapping> {
    let containers = pod.items("spec.initContainers").iter().chain(pod.items("spec.containers"));
    let number = |port: &Value, name: &str| port.integer(name).and_then(|number| u16::try_from(number).ok());
    let mapping = |port: &Value| {
        Some(PortMapping {
            protocol: Protocol::parse(port.text("protocol")).unwrap_or(Protocol::Tcp),
            host_port: number(port, "hostPort").filter(|port| *port > 0)?,
            container_port: number(port, "containerPort")?,
            host_ip: port.text("hostIP").parse().ok().filter(|ip: &core::net::IpAddr| !ip.is_unspecified()),
        })
    };
    containers.flat_map(|container| container.items("ports")).filter_map(mapping).collect()
}

fn dns(config: &KubeletConfig, pod: &Value) -> DnsConfig {
    let policy = match pod.text("spec.dnsPolicy") {
        "ClusterFirst" if pod.is_true("spec.hostNetwork") => "Default",
        policy => policy,
    };
    let mut dns = match policy {
        "None" => DnsConfig::default(),
        "Default" => DnsConfig { servers: vec!["10.0.0.2".into()], ..DnsConfig::default() },
        _ => {
            let (namespace, domain) = (meta::namespace(pod), &config.cluster_domain);
            DnsConfig {
                servers: config.cluster_dns.clone(),
                searches: vec![
                    arcstr::format!("{namespace}.svc.{domain}"),
                    arcstr::format!("svc.{domain}"),
                    domain.clone(),
                ],
                options: vec!["ndots:5".into()],
            }
        }
    };
    let texts = |path: &str| -> Vec<Text> {
        pod.items(path).iter().filter_map(|item| item.as_str().map(Text::from)).collect()
    };
    dns.servers.extend(texts("spec.dnsConfig.nameservers"));
    dns.searches.extend(texts("spec.dnsConfig.searches"));
    for option in pod.items("spec.dnsConfig.options") {
        let name = option.text("name");
        dns.options.retain(|known| known.split(':').next() != Some(name));
        dns.options.push(match option.text("value") {
            "" => name.into(),
            value => arcstr::format!("{name}:{value}"),
        });
    }
    dns
}

/// ConfigMaps and Secrets that a container's environment names.
pub fn objects_needed(pod: &Value, container: &Value) -> Vec<ObjectKey> {
    let namespace = pod.shared_text("metadata.namespace");
    let mut keys = Vec::new();
    let mut need = |kind: ObjectKind, reference: &Value| {
        if reference.has("name") {
            let name = reference.shared_text("name");
            keys.push(ObjectKey { kind, namespace: namespace.clone(), name });
        }
    };
    for from in container.items("envFrom") {
        need(ObjectKind::ConfigMap, from.at("configMapRef"));
        need(ObjectKind::Secret, from.at("secretRef"));
    }
    for variable in container.items("env") {
        need(ObjectKind::ConfigMap, variable.at("valueFrom.configMapKeyRef"));
        need(ObjectKind::Secret, variable.at("valueFrom.secretKeyRef"));
    }
    keys
}

/// `$(NAME)` replaced, `$$` halved; a name that is not known stays as it is.
pub fn expand(text: &str, known: impl Fn(&str) -> Option<Text>) -> Text {
    if !text.contains('$') {
        return text.into();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out.into()
}

/// The configuration of a container; the error is what the event says after `Error: `.
pub fn container_config(
    source: &Source,
    worker: &Worker,
    container: &Value,
    attempt: u32,
) -> Result<ContainerConfig, String> {
    let pod = &worker.pod;
    if source.config.hollow {
        // The fake host utilities of hollow nodes cannot look below a volume's root.
        let below =
            |mount: &Value| !mount.text("subPath").is_empty() || !mount.text("subPathExpr").is_empty();
        if container.items("volumeMounts").iter().any(below) {
            return Err("not implemented".into());
        }
    }
    let environment = if source.config.hollow { Vec::new() } else { environment(source, worker, container)? };
    let known =
        |name: &str| environment.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let words = |path: &str| -> Vec<Text> {
        container.items(path).iter().map(|word| expand(word.as_str().unwrap_or(""), known)).collect()
    };
    let limit = Quantity::from_value(container.at("resources.limits.memory"))
        .or_else(|| Quantity::from_value(pod.at("spec.resources.limits.memory")));
    let (command, args) = (words("command"), words("args"));
    let mounts = mounts(pod, container, &known)?;
    Ok(ContainerConfig {
        spec: container.clone(),
        attempt,
        command,
        args,
        annotations: pod.at("metadata.annotations").clone(),
        mounts,
        memory_limit_bytes: limit.and_then(|limit| u64::try_from(limit.value()).ok()).unwrap_or(0),
        environment,
    })
}

fn mounts(
    pod: &Value,
    container: &Value,
    known: &dyn Fn(&str) -> Option<Text>,
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for mount in container.items("volumeMounts") {
        let name = mount.shared_text("name");
        let volume = pod.items("spec.volumes").iter().find(|volume| volume.text("name") == name);
        let Some(volume) = volume else {
            return Err(format!(
                "cannot find volume \"{name}\" to mount into container \"{}\"",
                container.text("name")
            ));
        };
        let source = match volume.text("hostPath.path") {
            "" => MountSource::Pod { volume: name },
            path => MountSource::Host { path: path.into() },
        };
        let sub_path = match mount.text("subPathExpr") {
            "" => mount.shared_text("subPath"),
            expression => expand(expression, known),
        };
        mounts.push(Mount {
            container_path: mount.shared_text("mountPath"),
            source,
            sub_path,
            read_only: mount.is_true("readOnly"),
        });
    }
    Ok(mounts)
}

/// The variables of a container, services' first.
fn environment(source: &Source, worker: &Worker, container: &Value) -> Result<Vec<(Text, Text)>, String> {
    let pod = &worker.pod;
    let namespace = meta::namespace(pod);
    let mut services: SortedMap<Text, Text> = SortedMap::new();
    if let Some(store) = source.services {
        let links = !matches!(pod.at("spec.enableServiceLinks"), Value::Bool(false));
        // With links the pods of its own namespace see it among the others.
        if let Some(master) = store.get("default/kubernetes").filter(|_| !links || namespace != "default") {
            service_variables(master, &mut services);
        }
        if links {
            for service in store.in_namespace(namespace) {
                service_variables(service, &mut services);
            }
        }
    }
    let mut own: Vec<(Text, Text)> = Vec::new();
    let set =
        |own: &mut Vec<(Text, Text)>, name: Text, value: Text| match own.iter_mut().find(|(n, _)| *n == name)
        {
            Some(entry) => entry.1 = value,
            None => own.push((name, value)),
        };
    for from in container.items("envFrom") {
        let prefix = from.text("prefix");
        for (kind, reference) in
            [(ObjectKind::ConfigMap, from.at("configMapRef")), (ObjectKind::Secret, from.at("secretRef"))]
        {
            if !reference.has("name") {
                continue;
            }
            let Some(object) = object(source, kind, namespace, reference)? else { continue };
            for (key, value) in data(kind, &object) {
                set(&mut own, arcstr::format!("{prefix}{key}"), value);
            }
        }
    }
    for variable in container.items("env") {
        let name = variable.shared_text("name");
        let from = variable.at("valueFrom");
        let value = if from.is_null() {
            let known = |name: &str| {
                own.iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, v)| v.clone())
                    .or_else(|| services.get(name).cloned())
            };
            expand(variable.text("value"), known)
        } else if from.has("fieldRef") {
            field(source, worker, from.text("fieldRef.fieldPath"))
        } else if from.has("resourceFieldRef") {
            resource_field(source, pod, container, from.at("resourceFieldRef"))
        } else {
            let (kind, reference) = if from.has("configMapKeyRef") {
                (ObjectKind::ConfigMap, from.at("configMapKeyRef"))
            } else {
                (ObjectKind::Secret, from.at("secretKeyRef"))
            };
            let Some(object) = object(source, kind, namespace, reference)? else { continue };
            let key = reference.text("key");
            match data(kind, &object).into_iter().find(|(k, _)| k == key) {
                Some((_, value)) => value,
                None if reference.is_true("optional") => continue,
                None => {
                    return Err(format!(
                        "couldn't find key {key} in {} {namespace}/{}",
                        kind.name(),
                        reference.text("name")
                    ));
                }
            }
        };
        set(&mut own, name, value);
    }
    let mut all: Vec<(Text, Text)> =
        services.into_iter().filter(|(name, _)| own.iter().all(|(n, _)| n != name)).collect();
    all.push(("HOSTNAME".into(), hostname(pod)));
    all.extend(own);
    Ok(all)
}

/// The object that a reference names; `None`: it may be absent, and is.
fn object(
    source: &Source,
    kind: ObjectKind,
    namespace: &str,
    reference: &Value,
) -> Result<Option<Value>, String> {
    let key = ObjectKey { kind, namespace: namespace.into(), name: reference.shared_text("name") };
    match source.objects.get(&key).and_then(|cached| cached.result.as_ref()) {
        Some(Ok(object)) => Ok(Some(object.clone())),
        Some(Err(status)) if status.text("reason") == "NotFound" && reference.is_true("optional") => Ok(None),
        Some(Err(status)) => Err(status.text("message").to_string()),
        None => Err(format!("object \"{namespace}\"/\"{}\" not registered", key.name)),
    }
}

/// Keys and values of a ConfigMap or a Secret, as text.
pub fn data(kind: ObjectKind, object: &Value) -> Vec<(Text, Text)> {
    let text = |value: &Value| value.as_str().map(Text::from).unwrap_or_default();
    let decode = |value: &Value| {
        let bytes = STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
        Text::from(String::from_utf8_lossy(&bytes).as_ref())
    };
    let plain = object.map("data").iter();
    match kind {
        ObjectKind::ConfigMap => {
            let binary = object.map("binaryData").iter().map(|(key, value)| (key.clone(), decode(value)));
            plain.map(|(key, value)| (key.clone(), text(value))).chain(binary).collect()
        }
        ObjectKind::Secret => plain.map(|(key, value)| (key.clone(), decode(value))).collect(),
    }
}

/// `metadata.name`, `status.podIP`, `metadata.labels['x']` ...
pub fn field(source: &Source, worker: &Worker, path: &str) -> Text {
    let pod = &worker.pod;
    let own_ips = worker.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
    let ips = if pod.is_true("spec.hostNetwork") { source.config.host_ips.clone() } else { own_ips };
    let joined = |ips: &[Text]| ips.iter().map(Text::as_str).collect::<Vec<_>>().join(",").into();
    match path {
        "spec.nodeName" => source.config.node_name.clone(),
        "status.hostIP" => source.config.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => joined(&source.config.host_ips),
        "status.podIP" => ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => joined(&ips),
        "metadata.labels" | "metadata.annotations" => {
            let lines: Vec<String> = pod
                .map(path)
                .iter()
                .map(|(key, value)| {
                    format!("{key}=\"{}\"", value.as_str().unwrap_or("").replace('"', "\\\""))
                })
                .collect();
            lines.join("\n").into()
        }
        _ => match path.split_once("['") {
            Some((map, key)) => {
                let key = key.trim_end_matches("']");
                pod.map(map).get(key).and_then(Value::as_str).map(Text::from).unwrap_or_default()
            }
            None => pod.shared_text(path),
        },
    }
}

/// `limits.cpu` and the like, in units of the divisor, rounded up. What is not limited is the node's capacity.
pub fn resource_field(source: &Source, pod: &Value, container: &Value, reference: &Value) -> Text {
    let path = reference.text("resource");
    let (kind, name) = path.split_once('.').unwrap_or((path, ""));
    let container = match reference.text("containerName") {
        "" => container,
        other => pod.items("spec.containers").iter().find(|c| c.text("name") == other).unwrap_or(container),
    };
    let own = Quantity::from_value(container.at("resources").at(kind).get(name).unwrap_or(&Value::Null));
    let capacity = || {
        let found = source.config.capacity.iter().find(|(resource, _)| resource == name);
        found.filter(|_| kind == "limits").and_then(|(_, amount)| Quantity::parse(amount).ok())
    };
    let amount = own.or_else(capacity).map_or(0, |quantity| quantity.nanos());
    let divisor = Quantity::from_value(reference.at("divisor")).filter(|d| !d.is_zero());
    let divisor = divisor.map_or(1_000_000_000, |divisor| divisor.nanos());
    let rounded = amount / divisor + i128::from(amount % divisor != 0);
    rounded.to_string().into()
}

fn service_variables(service: &Value, variables: &mut SortedMap<Text, Text>) {
    let ip = service.text("spec.clusterIP");
    let ports = service.items("spec.ports");
    if ip.is_empty() || ip == "None" || ports.is_empty() {
        return;
    }
    let name = |text: &str| text.to_ascii_uppercase().replace('-', "_");
    let prefix = name(meta::name(service)) + "_";
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_string() };
    let mut set = |suffix: &[&str], value: &str| {
        let mut name = prefix.clone();
        suffix.iter().for_each(|part| name.push_str(part));
        variables.insert(name.into(), value.into());
    };
    set(&["SERVICE_HOST"], ip);
    for (index, port) in ports.iter().enumerate() {
        let number = &port.integer("port").unwrap_or(0).to_string();
        let protocol = if port.has("protocol") { port.text("protocol") } else { "TCP" };
        let scheme = protocol.to_ascii_lowercase();
        let address = [&scheme, "://", &host, ":", number].concat();
        if index == 0 {
            set(&["SERVICE_PORT"], number);
            set(&["PORT"], &address);
        }
        if !port.text("name").is_empty() {
            set(&["SERVICE_PORT_", &name(port.text("name"))], number);
        }
        for (suffix, value) in [("", address.as_str()), ("_PROTO", &scheme), ("_PORT", number), ("_ADDR", ip)]
        {
            set(&["PORT_", number, "_", protocol, suffix], value);
        }
    }
}

/// The number of a port that a probe or a hook names by number or name.
pub fn port(container: &Value, port: &Value) -> u16 {
    let number = match port {
        Value::Integer(number) => Some(*number),
        Value::String(name) => name.parse().ok().or_else(|| {
            let named = container.items("ports").iter().find(|p| p.text("name") == name.as_str());
            named.and_then(|p| p.integer("containerPort"))
        }),
        _ => None,
    };
    number.and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

/// The call that runs a lifecycle hook; `None`: there is none, or it needs no call.
pub fn hook_call(hook: &Value, id: &Text, sandbox: &Text, container: &Value) -> Option<Call> {
    if hook.has("exec") {
        let command = hook.items("exec.command").iter().filter_map(|w| w.as_str().map(Text::from)).collect();
        return Some(Call::ExecSync { container: id.clone(), command, timeout_seconds: 0 });
    }
    let (port, request) = if hook.has("httpGet") {
        let request = DialRequest::HttpGet { path: hook.shared_text("httpGet.path") };
        (port(container, hook.at("httpGet.port")), request)
    } else if hook.has("tcpSocket") {
        (port(container, hook.at("tcpSocket.port")), DialRequest::TcpSocket)
    } else {
        return None;
    };
    Some(Call::Dial { sandbox: sandbox.clone(), port, request, timeout_seconds: 30 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_once() {
        let known = |name: &str| (name == "A").then(|| Text::from("x"));
        for (text, expected) in [
            ("plain", "plain"),
            ("$(A)-$(B)", "x-$(B)"),
            ("$$(A)", "$(A)"),
            ("$(A", "$(A"),
            ("100$", "100$"),
            ("$A", "$A"),
        ] {
            assert_eq!(expand(text, known), expected);
        }
    }

    #[test]
    fn a_service_becomes_variables() {
        let service: Value = serde_json::from_str(
            r#"{"metadata":{"name":"redis-leader"},"spec":{"clusterIP":"10.96.0.9","ports":[{"name":"main","port":6379,"protocol":"TCP"}]}}"#,
        )
        .unwrap();
        let mut variables = SortedMap::new();
        service_variables(&service, &mut variables);
        let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            lines,
            [
                "REDIS_LEADER_PORT=tcp://10.96.0.9:6379",
                "REDIS_LEADER_PORT_6379_TCP=tcp://10.96.0.9:6379",
                "REDIS_LEADER_PORT_6379_TCP_ADDR=10.96.0.9",
                "REDIS_LEADER_PORT_6379_TCP_PORT=6379",
                "REDIS_LEADER_PORT_6379_TCP_PROTO=tcp",
                "REDIS_LEADER_SERVICE_HOST=10.96.0.9",
                "REDIS_LEADER_SERVICE_PORT=6379",
                "REDIS_LEADER_SERVICE_PORT_MAIN=6379",
            ]
        );
    }
}
