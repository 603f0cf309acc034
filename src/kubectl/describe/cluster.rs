//! Namespaces and their limits, configuration, storage, access.
//!
//! Picture to hold in mind: the house rules, the keys, and the store-rooms.

use crate::api::base64::STANDARD;
use crate::api::value::Map;
use crate::api::{Value, meta, volumes};
use crate::arrange::{Arrange, Gather};
use crate::sorted::SortedSet;

use super::page::{Page, date, go_list, joined, line, list, text_of, truth};
use super::volume;

pub fn namespace(page: &mut Page, namespace: &Value, quotas: &[Value], ranges: &[Value]) {
    page.heading(namespace);
    line!(page, 0, "Status:\t{}", namespace.text("status.phase"));
    page.conditions(
        namespace,
        &[
            ("Type", "type"),
            ("Status", "status"),
            ("LastTransitionTime", "lastTransitionTime"),
            ("Reason", "reason"),
            ("Message", "message"),
        ],
        false,
    );
    line!(page, 0, "");
    if quotas.is_empty() {
        line!(page, 0, "No resource quota.");
    } else {
        let mut sorted: Vec<&Value> = quotas.iter().collect();
        sorted.arrange_by_key(|quota| quota.text("metadata.name").to_string());
        line!(page, 0, "Resource Quotas");
        for quota in sorted {
            line!(page, 1, "Name:\t{}", quota.text("metadata.name"));
            scopes(page, quota, 1, "* ");
            line!(page, 1, "Resource\tUsed\tHard");
            line!(page, 1, "--------\t---\t---");
            for (name, hard) in quota.map("status.hard").iter() {
                line!(page, 1, "{name}\t{}\t{}", used(quota, name), text_of(hard));
            }
        }
    }
    line!(page, 0, "");
    if ranges.is_empty() {
        return line!(page, 0, "No LimitRange resource.");
    }
    line!(page, 0, "Resource Limits");
    line!(page, 0, " Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio");
    line!(page, 0, " ----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
    for range in ranges {
        limits(page, range, " ");
    }
}

fn used(quota: &Value, name: &str) -> String {
    quota.map("status.used").get(name).map_or("0".into(), text_of)
}

fn scopes(page: &mut Page, quota: &Value, level: usize, bullet: &str) {
    let mut scopes: Vec<&str> = quota.items("spec.scopes").iter().filter_map(Value::as_str).gather();
    if scopes.is_empty() {
        return;
    }
    scopes.arrange();
    line!(page, level, "Scopes:\t{}", scopes.join(", "));
    for scope in scopes {
        let help = match scope {
            "Terminating" => {
                "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system."
            }
            "NotTerminating" => {
                "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate."
            }
            "BestEffort" => {
                "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service."
            }
            "NotBestEffort" => {
                "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service."
            }
            _ => continue,
        };
        line!(page, level, "{bullet}{help}");
    }
}

pub fn resource_quota(page: &mut Page, quota: &Value) {
    page.name(quota);
    scopes(page, quota, 0, " * ");
    line!(page, 0, "Resource\tUsed\tHard");
    line!(page, 0, "--------\t----\t----");
    for (name, hard) in quota.map("status.hard").iter() {
        line!(page, 0, "{name}\t{}\t{}", used(quota, name), text_of(hard));
    }
}

pub fn limit_range(page: &mut Page, range: &Value) {
    page.name(range);
    line!(page, 0, "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio");
    line!(page, 0, "----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
    limits(page, range, "");
}

fn limits(page: &mut Page, range: &Value, prefix: &str) {
    for item in range.items("spec.limits") {
        const FIELDS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
        let names: SortedSet<&str> =
            FIELDS.iter().flat_map(|field| item.map(field).iter().map(|(name, _)| name.as_str())).gather();
        // Upstream walks a Go map: any order is as good; memory stands first in the reference.
        for name in names.into_iter().rev() {
            let cells: Vec<String> =
                FIELDS.iter().map(|field| item.map(field).get(name).map_or("-".into(), text_of)).collect();
            line!(page, 0, "{prefix}{}\t{name}\t{}", item.text("type"), cells.join("\t"));
        }
    }
}

pub fn secret(page: &mut Page, secret: &Value) {
    page.heading(secret);
    line!(page, 0, "");
    line!(page, 0, "Type:\t{}", secret.text("type"));
    line!(page, 0, "");
    line!(page, 0, "Data");
    line!(page, 0, "====");
    for (key, value) in secret.map("data").iter() {
        let bytes = STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
        if key == "token" && secret.text("type") == "kubernetes.io/service-account-token" {
            line!(page, 0, "{key}:\t{}", String::from_utf8_lossy(&bytes));
        } else {
            line!(page, 0, "{key}:\t{} bytes", bytes.len());
        }
    }
}

pub fn config_map(page: &mut Page, map: &Value) {
    page.heading(map);
    page.raw("\nData\n====\n");
    for (key, value) in map.map("data").iter() {
        page.raw(&format!("{key}:\n----\n{}\n\n", value.as_str().unwrap_or("")));
    }
    page.raw("\nBinaryData\n====\n");
    for (key, value) in map.map("binaryData").iter() {
        let bytes = STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
        page.raw(&format!("{key}: {} bytes\n", bytes.len()));
    }
    page.raw("\n");
}

pub fn service_account(page: &mut Page, account: &Value) {
    page.heading(account);
    let secrets = account.items("imagePullSecrets");
    if secrets.is_empty() {
        return line!(page, 0, "Image pull secrets:\t<none>");
    }
    for (index, secret) in secrets.iter().enumerate() {
        let title = if index == 0 { "Image pull secrets:" } else { "                   " };
        line!(page, 0, "{title}\t{}", secret.text("name"));
    }
}

/// One row a resource, as upstream breaks rules down and compacts them.
pub fn role(page: &mut Page, role: &Value) {
    line!(page, 0, "Name:\t{}", role.text("metadata.name"));
    page.marks(role);
    line!(page, 0, "PolicyRule:");
    line!(page, 1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    line!(page, 1, "---------\t-----------------\t--------------\t-----");
    for row in rule_rows(role.items("rules")) {
        line!(page, 1, "{row}");
    }
}

/// RBAC rules, one row a resource, as upstream breaks them down, compacts and sorts them
/// (`k8s.io/kubectl/pkg/util/rbac`).
pub fn rule_rows(rules: &[Value]) -> Vec<String> {
    struct Row {
        verbs: Vec<String>,
        group: Option<String>,
        resource: String,
        name: Option<String>,
        url: Option<String>,
    }
    let mut rows: Vec<Row> = Vec::new();
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        rule.items(field).iter().filter_map(Value::as_str).map(String::from).gather()
    };
    for rule in rules {
        let (verbs, names) = (texts(rule, "verbs"), texts(rule, "resourceNames"));
        let names: Vec<Option<String>> =
            if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for name in &names {
                    let same = |row: &&mut Row| {
                        row.group.as_ref() == Some(&group) && row.resource == resource && row.name == *name
                    };
                    match rows.iter_mut().find(same) {
                        Some(row) => {
                            let new = verbs.iter().filter(|verb| !row.verbs.contains(verb)).cloned();
                            let new: Vec<String> = new.collect();
                            row.verbs.extend(new);
                        }
                        None => rows.push(Row {
                            verbs: verbs.clone(),
                            group: Some(group.clone()),
                            resource: resource.clone(),
                            name: name.clone(),
                            url: None,
                        }),
                    }
                }
            }
        }
        for url in texts(rule, "nonResourceURLs") {
            let row = |verb: &String| Row {
                verbs: vec![verb.clone()],
                group: None,
                resource: String::new(),
                name: None,
                url: Some(url.clone()),
            };
            rows.extend(verbs.iter().map(row));
        }
    }
    // Upstream sorts rules by the text that Go prints of them: verbs come first.
    rows.arrange_by_key(|row| {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let list = [text(&row.group), row.resource.clone(), text(&row.name), text(&row.url)];
        format!(
            "Verbs:[{}],APIGroups:[{}],Resources:[{}],ResourceNames:[{}],NonResourceURLs:[{}],",
            row.verbs.join(" "),
            list[0],
            list[1],
            list[2],
            list[3]
        )
    });
    rows.iter()
        .map(|row| {
            let (base, sub) = row.resource.split_once('/').unwrap_or((&row.resource, ""));
            let mut combined = base.to_string();
            if let Some(group) = row.group.as_deref().filter(|group| !group.is_empty()) {
                combined += &format!(".{group}");
            }
            if !sub.is_empty() {
                combined += &format!("/{sub}");
            }
            let bracketed = |value: &Option<String>| format!("[{}]", value.as_deref().unwrap_or(""));
            let (url, name) = (bracketed(&row.url), bracketed(&row.name));
            format!("{combined}\t{url}\t{name}\t[{}]", row.verbs.join(" "))
        })
        .collect()
}

