//! The Pod Security Standards: what a pod must not do at a level.
//!
//! Picture to hold in mind: a checklist at the door of a laboratory. The guard goes through all of it, and writes down
//! everything that is wrong, with the names of those who did it.
//!
//! Follows `k8s.io/pod-security-admission/policy` (its checks, their order, words and versions; versions before 1.19 are
//! read as 1.19).

use crate::api::Value;
use crate::arrange::Arrange;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// What is wrong with a pod, reason by reason.
#[derive(Default)]
pub(super) struct Violations {
    found: Vec<(String, String)>,
}

impl Violations {
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
    /// `host namespaces, privileged`
    pub fn reasons(&self) -> String {
        let reasons: Vec<&str> = self.found.iter().map(|(reason, _)| reason.as_str()).collect();
        reasons.join(", ")
    }
    /// `host namespaces (hostPID=true), ...`
    pub fn details(&self) -> String {
        let details: Vec<String> =
            self.found.iter().map(|(reason, detail)| format!("{reason} ({detail})")).collect();
        details.join(", ")
    }
    fn note(&mut self, reason: &str, detail: String) {
        self.found.push((reason.into(), detail));
    }
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Each with the minor version since which it is harmless.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A pod, or what would become one, under the guard's eyes.
struct Pod<'a> {
    spec: &'a Value,
    containers: Vec<&'a Value>,
}

fn name(part: &Value) -> &str {
    part.text("name")
}

fn quoted(items: &[&str]) -> String {
    if items.is_empty() { String::new() } else { format!("\"{}\"", items.join("\", \"")) }
}

fn counted<'a>(one: &'a str, more: &'a str, items: &[&str]) -> &'a str {
    if items.len() == 1 { one } else { more }
}

/// `containers "a", "b"`
fn containers(names: &[&str]) -> String {
    format!("{} {}", counted("container", "containers", names), quoted(names))
}

/// A value once, in order.
fn distinct(mut values: Vec<&str>) -> Vec<&str> {
    values.arrange();
    values.dedup();
    values
}

impl<'a> Pod<'a> {
    /// The containers of which something is true.
    fn which(&self, is_so: &dyn Fn(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers.iter().filter(|one| is_so(one)).map(|one| name(one)).collect()
    }
    /// Who sets what must not be set, the pod itself or containers: `pod and container "a"`.
    fn setters(&self, is_bad: &dyn Fn(&Value) -> bool) -> String {
        let own = self.spec.at("securityContext");
        let bad = self.which(&|one| is_bad(one.at("securityContext")));
        let mut setters = Vec::new();
        if is_bad(own) {
            setters.push("pod".to_owned());
        }
        if !bad.is_empty() {
            setters.push(containers(&bad));
        }
        setters.join(" and ")
    }
    /// What stands at `path` of the security contexts, if it is not among `allowed`.
    fn values(&self, path: &str, is_bad: &dyn Fn(&Value) -> bool) -> Vec<&'a str> {
        let contexts = self.containers.iter().map(|one| one.at("securityContext"));
        let all = contexts.chain([self.spec.at("securityContext")]);
        distinct(all.filter(|context| is_bad(context)).map(|context| context.text(path)).collect())
    }
}

