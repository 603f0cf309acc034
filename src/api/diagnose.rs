//! What is wrong with a text, and where: for underlining while somebody types.
//!
//! Picture to hold in mind: a friend who reads over one's shoulder and knows by heart what the clerk at the counter
//! will say. He says it in the clerk's words, with a finger on the line.
//!
//! Each document goes the way it would go in the cluster (reading, decoding, defaults, validation) as far as
//! that can be told without one: nothing is looked up, no admission is asked.

use super::kind::Registry;
use super::schema::{self, Problem, Schema};
use super::value::Value;
use super::yaml::{self, Document, Mark, Span};
use super::{defaults, meta, strategy, validation};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It would be refused.
    Error,
    /// It would be taken, but not as meant.
    Warning,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// What to underline, in the whole text.
    pub span: Span,
    /// The field, as the API server writes it; empty for the document.
    pub path: String,
    /// kubectl's or the API server's words.
    pub message: String,
}

/// Looks through all documents of a text. In order of the text; within a document at most some hundred.
pub fn diagnose(text: &str, registry: &Registry) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for document in yaml::read(text) {
        match document {
            Err(error) => found.push(Diagnostic {
                severity: Severity::Error,
                span: rest_of_line(text, error.mark),
                path: String::new(),
                message: error.problem,
            }),
            Ok(document) => {
                let items = document.value.items("items");
                if meta::kind(&document.value) == "List" && !items.is_empty() {
                    for (index, item) in items.iter().enumerate() {
                        object(&document, &format!("items[{index}]"), item, registry, &mut found);
                    }
                } else {
                    object(&document, "", &document.value, registry, &mut found);
                }
            }
        }
    }
    found
}

/// From `mark` to the end of its line, or the line's last character where the mark is at its end.
fn rest_of_line(text: &str, mark: Mark) -> Span {
    let offset = mark.offset.min(text.len());
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
    let at =
        |offset: usize| Mark { offset, line: mark.line, column: text[line_start..offset].chars().count() };
    let start = if offset < line_end { offset } else { line_start };
    Span { start: at(start), end: at(line_end) }
}

fn object(
    document: &Document,
    prefix: &str,
    object: &Value,
    registry: &Registry,
    found: &mut Vec<Diagnostic>,
) {
    let mut tell = |severity: Severity, path: &str, message: String| {
        let full = match (prefix, path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        };
        let span = document.locate(&full).span();
        found.push(Diagnostic { severity, span, path: path.to_owned(), message });
    };
    if object.as_object().is_none() {
        let found = object.type_name();
        let message =
            format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
        return tell(Severity::Error, "", message);
    }
    let (api_version, kind) = (meta::api_version(object), meta::kind(object));
    for (value, field) in [(kind, "kind"), (api_version, "apiVersion")] {
        if value.is_empty() {
            return tell(Severity::Error, "", format!("error validating data: {field} not set"));
        }
    }
    let Some(info) = registry.for_api_version(api_version, kind) else {
        let message = format!("no matches for kind \"{kind}\" in version \"{api_version}\"");
        return tell(Severity::Error, "apiVersion", message);
    };
    if prefix.is_empty() {
        for duplicate in &document.duplicates {
            let message = format!("duplicate field {}", super::field::go_quote(&duplicate.path));
            tell(Severity::Warning, &duplicate.path, message);
        }
    }
    // The schemas of custom resources are the cluster's to know.
    let Some(place) = Schema::built_in().kind(api_version, kind) else { return };
    let decoded = schema::decode(place, object, &[]);
    let refused = !decoded.errors.is_empty() || !decoded.strict.is_empty();
    for Problem { path, message } in decoded.errors.into_iter().chain(decoded.strict) {
        tell(Severity::Error, &path, message);
    }
    if refused {
        return;
    }
    let mut object = decoded.value;
    if info.namespaced {
        object.set_default("metadata.namespace", "default");
    }
    if meta::name(&object).is_empty() && !meta::generate_name(&object).is_empty() {
        // The server cuts the beginning and adds five letters before it looks at the name.
        let generated: String =
            meta::generate_name(&object).chars().take(58).chain("aaaaa".chars()).collect();
        object.set("metadata.name", generated);
    }
    let (group, version) = meta::split_api_version(api_version);
    strategy::prepare_for_create(group, version, kind, &mut object);
    defaults::apply(group, version, kind, &mut object);
    for error in validation::validate_create(group, version, kind, &object) {
        tell(Severity::Error, &error.field, error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every refusal that the recorded cluster gave without looking anything up is found, and found in the text.
    #[test]
    fn recorded_refusals_are_found_at_their_place() {
        let registry = Registry::new();
        for (name, needle, underlined) in [
            ("002-unknown-nested", "unknown field \"spec.containers[0].imagePullPolcy\"", "imagePullPolcy"),
            ("004-replicas-word", "ReplicaSetSpec.spec.replicas of type int32", "replicas"),
            (
                "005-quoted-port",
                "ContainerPort.spec.containers.ports.containerPort of type int32",
                "containerPort",
            ),
            ("022-yaml-colon", "mapping values are not allowed in this context", ":"),
            ("025-name-uppercase", "metadata.name: Invalid value: \"MyFirstPod\"", "MyFirstPod"),
            (
                "014-extensions-deployment",
                "no matches for kind \"Deployment\" in version \"extensions/v1beta1\"",
                "extensions/v1beta1",
            ),
            ("011-missing-kind", "kind not set", ""),
            ("051-empty-containers", "spec.containers: Required value", "containers"),
            ("003-duplicate-key", "duplicate field", ""),
        ] {
            let path = format!("{}/tests/conformance/invalid/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            let found = diagnose(&text, &registry);
            let diagnostic = found.iter().find(|diagnostic| diagnostic.message.contains(needle));
            let diagnostic = diagnostic.unwrap_or_else(|| panic!("{name}: {found:?}"));
            let start = text[..diagnostic.span.start.offset].rfind('\n').map_or(0, |at| at + 1);
            let shown = &text[start..diagnostic.span.end.offset];
            assert!(shown.contains(underlined), "{name}: {shown:?}");
        }
    }

    #[test]
    fn good_manifests_have_nothing_to_underline() {
        let registry = Registry::new();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/valid");
        let mut wrong = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                // A definition's instances are unknown to a fresh registry, as they were to the real one.
                let found = diagnose(&text, &registry);
                wrong.extend(
                    found
                        .into_iter()
                        .filter(|diagnostic| !diagnostic.message.starts_with("no matches for kind"))
                        .map(|diagnostic| format!("{path:?}: {}", diagnostic.message)),
                );
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }
}