pub fn role_binding(page: &mut Page, binding: &Value) {
    line!(page, 0, "Name:\t{}", binding.text("metadata.name"));
    page.marks(binding);
    line!(page, 0, "Role:");
    line!(page, 1, "Kind:\t{}", binding.text("roleRef.kind"));
    line!(page, 1, "Name:\t{}", binding.text("roleRef.name"));
    line!(page, 0, "Subjects:");
    line!(page, 1, "Kind\tName\tNamespace");
    line!(page, 1, "----\t----\t---------");
    for subject in binding.items("subjects") {
        line!(page, 1, "{}\t{}\t{}", subject.text("kind"), subject.text("name"), subject.text("namespace"));
    }
}

fn modes(object: &Value, path: &str) -> String {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    let order = ["RWO", "ROX", "RWX", "RWOP"];
    let found: Vec<&str> = object.items(path).iter().filter_map(Value::as_str).map(short).gather();
    order.into_iter().filter(|mode| found.contains(mode)).gather::<Vec<_>>().join(",")
}

fn phase(page: &mut Page, object: &Value) {
    match meta::deletion_timestamp(object) {
        Some(at) => {
            let lasts = page.since(at);
            line!(page, 0, "Status:\tTerminating (lasts {lasts})");
        }
        None => line!(page, 0, "Status:\t{}", object.text("status.phase")),
    }
}