/// What a pod with these metadata and this spec violates at a level, as of 1.`minor`.
pub(super) fn violations(level: Level, minor: u32, metadata: &Value, spec: &Value) -> Violations {
    let mut found = Violations::default();
    if level == Level::Privileged {
        return found;
    }
    let fields = ["initContainers", "containers", "ephemeralContainers"];
    let pod = Pod { spec, containers: fields.iter().flat_map(|field| spec.items(field)).collect() };
    let is_restricted = level == Level::Restricted;
    let is_relaxed = minor >= 35 && *spec.at("hostUsers") == Value::Bool(false);
    app_armor(&pod, metadata, &mut found);
    if !is_restricted {
        capabilities(&pod, &mut found);
    }
    let host: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| spec.is_true(field))
        .map(|field| format!("{field}=true"))
        .collect();
    if !host.is_empty() {
        found.note("host namespaces", host.join(", "));
    }
    if !is_restricted {
        let volumes = spec.items("volumes").iter().filter(|volume| volume.has("hostPath"));
        let volumes: Vec<&str> = volumes.map(name).collect();
        if !volumes.is_empty() {
            let detail = format!("{} {}", counted("volume", "volumes", &volumes), quoted(&volumes));
            found.note("hostPath volumes", detail);
        }
    }
    host_ports(&pod, &mut found);
    if minor >= 34 {
        hosts_of_probes(&pod, &mut found);
    }
    let privileged = pod.which(&|one| one.is_true("securityContext.privileged"));
    if !privileged.is_empty() {
        let detail = format!("{} must not set securityContext.privileged=true", containers(&privileged));
        found.note("privileged", detail);
    }
    if !is_relaxed && (!is_restricted || minor < 35) {
        proc_mount(&pod, &mut found);
    }
    se_linux(&pod, minor, &mut found);
    if !is_restricted {
        seccomp(&pod, false, &mut found);
    }
    let is_known = |sysctl: &&str| SYSCTLS.iter().any(|(name, since)| name == sysctl && minor >= *since);
    let sysctls = spec.items("securityContext.sysctls").iter().map(name);
    let sysctls: Vec<&str> = sysctls.filter(|sysctl| !is_known(sysctl)).collect();
    if !sysctls.is_empty() {
        found.note("forbidden sysctls", sysctls.join(", "));
    }
    let setters = pod.setters(&|context| context.is_true("windowsOptions.hostProcess"));
    if !setters.is_empty() {
        let detail = format!("{setters} must not set securityContext.windowsOptions.hostProcess=true");
        found.note("hostProcess", detail);
    }
    if is_restricted {
        restricted(&pod, minor, is_relaxed, &mut found);
    }
    found
}

/// What the restricted level asks for beyond the baseline, some of it in place of that.
fn restricted(pod: &Pod, minor: u32, is_relaxed: bool, found: &mut Violations) {
    let is_windows = minor >= 25 && pod.spec.text("os.name") == "windows";
    if !is_windows {
        let path = "securityContext.allowPrivilegeEscalation";
        let bad = pod.which(&|one| *one.at(path) != Value::Bool(false));
        if !bad.is_empty() {
            let detail = format!("{} must set {path}=false", containers(&bad));
            found.note("allowPrivilegeEscalation != false", detail);
        }
        let mut details = Vec::new();
        let drops =
            |one: &Value| one.items("securityContext.capabilities.drop").contains(&Value::from("ALL"));
        let bad = pod.which(&|one| !drops(one));
        if !bad.is_empty() {
            details
                .push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&bad)));
        }
        details.extend(added(pod, &["NET_BIND_SERVICE"]));
        if !details.is_empty() {
            found.note("unrestricted capabilities", details.join("; "));
        }
    }
    if minor >= 35 {
        proc_mount(pod, found);
    }
    volume_types(pod, found);
    if !is_relaxed {
        run_as_non_root(pod, found);
        let is_root = |context: &Value| context.integer("runAsUser") == Some(0);
        let setters = pod.setters(&is_root);
        if minor >= 23 && !setters.is_empty() {
            found.note("runAsUser=0", format!("{setters} must not set runAsUser=0"));
        }
    }
    if !is_windows {
        seccomp(pod, true, found);
    }
}

