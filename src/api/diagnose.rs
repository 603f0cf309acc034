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
use super::{custom, defaults, meta, strategy, validation};

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
        let place = document.locate(&full);
        // Of a field that should not be there, the name is the problem, not the value.
        let is_name = ["unknown field", "duplicate field"].iter().any(|words| message.starts_with(words));
        let span = place.key.filter(|_| is_name).unwrap_or(place.span());
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
    if let Some(kind) = &info.definition
        && let Some(version) = kind.version_of(object)
    {
        match custom::coerce(kind, version, object) {
            Err(error) => tell(Severity::Error, "", error),
            Ok(coerced) if !coerced.unknown.is_empty() => {
                for path in coerced.unknown {
                    tell(Severity::Error, &path, format!("unknown field \"{path}\""));
                }
            }
            Ok(coerced) => {
                let mut object = coerced.value;
                if info.namespaced {
                    object.set_default("metadata.namespace", "default");
                }
                if !meta::generate_name(&object).is_empty() {
                    object.set_default("metadata.name", "aaaaa");
                }
                for error in validation::validate_custom(kind, version, &object, None) {
                    tell(Severity::Error, &error.field, error.to_string());
                }
            }
        }
        return;
    }
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
    // What the server would hand out before it looks.
    object.set_default("metadata.uid", "00000000-0000-0000-0000-000000000000");
    if kind == "Service" && object.has("spec.clusterIP") && !object.has("spec.clusterIPs") {
        let first = object.at("spec.clusterIP").clone();
        object.set("spec.clusterIPs", Value::array([first]));
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
    use crate::{array, object};

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
    fn custom_resources_are_held_against_the_definitions_of_the_cluster() {
        let definition = object! {
            "spec" => object! {
                "group" => "example.com",
                "scope" => "Namespaced",
                "versions" => array![object! {
                    "name" => "v1", "served" => true, "storage" => true,
                    "schema" => object! { "openAPIV3Schema" => object! {
                        "type" => "object",
                        "properties" => object! { "spec" => object! {
                            "type" => "object",
                            "properties" => object! {
                                "size" => object! { "type" => "integer", "minimum" => 1 },
                            },
                        } },
                    } },
                }],
            },
            "status" => object! {
                "acceptedNames" => object! { "plural" => "shops", "kind" => "Shop" },
                "conditions" => array![object! { "type" => "Established", "status" => "True" }],
            },
        };
        let registry = Registry::with_definitions([&definition].into_iter());
        for (spec, path) in [("size: 2", ""), ("sise: 2", "spec.sise"), ("size: 0", "spec.size")] {
            let text =
                format!("apiVersion: example.com/v1\nkind: Shop\nmetadata:\n  name: a\nspec:\n  {spec}\n");
            let found = diagnose(&text, &registry);
            let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
            assert_eq!(paths.join(" "), path, "{found:?}");
            assert!(found.iter().all(|one| one.span.start.line == 5), "{found:?}");
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

    /// Recorded manifests with parts swapped for something else go through every step without a panic, and what
    /// decodes cleanly decodes to itself.
    #[test]
    fn objects_changed_at_random_are_told_about_or_taken() {
        use crate::api::patch::{self, PatchType, apply};

        let registry = Registry::new();
        let mut seed = 3u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below.max(1)
        };
        let pieces: Vec<Value> = [
            "null",
            "true",
            "0",
            "-1",
            "1.5",
            "99999999999",
            r#""""#,
            r#""x""#,
            r#""10%""#,
            r#""1Gi""#,
            "[]",
            "{}",
            "[null]",
            r#"[{"name":"a"}]"#,
            r#"{"a":"b"}"#,
            r#"{"$patch":"delete"}"#,
            r#"[["x"]]"#,
        ]
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
        fn change(value: &mut Value, steps: usize, piece: &Value, random: &mut dyn FnMut(usize) -> usize) {
            let inside = match value {
                Value::Object(map) if steps > 0 && !map.is_empty() => {
                    let keys: Vec<_> = map.keys().cloned().collect();
                    let key = &keys[random(keys.len())];
                    value.make_object().get_mut(key)
                }
                Value::Array(items) if steps > 0 && !items.is_empty() => {
                    let at = random(items.len());
                    value.make_array().get_mut(at)
                }
                _ => None,
            };
            match inside {
                Some(inside) => change(inside, steps - 1, piece, random),
                None => *value = piece.clone(),
            }
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/valid");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        {
            let text = std::fs::read_to_string(path).unwrap();
            for document in yaml::read(&text).into_iter().flatten() {
                let Some(place) = Schema::built_in().of(&document.value) else { continue };
                for _ in 0..12 {
                    let mut changed = document.value.clone();
                    let (steps, piece) = (2 + random(7), random(pieces.len()));
                    change(&mut changed, steps, &pieces[piece], &mut random);
                    let printed = yaml::to_string(&changed);
                    diagnose(&printed, &registry);
                    let decoded = schema::decode(place, &changed, &[]);
                    if decoded.errors.is_empty() {
                        let again = schema::decode(place, &decoded.value, &[]);
                        assert_eq!(again.value, decoded.value, "{printed}");
                    }
                    for kind in [PatchType::Json, PatchType::Merge, PatchType::StrategicMerge] {
                        let strictness = schema::Strictness::Warn;
                        let place = Some(place);
                        let _ = patch::apply_and_decode(kind, place, &document.value, &changed, strictness);
                        let _ = patch::apply_and_decode(kind, place, &changed, &document.value, strictness);
                    }
                    let _ = patch::three_way(&document.value, &changed, &document.value, place);
                    let _ = patch::three_way(&changed, &document.value, &changed, place);
                    let writer = apply::Writer {
                        manager: "someone",
                        subresource: "",
                        api_version: document.value.text("apiVersion"),
                        now: "2026-06-01T08:00:00Z".into(),
                        reset_fields: &["status"],
                    };
                    for (live, config) in [(&document.value, &changed), (&changed, &document.value)] {
                        if let Ok(applied) = apply::apply(live, config, Some(place), &writer, true) {
                            let again = apply::apply(&applied, config, Some(place), &writer, false);
                            assert_eq!(again.as_ref(), Ok(&applied), "{printed}");
                        }
                        let mut new = config.clone();
                        apply::track_update(live, &mut new, Some(place), &writer);
                    }
                }
            }
        }
    }
}