pub fn volume(page: &mut Page, volume: &Value) {
    line!(page, 0, "Name:\t{}", volume.text("metadata.name"));
    page.marks(volume);
    line!(page, 0, "Finalizers:\t{}", go_list(volume, "metadata.finalizers"));
    line!(page, 0, "StorageClass:\t{}", volumes::storage_class(volume));
    phase(page, volume);
    let claim = match volume.has("spec.claimRef") {
        true => format!("{}/{}", volume.text("spec.claimRef.namespace"), volume.text("spec.claimRef.name")),
        false => String::new(),
    };
    line!(page, 0, "Claim:\t{claim}");
    line!(page, 0, "Reclaim Policy:\t{}", volume.text("spec.persistentVolumeReclaimPolicy"));
    line!(page, 0, "Access Modes:\t{}", modes(volume, "spec.accessModes"));
    if volume.has("spec.volumeMode") {
        line!(page, 0, "VolumeMode:\t{}", volume.text("spec.volumeMode"));
    }
    line!(page, 0, "Capacity:\t{}", text_of(volume.at("spec.capacity.storage")));
    let terms = volume.items("spec.nodeAffinity.required.nodeSelectorTerms");
    if terms.is_empty() {
        line!(page, 0, "Node Affinity:\t<none>");
    } else {
        line!(page, 0, "Node Affinity:\t");
        line!(page, 1, "Required Terms:\t");
        for (index, term) in terms.iter().enumerate() {
            for (place, requirement) in term.items("matchExpressions").iter().enumerate() {
                let values = list(requirement, "values", ", ");
                let values = if values.is_empty() { values } else { format!(" [{values}]") };
                let title = if place == 0 { format!("Term {index}:") } else { String::new() };
                let operator = requirement.text("operator").to_ascii_lowercase();
                line!(page, 2, "{title}\t{} {operator}{values}", requirement.text("key"));
            }
        }
    }
    line!(page, 0, "Message:\t{}", volume.text("status.message"));
    line!(page, 0, "Source:");
    if !volume::source(page, volume.at("spec")) {
        line!(page, 1, "<unknown>");
    }
}

