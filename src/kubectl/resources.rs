//! `kubectl api-resources` and `kubectl api-versions`: what the server serves.
//!
//! Picture to hold in mind: reading out the building's directory (see the API server's discovery).
//!
//! Follows `k8s.io/kubectl/pkg/cmd/apiresources` and `ServerPreferredResources` of client-go.

use crate::api::kind::join_api_version;
use crate::api::{Text, Value};
use crate::arrange::{Arrange, Gather};
use crate::client::request;
use crate::object;
use crate::sorted::SortedSet;

use super::failure::{Outcome, fail, misused};
use super::print::Format;
use super::session::Session;
use super::tab_writer::{TABLE, align};

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "api-group",
    "cached",
    "categories",
    "namespaced",
    "no-headers",
    "output",
    "show-managed-fields",
    "sort-by",
    "template",
    "verbs",
];

/// The groups of the server, the core group first: `apidiscovery.k8s.io/v2`.
pub fn groups(session: &mut Session) -> Outcome<Vec<Value>> {
    let board = |path: &str| {
        request::path(path).options(|options| options.parameters = vec![("aggregated".into(), Text::new())])
    };
    let mut groups = Vec::new();
    for answer in session.send_all(vec![board("/api"), board("/apis")])? {
        groups.extend(answer?.items("items").iter().cloned());
    }
    Ok(groups)
}

pub fn unexpected(session: &Session) -> Outcome {
    let operands = session.operands();
    if operands.is_empty() {
        return Ok(());
    }
    misused(&session.command, &["unexpected arguments: [", &operands.join(" "), "]"].concat())
}

struct Row {
    group: String,
    version: String,
    resource: Value,
}

impl Row {
    fn list(&self, field: &str) -> Vec<&str> {
        self.resource.items(field).iter().filter_map(Value::as_str).gather()
    }
    fn namespaced(&self) -> bool {
        self.resource.text("scope") == "Namespaced"
    }
    fn name(&self) -> &str {
        self.resource.text("resource")
    }
    /// As an `APIResource`.
    fn object(&self) -> Value {
        let mut object = object! {
            "group" => self.group.as_str(), "kind" => self.resource.text("responseKind.kind"), "name" => self.name(),
            "namespaced" => self.namespaced(), "singularName" => self.resource.text("singularResource"),
            "verbs" => self.resource.at("verbs"), "version" => self.version.as_str(),
        };
        if self.group.is_empty() {
            object.remove("group");
        }
        for field in ["shortNames", "categories"] {
            if self.resource.has(field) {
                object.set(field, self.resource.at(field));
            }
        }
        object
    }
}

pub fn resources(session: &mut Session) -> Outcome {
    unexpected(session)?;
    let flags = session.flags.clone();
    let sort_by = flags.text("sort-by");
    if !matches!(sort_by, "" | "name" | "kind") {
        return fail("--sort-by accepts only name or kind");
    }
    let wide = flags.text("output") == "wide";
    let format = if wide { Format::Human { wide } } else { session.format(false)? };
    let (verbs, categories) = (flags.list("verbs"), flags.list("categories"));
    let mut rows = Vec::new();
    for group in groups(session)? {
        let name = group.text("metadata.name").to_string();
        // Of each resource the version that the server prefers.
        let mut seen = SortedSet::new();
        for version in group.items("versions") {
            for resource in version.items("resources") {
                if !seen.insert(resource.text("resource").to_string()) {
                    continue;
                }
                let row = Row {
                    group: name.clone(),
                    version: version.text("version").to_string(),
                    resource: resource.clone(),
                };
                let has_all = |wanted: &[String], field: &str| {
                    let own = row.list(field);
                    wanted.iter().all(|word| own.contains(&word.as_str()))
                };
                let is_shown = !row.list("verbs").is_empty()
                    && (!flags.is_set("api-group") || flags.text("api-group") == name)
                    && (!flags.is_set("namespaced") || flags.switch("namespaced") == row.namespaced())
                    && has_all(&verbs, "verbs")
                    && has_all(&categories, "categories");
                if is_shown {
                    rows.push(row);
                }
            }
        }
    }
    rows.arrange_by_key(|row| {
        let first = match sort_by {
            "name" => row.name(),
            "kind" => row.resource.text("responseKind.kind"),
            _ => &row.group,
        };
        (first.to_string(), row.name().to_string())
    });
    match &format {
        Format::Name => {
            for row in &rows {
                let dot = if row.group.is_empty() { "" } else { "." };
                session.println(format!("{}{dot}{}", row.name(), row.group));
            }
        }
        Format::Human { .. } => {
            let mut text = String::new();
            if !flags.switch("no-headers") {
                text += "NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND";
                text += if wide { "\tVERBS\tCATEGORIES\n" } else { "\n" };
            }
            for row in &rows {
                text += &format!(
                    "{}\t{}\t{}\t{}\t{}",
                    row.name(),
                    row.list("shortNames").join(","),
                    join_api_version(&row.group, &row.version),
                    row.namespaced(),
                    row.resource.text("responseKind.kind")
                );
                if wide {
                    text +=
                        &format!("\t{}\t{}", row.list("verbs").join(","), row.list("categories").join(","));
                }
                text.push('\n');
            }
            session.print(align(&text, TABLE));
        }
        format => {
            let items: Vec<Value> = rows.iter().map(Row::object).collect();
            let list = object! {
                "apiVersion" => "v1", "groupVersion" => "", "kind" => "APIResourceList", "resources" => items,
            };
            session.print_object(format, &list)?;
        }
    }
    Ok(())
}

pub fn versions(session: &mut Session) -> Outcome {
    unexpected(session)?;
    let mut versions = SortedSet::new();
    for group in groups(session)? {
        for version in group.items("versions") {
            let name = join_api_version(group.text("metadata.name"), version.text("version"));
            versions.insert(name.to_string());
        }
    }
    for version in versions {
        session.println(version);
    }
    Ok(())
}
