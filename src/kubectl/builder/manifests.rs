//! The documents of `-f`: read, looked at, and each given the resource that it is one of.
//!
//! Picture to hold in mind: the counter where whole boxes of books come in: what is no book is put aside with a note, and
//! each of the others gets its card.

use std::sync::Arc;

use crate::api::kind::Registry;
use crate::api::selector::LabelSelector;
use crate::api::{Text, Value, meta, yaml};
use crate::shell::files::Entry;

use super::super::failure::{Failure, Outcome, fail};
use super::super::session::{Chosen, Mapping, Session};
use super::Info;

impl Session<'_, '_, '_> {
    /// The objects of `-f` that `-l` lets through, with what was wrong; read once.
    pub fn read_manifests(&mut self) -> Outcome<Arc<Chosen>> {
        self.settle(|session| {
            let (mut infos, failures) = session.read_files()?;
            let selector = LabelSelector::parse(session.flags.text("selector")).map_err(Failure::Message)?;
            infos.retain(|info| selector.matches_object(&info.object));
            Ok((infos, failures))
        })
    }
    pub(super) fn read_files(&mut self) -> Outcome<Chosen> {
        if self.flags.is_set("kustomize") && self.flags.is_set("filename") {
            return fail("only one of -f or -k can be specified");
        }
        if self.flags.is_set("kustomize") {
            let message = crate::fidelity::message("kubectl", "kustomize").unwrap_or_default();
            return fail(message);
        }
        let names = self.flags.list("filename");
        if names.is_empty() {
            return fail("must specify one of -f and -k");
        }
        let mut texts: Vec<(String, Text)> = Vec::new();
        let mut used_stdin = false;
        for name in &names {
            if name == "-" {
                if used_stdin {
                    return fail("standard input cannot be used for multiple arguments");
                }
                used_stdin = true;
                texts.push(("STDIN".into(), self.cli.stdin()?));
            } else if name.starts_with("http://") || name.starts_with("https://") {
                let message = crate::fidelity::message("kubectl", "-f URL").unwrap_or_default();
                return fail(format!("unable to read URL {name:?}: {message}"));
            } else {
                self.read_path(name, &mut texts)?;
            }
        }
        let validates = self.flags.text("validate");
        let validates = !matches!(validates, "false" | "ignore")
            && matches!(self.command.as_str(), "kubectl apply" | "kubectl create" | "kubectl replace");
        let documents = self.cli.once(|_| read_documents(&texts, validates));
        // Custom resources are looked up once, if a document is of a kind that is not built in.
        let is_unknown = |found: &Found| matches!(found, Found::Object { object, .. } if find_mapping(&self.registry, object).is_none());
        if documents.iter().any(is_unknown) {
            self.discover()?;
        }
        let (namespace, explicit) = (self.namespace(), self.has_explicit_namespace());
        let (mut infos, mut failures) = (Vec::new(), Vec::new());
        for found in documents.iter() {
            match found {
                Found::Bad(failure) => failures.push(failure.clone()),
                Found::Object { object, source } => {
                    match info_of(&self.registry, object, source, &namespace, explicit) {
                        Ok(info) => infos.push(info),
                        Err(failure) => failures.push(failure),
                    }
                }
            }
        }
        Ok((infos, failures))
    }
    fn read_path(&mut self, name: &str, texts: &mut Vec<(String, Text)>) -> Outcome {
        let path = self.cli.path(name);
        let files = self.cli.files();
        match files.get(&path) {
            Some(Entry::File(text)) => texts.push((name.to_string(), text.clone())),
            Some(Entry::Folder) => {
                let recursive = self.flags.switch("recursive");
                let before = texts.len();
                for (file, entry) in files.below(&path) {
                    let below = &file[path.len()..].trim_start_matches('/');
                    let is_manifest = [".json", ".yaml", ".yml"].iter().any(|ending| file.ends_with(ending));
                    if let Entry::File(text) = entry
                        && is_manifest
                        && (recursive || !below.contains('/'))
                    {
                        texts.push((format!("{}/{below}", name.trim_end_matches('/')), text.clone()));
                    }
                }
                if texts.len() == before {
                    return fail(format!(
                        "error reading [{name}]: recognized file extensions are [.json .yaml .yml]"
                    ));
                }
            }
            None => return fail(format!("the path {name:?} does not exist")),
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Found {
    Object { object: Value, source: String },
    Bad(Failure),
}

fn read_documents(texts: &[(String, Text)], validates: bool) -> Vec<Found> {
    let mut found = Vec::new();
    for (source, text) in texts {
        for document in yaml::read(text) {
            let object = match document {
                Ok(document) if document.value.is_null() => continue,
                Ok(document) => document.value,
                Err(error) => {
                    found.push(Found::Bad(Failure::Message(format!("error parsing {source}: {error}"))));
                    break;
                }
            };
            if validates && let Err(problem) = check_type(&object) {
                let message = format!(
                    "error validating {source:?}: error validating data: {problem}; if you choose to ignore these errors, turn validation off with --validate=false"
                );
                found.push(Found::Bad(Failure::Message(message)));
                break;
            }
            flatten(object, source, &mut found, 0);
        }
    }
    found
}

fn check_type(object: &Value) -> Result<(), String> {
    if object.as_object().is_none() {
        return Err(format!(
            "cannot unmarshal {} into Go value of type map[string]interface {{}}",
            object.type_name()
        ));
    }
    let mut problems = Vec::new();
    for field in ["apiVersion", "kind"] {
        match object.get(field) {
            None | Some(Value::Null) => problems.push(format!("{field} not set")),
            Some(Value::String(text)) if text.is_empty() => problems.push(format!("{field} not set")),
            Some(Value::String(_)) => {}
            Some(_) => problems.push(format!("{field} isn't string type")),
        }
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(problems.remove(0)),
        _ => Err(format!("[{}]", problems.join(", "))),
    }
}

/// A `List` is its items.
fn flatten(object: Value, source: &str, found: &mut Vec<Found>, depth: usize) {
    let bad =
        |problem: String| Found::Bad(Failure::Message(format!("unable to decode {source:?}: {problem}")));
    if object.as_object().is_none() {
        let name = object.type_name();
        found.push(bad(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {name} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        )));
        return;
    }
    if object.text("kind").is_empty() {
        found.push(bad(format!("Object 'Kind' is missing in '{object}'")));
        return;
    }
    if object.text("kind").ends_with("List") && object.at("items").as_array().is_some() && depth < 8 {
        for item in object.items("items") {
            flatten(item.clone(), source, found, depth + 1);
        }
        return;
    }
    if let Some(problem) = check_metadata(object.at("metadata")) {
        found.push(bad(format!("json: cannot unmarshal {problem}")));
        return;
    }
    found.push(Found::Object { object, source: source.to_string() });
}

/// kubectl itself reads the metadata of every object into Go's struct (`metadataValidatingDecoder`).
fn check_metadata(metadata: &Value) -> Option<String> {
    let mismatch = |value: &Value, field: &str, wanted: &str| {
        Some(format!(
            "{} into Go struct field ObjectMeta.metadata{field} of type {wanted}",
            value.type_name()
        ))
    };
    if metadata.is_null() {
        return None;
    }
    let Some(fields) = metadata.as_object() else {
        return Some(format!(
            "{} into Go struct field .metadata of type v1.ObjectMeta",
            metadata.type_name()
        ));
    };
    for (name, value) in fields.iter() {
        if value.is_null() {
            continue;
        }
        let place = format!(".{name}");
        let problem = match name.as_str() {
            "name" | "generateName" | "namespace" | "uid" | "resourceVersion" | "selfLink" => {
                if value.as_str().is_none() { mismatch(value, &place, "string") } else { None }
            }
            "labels" | "annotations" => match value.as_object() {
                None => mismatch(value, &place, "map[string]string"),
                Some(map) => map
                    .iter()
                    .find(|(_, value)| value.as_str().is_none() && !value.is_null())
                    .and_then(|(_, value)| mismatch(value, &place, "string")),
            },
            "finalizers" => match value.as_array() {
                None => mismatch(value, &place, "[]string"),
                Some(list) => list
                    .iter()
                    .find(|value| value.as_str().is_none())
                    .and_then(|value| mismatch(value, &place, "string")),
            },
            "generation" | "deletionGracePeriodSeconds" => {
                if value.as_integer().is_none() {
                    mismatch(value, &place, "int64")
                } else {
                    None
                }
            }
            "ownerReferences" if value.as_array().is_none() => mismatch(value, &place, "[]v1.OwnerReference"),
            _ => None,
        };
        if problem.is_some() {
            return problem;
        }
    }
    None
}

fn find_mapping(registry: &Registry, object: &Value) -> Option<Mapping> {
    let (api_version, kind) = (object.text("apiVersion"), object.text("kind"));
    let (group, version) = meta::split_api_version(api_version);
    let info = registry.kind(group, kind).or_else(|| {
        // Discovery knows each kind in lower case too.
        registry.resources().find(|info| info.group == group && info.kind.to_ascii_lowercase() == kind)
    })?;
    info.serves(version).then(|| Mapping { info: info.clone(), version: version.into() })
}

fn info_of(
    registry: &Registry,
    object: &Value,
    source: &str,
    namespace: &str,
    explicit: bool,
) -> Result<Info, Failure> {
    let (name, own) = (object.text("metadata.name"), object.text("metadata.namespace"));
    let Some(mapping) = find_mapping(registry, object) else {
        let (kind, version) = (object.text("kind"), object.text("apiVersion"));
        return Err(Failure::Message(format!(
            "resource mapping not found for name: {name:?} namespace: {own:?} from {source:?}: no matches for kind {kind:?} in version {version:?}\nensure CRDs are installed first"
        )));
    };
    let mut object = object.clone();
    let mut scope = String::new();
    if mapping.namespaced() {
        if own.is_empty() {
            object.set("metadata.namespace", namespace);
            scope = namespace.to_string();
        } else {
            scope = own.to_string();
            if explicit && scope != namespace {
                return Err(Failure::Message(format!(
                    "the namespace from the provided object {scope:?} does not match the namespace {namespace:?}. You must pass '--namespace={scope}' to perform this operation."
                )));
            }
        }
    } else {
        object.remove("metadata.namespace");
    }
    let name = object.text("metadata.name").to_string();
    Ok(Info { mapping, namespace: scope, name, object, source: source.to_string() })
}