/// What a claim's volume begins with.
pub fn data_source(page: &mut Page, claim: &Value) {
    let source = claim.at("spec.dataSource");
    if source.is_null() {
        return;
    }
    line!(page, 0, "DataSource:");
    for (title, field) in [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")] {
        if source.has(field) {
            line!(page, 1, "{title}:\t{}", source.text(field));
        }
    }
}

pub fn claim(page: &mut Page, claim: &Value, pods: &[Value]) {
    page.name(claim);
    line!(page, 0, "StorageClass:\t{}", volumes::storage_class(claim));
    phase(page, claim);
    line!(page, 0, "Volume:\t{}", claim.text("spec.volumeName"));
    page.marks(claim);
    line!(page, 0, "Finalizers:\t{}", go_list(claim, "metadata.finalizers"));
    let is_bound = !claim.text("spec.volumeName").is_empty();
    let capacity = if is_bound { text_of(claim.at("status.capacity.storage")) } else { String::new() };
    line!(page, 0, "Capacity:\t{capacity}");
    line!(
        page,
        0,
        "Access Modes:\t{}",
        if is_bound { modes(claim, "status.accessModes") } else { String::new() }
    );
    if claim.has("spec.volumeMode") {
        line!(page, 0, "VolumeMode:\t{}", claim.text("spec.volumeMode"));
    }
    data_source(page, claim);
    let name = claim.text("metadata.name");
    let mut users: Vec<String> = pods
        .iter()
        .filter(|pod| {
            pod.items("spec.volumes")
                .iter()
                .any(|volume| volume.text("persistentVolumeClaim.claimName") == name)
        })
        .map(|pod| pod.text("metadata.name").to_string())
        .gather();
    users.arrange();
    page.column("Used By", users);
    if !claim.items("status.conditions").is_empty() {
        line!(page, 0, "Conditions:");
        line!(page, 1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage");
        line!(page, 1, "----\t------\t-----------------\t------------------\t------\t-------");
        for condition in claim.items("status.conditions") {
            line!(
                page,
                1,
                "{} \t{} \t{} \t{} \t{} \t{}",
                condition.text("type"),
                condition.text("status"),
                date(condition.text("lastProbeTime")),
                date(condition.text("lastTransitionTime")),
                condition.text("reason"),
                condition.text("message")
            );
        }
    }
}

pub fn storage_class(page: &mut Page, class: &Value) {
    line!(page, 0, "Name:\t{}", class.text("metadata.name"));
    let annotations = class.map("metadata.annotations");
    let is_default = annotations.get("storageclass.kubernetes.io/is-default-class").and_then(Value::as_str)
        == Some("true");
    line!(page, 0, "IsDefaultClass:\t{}", if is_default { "Yes" } else { "No" });
    line!(page, 0, "Annotations:\t{}", joined(annotations));
    line!(page, 0, "Provisioner:\t{}", class.text("provisioner"));
    line!(page, 0, "Parameters:\t{}", joined(class.map("parameters")));
    line!(
        page,
        0,
        "AllowVolumeExpansion:\t{}",
        class.at("allowVolumeExpansion").as_bool().map_or("<unset>", truth)
    );
    if class.items("mountOptions").is_empty() {
        line!(page, 0, "MountOptions:\t<none>");
    } else {
        line!(page, 0, "MountOptions:");
        for option in class.items("mountOptions").iter().filter_map(Value::as_str) {
            line!(page, 1, "{option}");
        }
    }
    for (title, field) in [("ReclaimPolicy", "reclaimPolicy"), ("VolumeBindingMode", "volumeBindingMode")] {
        if class.has(field) {
            line!(page, 0, "{title}:\t{}", class.text(field));
        }
    }
    let topologies = class.items("allowedTopologies");
    if !topologies.is_empty() {
        line!(page, 0, "AllowedTopologies:\t");
    }
    for (index, term) in topologies.iter().enumerate() {
        let mut title = format!("Term {index}:");
        for requirement in term.items("matchLabelExpressions") {
            let values = list(requirement, "values", ", ");
            line!(page, 1, "{title}\t{} in [{values}]", requirement.text("key"));
            title.clear();
        }
    }
}

pub fn priority_class(page: &mut Page, class: &Value) {
    line!(page, 0, "Name:\t{}", class.text("metadata.name"));
    line!(page, 0, "Value:\t{}", text_of(class.at("value")));
    line!(page, 0, "GlobalDefault:\t{}", class.is_true("globalDefault"));
    line!(page, 0, "PreemptionPolicy:\t{}", class.text("preemptionPolicy"));
    line!(page, 0, "Description:\t{}", class.text("description"));
    line!(page, 0, "Annotations:\t{}", joined(class.map("metadata.annotations")));
}

pub fn event(page: &mut Page, event: &Value) {
    generic(page, event);
}

/// Any other kind: every field under its name.
pub fn generic(page: &mut Page, object: &Value) {
    line!(page, 0, "Name:\t{}", object.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", object.text("metadata.namespace"));
    page.marks(object);
    if let Some(map) = object.as_object() {
        content(page, 0, map, "");
    }
}

fn content(page: &mut Page, level: usize, map: &Map, path: &str) {
    const SKIPPED: [&str; 5] = [
        ".metadata.managedFields",
        ".metadata.name",
        ".metadata.namespace",
        ".metadata.labels",
        ".metadata.annotations",
    ];
    for (field, value) in map.iter() {
        let place = format!("{path}.{field}");
        if SKIPPED.contains(&place.as_str()) {
            continue;
        }
        let label = label(field);
        match value {
            Value::Object(inner) => {
                line!(page, level, "{label}:");
                content(page, level + 1, inner, &place);
            }
            Value::Array(items) => {
                line!(page, level, "{label}:");
                for item in items.iter() {
                    match item {
                        Value::Object(inner) => content(page, level + 1, inner, &place),
                        other => line!(page, level + 1, "{}", text_of(other)),
                    }
                }
            }
            other => line!(page, level, "{label}:\t{}", text_of(other)),
        }
    }
}

/// `creationTimestamp` reads `Creation Timestamp`, `apiVersion` `API Version`.
fn label(field: &str) -> String {
    if !field.chars().all(|c| c.is_ascii_alphabetic() || c == '-') {
        return field.to_string();
    }
    let mut parts: Vec<String> = Vec::new();
    let letters: Vec<char> = field.chars().gather();
    for (index, letter) in letters.iter().enumerate() {
        let starts = letter.is_ascii_uppercase()
            && (index == 0
                || letters[index - 1].is_ascii_lowercase()
                || letters.get(index + 1).is_some_and(|next| next.is_ascii_lowercase()));
        match parts.last_mut() {
            Some(part) if !starts => part.push(*letter),
            _ => parts.push(letter.to_string()),
        }
    }
    let titled = parts.into_iter().map(|part| {
        if ["API", "URL", "UID", "GUID"].contains(&part.to_ascii_uppercase().as_str()) {
            return part.to_ascii_uppercase();
        }
        if part.to_ascii_lowercase() == part {
            let mut letters = part.chars();
            return letters
                .next()
                .map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + letters.as_str());
        }
        part
    });
    titled.collect::<Vec<_>>().join(" ")
}

/// When a policy was made, as Go prints a time by itself.
pub fn created(object: &Value) -> String {
    let text = object.text("metadata.creationTimestamp");
    match crate::api::time::parse_rfc3339(text) {
        Some(_) => text.replace('T', " ").replace('Z', " +0000 UTC"),
        None => date(text),
    }
}