fn app_armor(pod: &Pod, metadata: &Value, found: &mut Violations) {
    let path = "appArmorProfile.type";
    let is_bad = |context: &Value| {
        context.has("appArmorProfile") && !matches!(context.text(path), "RuntimeDefault" | "Localhost")
    };
    let mut setters: Vec<String> =
        [pod.setters(&is_bad)].into_iter().filter(|words| !words.is_empty()).collect();
    let is_fine =
        |profile: &str| matches!(profile, "" | "runtime/default") || profile.starts_with("localhost/");
    let annotations: Vec<String> = metadata
        .map("annotations")
        .iter()
        .map(|(key, profile)| (key, profile.as_str().unwrap_or("")))
        .filter(|(key, profile)| key.starts_with(APP_ARMOR) && !is_fine(profile))
        .map(|(key, profile)| format!("{key}={profile:?}"))
        .collect();
    let annotations: Vec<&str> = annotations.iter().map(String::as_str).collect();
    let mut values = pod.values(path, &is_bad);
    values.extend(&annotations);
    if !annotations.is_empty() {
        setters.push(counted("annotation", "annotations", &annotations).into());
    }
    if !setters.is_empty() {
        let reason = counted("forbidden AppArmor profile", "forbidden AppArmor profiles", &values);
        let detail =
            format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(&values));
        found.note(reason, detail);
    }
}

/// Who adds other capabilities than these.
fn added(pod: &Pod, allowed: &[&str]) -> Option<String> {
    let others = |one: &'_ Value| {
        let items = one.items("securityContext.capabilities.add").iter().filter_map(Value::as_str);
        items.filter(|capability| !allowed.contains(capability)).map(str::to_owned).collect::<Vec<_>>()
    };
    let bad = pod.which(&|one| !others(one).is_empty());
    let all: Vec<String> = pod.containers.iter().flat_map(|one| others(one)).collect();
    let all = distinct(all.iter().map(String::as_str).collect());
    let words = || {
        let (who, what) = (containers(&bad), quoted(&all));
        format!("{who} must not include {what} in securityContext.capabilities.add")
    };
    (!bad.is_empty()).then(words)
}

fn capabilities(pod: &Pod, found: &mut Violations) {
    if let Some(detail) = added(pod, &CAPABILITIES) {
        found.note("non-default capabilities", detail);
    }
}

fn host_ports(pod: &Pod, found: &mut Violations) {
    let ports = |one: &Value| {
        let ports = one.items("ports").iter().filter_map(|port| port.integer("hostPort"));
        ports.filter(|port| *port != 0).map(|port| port.to_string()).collect::<Vec<_>>()
    };
    let bad = pod.which(&|one| !ports(one).is_empty());
    let all: Vec<String> = pod.containers.iter().flat_map(|one| ports(one)).collect();
    let all = distinct(all.iter().map(String::as_str).collect());
    if !bad.is_empty() {
        let uses = counted("uses", "use", &bad);
        let what = counted("hostPort", "hostPorts", &all);
        found.note("hostPort", format!("{} {uses} {what} {}", containers(&bad), all.join(", ")));
    }
}

fn hosts_of_probes(pod: &Pod, found: &mut Violations) {
    const HANDLERS: [&str; 5] =
        ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
    fn hosts(one: &Value) -> Vec<&str> {
        let handlers = HANDLERS.iter().map(|handler| one.at(handler));
        let both =
            handlers.flat_map(|handler| [handler.text("httpGet.host"), handler.text("tcpSocket.host")]);
        both.filter(|host| !host.is_empty()).collect()
    }
    let bad = distinct(pod.which(&|one| !hosts(one).is_empty()));
    let all = distinct(pod.containers.iter().flat_map(|one| hosts(one)).collect());
    if !bad.is_empty() {
        let uses = counted("uses", "use", &bad);
        let what = counted("probe or lifecycle host", "probe or lifecycle hosts", &all);
        found.note("probe or lifecycle host", format!("{} {uses} {what} {}", containers(&bad), quoted(&all)));
    }
}

fn proc_mount(pod: &Pod, found: &mut Violations) {
    let is_bad = |context: &Value| !matches!(context.text("procMount"), "" | "Default");
    let bad = pod.which(&|one| is_bad(one.at("securityContext")));
    if !bad.is_empty() {
        let values = quoted(&pod.values("procMount", &is_bad));
        let detail = format!("{} must not set securityContext.procMount to {values}", containers(&bad));
        found.note("procMount", detail);
    }
}

