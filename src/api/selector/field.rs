//! Selectors over fields: `--field-selector status.phase=Running,metadata.name!=web`.
//!
//! Picture to hold in mind: a library's card index. One can ask only by what has a card (name, author), however
//! much more stands in the books; for anything else the librarian says so at once.
//!
//! Follows `k8s.io/apimachinery/pkg/fields` and, for what each kind supports, the field label conversions of
//! `pkg/apis/*/v1/conversion.go` and `ToSelectableFields` of the registries.

use std::fmt;

use crate::api::kind::ResourceInfo;
use crate::api::value::{Text, Value};
use crate::arrange::Arrange;

#[derive(Clone, Debug, PartialEq)]
pub struct FieldTerm {
    pub field: Text,
    pub equal: bool,
    pub value: Text,
}

/// All terms together; no terms select everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSelector {
    pub terms: Vec<FieldTerm>,
}

impl FieldSelector {
    pub fn everything() -> FieldSelector {
        FieldSelector::default()
    }
    /// `field=value`, as reflectors ask for the pods of one node.
    pub fn equal(field: impl Into<Text>, value: impl Into<Text>) -> FieldSelector {
        FieldSelector { terms: vec![FieldTerm { field: field.into(), equal: true, value: value.into() }] }
    }
    /// Reads a selector; the error is upstream's.
    pub fn parse(text: &str) -> Result<FieldSelector, String> {
        let mut parts = split_terms(text);
        parts.arrange();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((field, equal, value)) = split_term(part) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            terms.push(FieldTerm { field: Text::from(field), equal, value: unescape(value)? });
        }
        Ok(FieldSelector { terms })
    }
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
    /// Whether the kind has a card for every field asked for; the error is upstream's. A term of two empty
    /// texts (`=`) asks for nothing.
    pub fn check(&self, info: &ResourceInfo) -> Result<(), String> {
        for term in self.terms.iter().filter(|term| !term.field.is_empty() || !term.value.is_empty()) {
            if !supports(info, &term.field) {
                return Err(match (info.group.as_str(), info.kind.as_str()) {
                    ("batch", "Job") => {
                        format!("field label {:?} not supported for Job", term.field.as_str())
                    }
                    ("resource.k8s.io", "ResourceSlice") => {
                        let kind = "resource.k8s.io/v1, Kind=ResourceSlice";
                        format!("field label not supported for {kind}: {}", term.field)
                    }
                    (
                        "",
                        "Pod"
                        | "Node"
                        | "ReplicationController"
                        | "Event"
                        | "Namespace"
                        | "Secret"
                        | "Service",
                    )
                    | ("events.k8s.io", _)
                    | ("certificates.k8s.io", _) => format!("field label not supported: {}", term.field),
                    _ if info.custom => format!("field label not supported: {}", term.field),
                    _ => format!(
                        "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                        term.field.as_str()
                    ),
                });
            }
        }
        Ok(())
    }
    /// Whether the object has the values asked for; an absent field reads as upstream's zero value.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field_text(object, &term.field) == term.value) == term.equal)
    }
    /// The value that `field` must have, if the selector says so.
    pub fn exact(&self, field: &str) -> Option<&Text> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| &term.value)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(formatter, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

fn supports(info: &ResourceInfo, field: &str) -> bool {
    if let Some(kind) = &info.definition {
        let mut own = kind.versions().flat_map(|version| version.selectable_fields());
        return field == "metadata.name"
            || (field == "metadata.namespace" && info.namespaced)
            || own.any(|own| own.text("jsonPath").strip_prefix('.') == Some(field));
    }
    if field == "metadata.name" || field == "metadata.namespace" {
        return field == "metadata.name" || info.namespaced || !has_own_fields(info);
    }
    own_fields(info).contains(&field)
}

fn has_own_fields(info: &ResourceInfo) -> bool {
    !own_fields(info).is_empty()
}

fn own_fields(info: &ResourceInfo) -> &'static [&'static str] {
    match (info.group.as_str(), info.kind.as_str()) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
            "spec.host",
        ],
        ("", "Node") => &["spec.unschedulable"],
        ("", "ReplicationController") => &["status.replicas"],
        ("", "Event") | ("events.k8s.io", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingComponent",
            "reportingController",
            "source",
            "type",
        ],
        ("", "Namespace") => &["status.phase"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("batch", "Job") => &["status.successful"],
        ("certificates.k8s.io", "CertificateSigningRequest") => &["spec.signerName"],
        ("resource.k8s.io", "ResourceSlice") => &["spec.nodeName", "spec.driver"],
        _ => &[],
    }
}

