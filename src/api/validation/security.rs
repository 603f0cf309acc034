//! Security contexts of pods and containers, on Linux and Windows.
//!
//! Picture to hold in mind: the doorman's list of keys: which may be asked for at all, and which not together.
//!
//! Follows `ValidateSecurityContext`, `validatePodSpecSecurityContext`, `validateWindows...` and their kin in
//! `pkg/apis/core/validation/validation.go`.

use super::containers::visit;
use super::errors::Errors;
use super::format::{dns1123_subdomain, user_or_group_id};
use super::go;
use super::path::local_descending_path;
use crate::api::field::FieldPath;
use crate::api::meta::annotation;
use crate::api::value::Value;
use crate::arrange::Gather;

const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

fn identity(context: &Value, name: &str, path: &FieldPath, errors: &mut Errors) {
    if let Some(id) = context.integer(name)
        && let Some(complaint) = user_or_group_id(id)
    {
        errors.invalid(&path.child(name), id, complaint);
    }
}

/// `ValidateSecurityContext`, of a container.
pub fn security_context(context: &Value, host_users: bool, path: &FieldPath, errors: &mut Errors) {
    if context.is_null() {
        return;
    }
    identity(context, "runAsUser", path, errors);
    identity(context, "runAsGroup", path, errors);
    if let Some(mount) = context.at("procMount").as_str() {
        let path = path.child("procMount");
        if !matches!(mount, "Default" | "Unmasked") {
            errors.not_supported(&path, mount, &["Default", "Unmasked"]);
        }
        if host_users && mount == "Unmasked" {
            errors.invalid(&path, mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp_profile(context.at("seccompProfile"), &path.child("seccompProfile"), errors);
    if context.at("allowPrivilegeEscalation").as_bool() == Some(false) {
        let quote = go::internal("SecurityContext");
        if context.is_true("privileged") {
            let message = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(path, quote(context), message);
        }
        for _ in
            context.items("capabilities.add").iter().filter(|name| name.as_str() == Some("CAP_SYS_ADMIN"))
        {
            let message =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(path, quote(context), message);
        }
    }
    windows_options(context.at("windowsOptions"), &path.child("windowsOptions"), errors);
    app_armor_profile(context.at("appArmorProfile"), &path.child("appArmorProfile"), errors);
}

/// `validatePodSpecSecurityContext`.
pub fn pod_security_context(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let context = spec.at("securityContext");
    if context.as_object().is_none_or(|map| map.is_empty()) && !spec.has("shareProcessNamespace") {
        return;
    }
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        identity(context, name, path, errors);
    }
    let groups = path.child("supplementalGroups");
    for (index, group) in context.items("supplementalGroups").iter().enumerate() {
        let id = group.as_integer().unwrap_or(0);
        if let Some(complaint) = user_or_group_id(id) {
            errors.invalid(&groups.index(index), id, complaint);
        }
    }
    if spec.is_true("shareProcessNamespace") && spec.is_true("hostPID") {
        let message = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, message);
    }
    sysctls(spec, &path.child("sysctls"), errors);
    errors.one_of_if_given(context, "fsGroupChangePolicy", path, &["Always", "OnRootMismatch"]);
    seccomp_profile(context.at("seccompProfile"), &path.child("seccompProfile"), errors);
    windows_options(context.at("windowsOptions"), &path.child("windowsOptions"), errors);
    app_armor_profile(context.at("appArmorProfile"), &path.child("appArmorProfile"), errors);
    errors.one_of_if_given(context, "supplementalGroupsPolicy", path, &["Merge", "Strict"]);
    // Without the SELinuxMount feature only the recursive policy can be asked for.
    errors.one_of_if_given(context, "seLinuxChangePolicy", path, &["Recursive"]);
}

fn is_sysctl_name(name: &str) -> bool {
    let outer = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let segment = |text: &str| {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(outer)
            && bytes.last().is_some_and(outer)
            && bytes.iter().all(|byte| outer(byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

fn sysctls(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let list = spec.items("securityContext.sysctls");
    for (index, sysctl) in list.iter().enumerate() {
        let item = path.index(index);
        let item = item.child("name");
        let name = sysctl.text("name");
        if name.is_empty() {
            errors.required(&item, "");
        } else if !is_sysctl_name(name) {
            let segment = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            let message =
                format!("must have at most 253 characters and match regex ^({segment}[\\./])*{segment}$");
            errors.invalid(&item, name, message);
        } else if list[..index].iter().any(|earlier| earlier.text("name") == name) {
            errors.duplicate(&item, name);
        }
        let dotted = if name.find('/') < name.find('.') { name.replace('/', ".") } else { name.to_owned() };
        let of_ipc = dotted.starts_with("fs.mqueue.")
            || matches!(
                dotted.as_str(),
                "kernel.sem"
                    | "kernel.shmall"
                    | "kernel.shmmax"
                    | "kernel.shmmni"
                    | "kernel.shm_rmid_forced"
                    | "kernel.shm"
                    | "kernel.msgmax"
                    | "kernel.msgmnb"
                    | "kernel.msgmni"
                    | "kernel.msg"
            );
        if spec.is_true("hostNetwork") && dotted.starts_with("net.") {
            errors.invalid(&item, name, "may not be specified when 'hostNetwork' is true");
        } else if spec.is_true("hostIPC") && of_ipc {
            errors.invalid(&item, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn seccomp_profile(profile: &Value, path: &FieldPath, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let kind = profile.text("type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "type is required when seccompProfile is set");
    } else if !PROFILE_TYPES.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, PROFILE_TYPES);
    }
    let localhost = path.child("localhostProfile");
    match profile.at("localhostProfile").as_str() {
        None if kind == "Localhost" => {
            errors.required(&localhost, "must be set when seccomp type is Localhost");
        }
        Some(file) if kind == "Localhost" => local_descending_path(file, &localhost, errors),
        Some(_) => {
            let quoted = go::internal("SeccompProfile")(profile);
            errors.invalid(&localhost, quoted, "can only be set when seccomp type is Localhost");
        }
        None => {}
    }
}

/// `ValidateAppArmorProfileField`.
pub fn app_armor_profile(profile: &Value, path: &FieldPath, errors: &mut Errors) {
    const REQUIRED: &str = "must be set when AppArmor type is Localhost";
    if profile.is_null() {
        return;
    }
    let localhost = path.child("localhostProfile");
    let file = profile.at("localhostProfile").as_str();
    match (profile.text("type"), file) {
        ("Localhost", None) => errors.required(&localhost, REQUIRED),
        ("Localhost", Some(file)) => {
            if file.trim() != file {
                errors.invalid(&localhost, file, "must not be padded with whitespace");
            } else if file.is_empty() {
                errors.required(&localhost, REQUIRED);
            }
            if file.len() > 4095 {
                errors.too_long(&localhost, 4095);
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            errors.invalid(&localhost, file, "can only be set when AppArmor type is Localhost");
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => errors.required(&path.child("type"), "type is required when appArmorProfile is set"),
        (other, _) => errors.not_supported(&path.child("type"), other, PROFILE_TYPES),
    }
}

fn windows_options(options: &Value, path: &FieldPath, errors: &mut Errors) {
    const SPEC_LIMIT_KIB: usize = 64;
    if options.is_null() {
        return;
    }
    if let Some(name) = options.at("gmsaCredentialSpecName").as_str() {
        errors.each(&path.child("gmsaCredentialSpecName"), name, dns1123_subdomain(name));
    }
    if let Some(spec) = options.at("gmsaCredentialSpec").as_str() {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.invalid(&path, spec, "gmsaCredentialSpec cannot be an empty string");
        } else if spec.len() > SPEC_LIMIT_KIB * 1024 {
            errors.invalid(
                &path,
                spec,
                format!("gmsaCredentialSpec size must be under {SPEC_LIMIT_KIB} KiB"),
            );
        }
    }
    if let Some(name) = options.at("runAsUserName").as_str() {
        let path = path.child("runAsUserName");
        for complaint in windows_user_name(name) {
            errors.invalid(&path, name, complaint);
        }
    }
}

fn windows_user_name(name: &str) -> Vec<&'static str> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string"];
    }
    if name.contains(|character: char| character.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters"];
    }
    let parts: Vec<&str> = name.split('\\').gather();
    let (domain, user) = match parts[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec!["runAsUserName cannot contain more than one backslash"],
    };
    let mut complaints = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= 256 {
            complaints.push("runAsUserName's Domain length must be under 256 characters");
        }
        let forbidden = |character: char| "\\/:*?\"<>|".contains(character);
        let length = domain.chars().count();
        let is_net_bios =
            (1..=15).contains(&length) && !domain.contains(forbidden) && !domain.starts_with('.');
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !is_net_bios && !domain.split('.').all(is_label) {
            complaints.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        complaints.push("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        complaints.push("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|character| matches!(character, '.' | ' ')) {
        complaints.push("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(|character: char| "\"/\\:;|=,+*?<>@[]".contains(character)) {
        complaints.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    complaints
}

/// `validateWindowsHostProcessPod`.
pub fn windows_host_process(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let of_pod = spec.at("securityContext.windowsOptions.hostProcess").as_bool();
    let (mut count, mut host_processes) = (0, 0);
    visit(spec, path, |container, path| {
        count += 1;
        let own = container.at("securityContext.windowsOptions.hostProcess").as_bool();
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let message =
                format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.invalid(&path.child("securityContext.windowsOptions.hostProcess"), own, message);
        }
        if own.or(of_pod) == Some(true) {
            host_processes += 1;
        }
    });
    if host_processes > 0 {
        if host_processes != count {
            let message = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
            errors.invalid(path, "", message);
        }
        if !spec.is_true("hostNetwork") {
            let message = "hostNetwork must be true if pod contains any hostProcess containers";
            errors.invalid(&path.child("hostNetwork"), false, message);
        }
    }
}

/// `validateHostUsers`.
pub fn host_users(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    const MESSAGE: &str = "when `hostUsers` is false";
    if spec.at("hostUsers").as_bool() != Some(false) {
        return;
    }
    for (name, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.is_true(name) {
            errors.forbidden(&path.child(shown), MESSAGE);
        }
    }
    visit(spec, path, |container, path| {
        if !container.items("volumeDevices").is_empty() {
            errors.forbidden(&path.child("volumeDevices"), MESSAGE);
        }
    });
}

const ONLY_LINUX_POD: &[(&str, &str)] = &[
    ("securityContext.appArmorProfile", "securityContext.appArmorProfile"),
    ("securityContext.seLinuxOptions", "securityContext.seLinuxOptions"),
    ("hostUsers", "hostUsers"),
    ("hostPID", "hostPID"),
    ("hostIPC", "hostIPC"),
    ("securityContext.seccompProfile", "securityContext.seccompProfile"),
    ("securityContext.fsGroup", "securityContext.fsGroup"),
    ("securityContext.fsGroupChangePolicy", "securityContext.fsGroupChangePolicy"),
    ("securityContext.sysctls", "securityContext.sysctls"),
    ("shareProcessNamespace", "shareProcessNamespace"),
    ("securityContext.runAsUser", "securityContext.runAsUser"),
    ("securityContext.runAsGroup", "securityContext.runAsGroup"),
    ("securityContext.supplementalGroups", "securityContext.supplementalGroups"),
    ("securityContext.supplementalGroupsPolicy", "securityContext.supplementalGroupsPolicy"),
    ("securityContext.seLinuxChangePolicy", "securityContext.seLinuxChangePolicy"),
];
const ONLY_LINUX_CONTAINER: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// `validateOS`, `validateLinux` and `validateWindows`.
pub fn operating_system(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    match spec.text("os.name") {
        "" => errors.required(&path.child("os.name"), ""),
        "linux" => {
            const MESSAGE: &str = "windows options cannot be set for a linux pod";
            if spec.has("securityContext.windowsOptions") {
                errors.forbidden(&path.child("securityContext.windowsOptions"), MESSAGE);
            }
            visit(spec, path, |container, path| {
                if container.has("securityContext.windowsOptions") {
                    errors.forbidden(&path.child("securityContext.windowsOptions"), MESSAGE);
                }
            });
        }
        "windows" => {
            const MESSAGE: &str = "cannot be set for a windows pod";
            for (name, shown) in ONLY_LINUX_POD {
                let given = spec.has(name) && spec.at(name) != &Value::Bool(false)
                    || *name == "hostUsers" && spec.has(name);
                let given = given || *name == "shareProcessNamespace" && spec.has(name);
                if given && !(*name == "securityContext.sysctls" && spec.items(name).is_empty()) {
                    errors.forbidden(&path.child(shown), MESSAGE);
                }
            }
            visit(spec, path, |container, path| {
                for name in ONLY_LINUX_CONTAINER {
                    if container.at("securityContext").has(name) {
                        errors.forbidden(&path.child("securityContext").child(name), MESSAGE);
                    }
                }
            });
        }
        other => errors.not_supported(&path.child("os"), other, &["linux", "windows"]),
    }
}

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub const APP_ARMOR_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The deprecated annotations: their form (`ValidateSeccompPodAnnotations`, `ValidateAppArmorPodAnnotations`).
pub fn annotations(object: &Value, spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let seccomp = |key: &str, profile: &str, errors: &mut Errors| {
        let path = path.child(key);
        if matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
        } else if let Some(file) = profile.strip_prefix("localhost/") {
            local_descending_path(file, &path, errors);
        } else {
            errors.invalid(&path, profile, "must be a valid seccomp profile");
        }
    };
    if let Some(profile) = annotation(object, SECCOMP_POD) {
        seccomp(SECCOMP_POD, profile, errors);
    }
    for (key, profile) in object.map("metadata.annotations").iter() {
        let profile = profile.as_str().unwrap_or("");
        if key.starts_with(SECCOMP_CONTAINER) {
            seccomp(key, profile, errors);
        } else if let Some(name) = key.strip_prefix(APP_ARMOR_CONTAINER) {
            if !super::containers::names(spec).any(|known| known == name) {
                errors.invalid(&path.key(key), name, "container not found");
            }
            let known =
                matches!(profile, "" | "runtime/default" | "unconfined") || profile.starts_with("localhost/");
            if !known {
                let quoted = crate::api::field::go_quote(profile);
                errors.invalid(&path.key(key), profile, format!("invalid AppArmor profile name: {quoted}"));
            }
        }
    }
}

/// Annotation and field must say the same (`validateSeccompAnnotationsAndFields`, `validateAppArmor...OnCreate`).
pub fn annotations_match_fields(object: &Value, spec: &Value, path: &FieldPath, errors: &mut Errors) {
    if object.map("metadata.annotations").is_empty() {
        return;
    }
    let check = |kind: &str, annotation: &str, profile: &Value, path: &FieldPath, errors: &mut Errors| {
        let fits = match profile.text("type") {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => {
                annotation == "runtime/default" || kind == "seccomp" && annotation == "docker/default"
            }
            "Localhost" => match annotation.strip_prefix("localhost/") {
                Some(file) => {
                    if profile.at("localhostProfile").as_str() != Some(file) {
                        let message = format!("{kind} profile in annotation and field must match");
                        errors.forbidden(&path.child("localhostProfile"), message);
                    }
                    true
                }
                None => false,
            },
            _ => true,
        };
        if !fits {
            errors.forbidden(&path.child("type"), format!("{kind} type in annotation and field must match"));
        }
    };
    let of_pod = spec.at("securityContext");
    if let Some(value) = annotation(object, SECCOMP_POD)
        && of_pod.has("seccompProfile")
    {
        check(
            "seccomp",
            value,
            of_pod.at("seccompProfile"),
            &path.child("securityContext.seccompProfile"),
            errors,
        );
    }
    visit(spec, path, |container, path| {
        let profile = container.at("securityContext.seccompProfile");
        let key = format!("{SECCOMP_CONTAINER}{}", container.text("name"));
        if let Some(value) = annotation(object, &key)
            && !profile.is_null()
        {
            check("seccomp", value, profile, &path.child("securityContext.seccompProfile"), errors);
        }
    });
    if spec.text("os.name") == "windows" {
        return;
    }
    visit(spec, path, |container, path| {
        let own = container.at("securityContext.appArmorProfile");
        let profile = if own.is_null() { of_pod.at("appArmorProfile") } else { own };
        let key = format!("{APP_ARMOR_CONTAINER}{}", container.text("name"));
        if let Some(value) = annotation(object, &key)
            && !profile.is_null()
        {
            check("apparmor", value, profile, &path.child("securityContext.appArmorProfile"), errors);
        }
    });
}