fn se_linux(pod: &Pod, minor: u32, found: &mut Violations) {
    let is_bad_type = |context: &Value| match context.text("seLinuxOptions.type") {
        "" | "container_t" | "container_init_t" | "container_kvm_t" => false,
        "container_engine_t" => minor < 31,
        _ => true,
    };
    let has = |context: &Value, field: &str| !context.at("seLinuxOptions").text(field).is_empty();
    let is_bad = |context: &Value| is_bad_type(context) || has(context, "user") || has(context, "role");
    let setters = pod.setters(&is_bad);
    if setters.is_empty() {
        return;
    }
    let mut data = Vec::new();
    let types = pod.values("seLinuxOptions.type", &is_bad_type);
    if !types.is_empty() {
        data.push(format!("{} {}", counted("type", "types", &types), quoted(&types)));
    }
    for field in ["user", "role"] {
        if !pod.setters(&|context| has(context, field)).is_empty() {
            data.push(format!("{field} may not be set"));
        }
    }
    let detail = format!("{setters} set forbidden securityContext.seLinuxOptions: {}", data.join("; "));
    found.note("seLinuxOptions", detail);
}

fn seccomp(pod: &Pod, is_needed: bool, found: &mut Violations) {
    const PATH: &str = "seccompProfile.type";
    let is_good = |context: &Value| matches!(context.text(PATH), "RuntimeDefault" | "Localhost");
    let is_bad = |context: &Value| context.has("seccompProfile") && !is_good(context);
    let setters = pod.setters(&is_bad);
    if !setters.is_empty() {
        let values = quoted(&pod.values(PATH, &is_bad));
        let detail = format!("{setters} must not set securityContext.{PATH} to {values}");
        return found.note("seccompProfile", detail);
    }
    if !is_needed || is_good(pod.spec.at("securityContext")) {
        return;
    }
    let silent = pod.which(&|one| !one.has("securityContext.seccompProfile"));
    if !silent.is_empty() {
        let who = containers(&silent);
        let detail =
            format!("pod or {who} must set securityContext.{PATH} to \"RuntimeDefault\" or \"Localhost\"");
        found.note("seccompProfile", detail);
    }
}

fn run_as_non_root(pod: &Pod, found: &mut Violations) {
    let set = |context: &Value| context.at("runAsNonRoot").as_bool();
    let setters = pod.setters(&|context| set(context) == Some(false));
    if !setters.is_empty() {
        let detail = format!("{setters} must not set securityContext.runAsNonRoot=false");
        return found.note("runAsNonRoot != true", detail);
    }
    let is_set = set(pod.spec.at("securityContext")) == Some(true);
    let silent = pod.which(&|one| !is_set && set(one.at("securityContext")).is_none());
    if !silent.is_empty() {
        let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent));
        found.note("runAsNonRoot != true", detail);
    }
}

fn volume_types(pod: &Pod, found: &mut Violations) {
    let is_bad = |volume: &&Value| !VOLUMES.iter().any(|kind| volume.has(kind));
    let bad: Vec<&Value> = pod.spec.items("volumes").iter().filter(is_bad).collect();
    fn kind(volume: &Value) -> &str {
        let fields = volume.as_object().into_iter().flat_map(|fields| fields.keys());
        fields.map(|field| field.as_str()).find(|field| *field != "name").unwrap_or("unknown")
    }
    let kinds = distinct(bad.iter().map(|volume| kind(volume)).collect());
    let names: Vec<&str> = bad.iter().map(|volume| name(volume)).collect();
    if !names.is_empty() {
        let (volumes, uses) = (counted("volume", "volumes", &names), counted("uses", "use", &names));
        let what = counted("restricted volume type", "restricted volume types", &kinds);
        let detail = format!("{volumes} {} {uses} {what} {}", quoted(&names), quoted(&kinds));
        found.note("restricted volume types", detail);
    }
}