fn field_text(object: &Value, field: &str) -> Text {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => Text::new(),
        other => Text::from(other.to_string()),
    };
    let or = |path: &str, default: &'static str| match object.at(path) {
        Value::Null => Text::from(default),
        value => text(value),
    };
    match field {
        "spec.unschedulable" | "spec.hostNetwork" => or(field, "false"),
        "status.replicas" => or(field, "0"),
        "status.successful" => or("status.succeeded", "0"),
        "spec.host" => object.shared_text("spec.nodeName"),
        // Upstream falls back to the reporting controller for events without a source component.
        "source" => match object.shared_text("source.component") {
            component if component.is_empty() => {
                first(object, &["reportingComponent", "reportingController"])
            }
            component => component,
        },
        "reportingComponent" | "reportingController" => {
            first(object, &["reportingComponent", "reportingController"])
        }
        _ => match field.split_once('.') {
            // The two versions of an Event call the same thing by two names.
            Some(("involvedObject" | "regarding", rest)) => {
                first(object, &[&format!("involvedObject.{rest}"), &format!("regarding.{rest}")])
            }
            _ => text(object.at(field)),
        },
    }
}

fn first(object: &Value, paths: &[&str]) -> Text {
    paths.iter().map(|path| object.shared_text(path)).find(|text| !text.is_empty()).unwrap_or_default()
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    term.char_indices().find_map(|(index, _)| {
        let rest = &term[index..];
        [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .find_map(|(operator, equal)| Some((&term[..index], equal, rest.strip_prefix(operator)?)))
    })
}

fn unescape(text: &str) -> Result<Text, String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
                }
            },
            // Upstream prints the character as its number.
            ',' | '=' => {
                let code = u32::from(character);
                return Err(format!("invalid field selector: unescaped character in value: {code}"));
            }
            _ => plain.push(character),
        }
    }
    Ok(Text::from(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kind::Registry;
    use crate::object;

    #[test]
    fn fields_select() {
        let pod = object! {
            "metadata" => object! { "name" => "web" },
            "status" => object! { "phase" => "Running" },
            "spec" => object! { "nodeName" => "worker-1" },
        };
        for (text, expected) in [
            ("", true),
            ("metadata.name=web", true),
            ("metadata.name==web,status.phase!=Pending", true),
            ("spec.nodeName=", false),
            ("spec.nodeName!=", true),
            ("spec.host=worker-1", true),
            ("status.podIP=", true),
            ("spec.hostNetwork=false", true),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(&pod), expected, "{text}");
        }
    }

    #[test]
    fn bad_field_selectors_are_refused_in_upstreams_words() {
        for (text, error) in [
            ("web", "invalid selector: 'web'; can't understand 'web'"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap_err(), error);
        }
        let registry = Registry::new();
        for (resource, text, error) in [
            ("pods", "status.phase=Running", ""),
            ("pods", "foo=bar", "field label not supported: foo"),
            ("jobs", "foo=bar", "field label \"foo\" not supported for Job"),
            (
                "deployments",
                "status.phase=x",
                "\"status.phase\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
        ] {
            let info = registry.find(resource).unwrap().0;
            let result = FieldSelector::parse(text).unwrap().check(info);
            assert_eq!(result.err().unwrap_or_default(), error);
        }
    }

    #[test]
    fn escapes_survive() {
        let selector = FieldSelector::parse("a=b\\,c\\=d").unwrap();
        assert_eq!(selector.terms[0].value, "b,c=d");
        assert_eq!(selector.to_string(), "a=b\\,c\\=d");
    }
}
