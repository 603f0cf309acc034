//! From words and files to objects: what a command is about.
//!
//! Picture to hold in mind: a librarian who takes a list of titles, shelf marks or a whole box of books, and
//! lays out one index card for each.
//!
//! Follows `k8s.io/cli-runtime/pkg/resource` (builder.go, visitor.go, mapper.go).

mod manifests;

use std::sync::Arc;

use crate::api::selector::LabelSelector;
use crate::api::{ResourceInfo, Value};
use crate::arrange::Gather;
use crate::client::request;

use super::failure::{Failure, Outcome, fail};
use super::session::{Chosen, Mapping, Session};

/// One card: an object, or where to find it.
#[derive(Clone, Debug)]
pub struct Info {
    pub mapping: Mapping,
    /// Empty for cluster-scoped resources.
    pub namespace: String,
    pub name: String,
    /// `Null` until it is fetched.
    pub object: Value,
    /// The file it came from; empty for an argument.
    pub source: String,
}

impl Info {
    /// `pods/nginx`, as messages name it.
    pub fn object_name(&self) -> String {
        format!("{}/{}", self.mapping.info.plural, self.name)
    }
    /// `pod/nginx`, `deployment.apps/web`: as the name printer has it.
    pub fn typed_name(&self) -> String {
        format!("{}/{}", self.mapping.short_kind(), self.name)
    }
    /// Two lines that errors of `apply` quote.
    pub fn description(&self) -> String {
        format!(
            "Resource: {:?}, GroupVersionKind: {:?}\nName: {:?}, Namespace: {:?}",
            self.mapping.go_string(),
            self.mapping.kind_go_string(),
            self.name,
            self.namespace
        )
    }
    pub fn get_request(&self) -> crate::message::rest::Request {
        request::get(&self.mapping.resource(), &self.namespace, &self.name)
    }
}

/// The type and name arguments of a command, taken apart.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Objects by name; `single`: exactly one was asked for.
    Named { infos: Vec<Info>, single: bool },
    /// All of some types, perhaps by selector.
    Listed { mappings: Vec<Mapping>, namespace: String, label_selector: String, field_selector: String },
    /// From files.
    Files { infos: Vec<Info>, failures: Vec<Failure>, single: bool },
}

/// What a command allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// A type alone means all its objects.
    pub all_without_selector: bool,
    /// Across all namespaces.
    pub all_namespaces: bool,
    pub single_type: bool,
}

pub const MISSING: &str = "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'";

impl Session<'_, '_, '_> {
    /// Reads what the operands and `-f`, `-l`, `--field-selector`, `--all` name.
    pub fn select(&mut self, operands: &[String], rules: Rules) -> Outcome<Selection> {
        let (labels, fields) =
            (self.flags.text("selector").to_string(), self.flags.text("field-selector").to_string());
        // The other commands look at `--all` only where there are no names.
        let select_all = self.flags.switch("all") && self.command == "kubectl delete";
        if self.has_files() {
            if !operands.is_empty() {
                return fail(
                    "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
                );
            }
            let read = self.settle(Self::read_files)?;
            let (mut infos, failures) = (*read).clone();
            if !labels.is_empty() {
                let selector = LabelSelector::parse(&labels).map_err(|error| {
                    Failure::Message(format!("the provided selector {labels:?} is not valid: {error}"))
                })?;
                infos.retain(|info| selector.matches_object(&info.object));
            }
            let single = self.flags.list("filename").len() == 1 && infos.len() == 1;
            return Ok(Selection::Files { infos, failures, single });
        }
        let namespace = if rules.all_namespaces { String::new() } else { self.namespace() };
        let operands = self.normalize(operands)?;
        let slashes = operands.iter().filter(|operand| operand.contains('/')).count();
        if slashes > 0 && slashes < operands.len() {
            return fail(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'",
            );
        }
        if slashes > 0 {
            if !labels.is_empty() || !fields.is_empty() || select_all {
                return fail(
                    "selectors and the all flag cannot be used when passing resource/name arguments",
                );
            }
            return self.by_tuples(&operands, &namespace, rules);
        }
        let Some((types, names)) = operands.split_first() else {
            return if labels.is_empty() && fields.is_empty() && !select_all {
                fail(MISSING)
            } else {
                fail("at least one resource must be specified to use a selector")
            };
        };
        let mappings = self.mappings(types, rules)?;
        if names.is_empty() {
            let takes_all = rules.all_without_selector || self.flags.switch("all");
            if labels.is_empty() && fields.is_empty() && !takes_all {
                return fail("resource(s) were provided, but no name was specified");
            }
            return Ok(Selection::Listed {
                mappings,
                namespace,
                label_selector: labels,
                field_selector: fields,
            });
        }
        if !labels.is_empty() || !fields.is_empty() || select_all {
            return fail("name cannot be provided when a selector is specified");
        }
        let [mapping] = mappings.as_slice() else { return fail("you must specify only one resource") };
        let mut infos = Vec::new();
        for name in names {
            infos.push(named(mapping, name, &namespace, rules)?);
        }
        let single = infos.len() == 1;
        Ok(Selection::Named { infos, single })
    }

    /// `a,b x` becomes `a/x b/x`.
    fn normalize(&self, operands: &[String]) -> Outcome<Vec<String>> {
        if let Some((types, names)) = operands.split_first()
            && !names.is_empty()
            && types.contains(',')
        {
            return Ok(types
                .split(',')
                .filter(|word| !word.is_empty())
                .flat_map(|word| names.iter().map(move |name| format!("{word}/{name}")))
                .gather());
        }
        Ok(operands.to_vec())
    }
    fn by_tuples(&mut self, operands: &[String], namespace: &str, rules: Rules) -> Outcome<Selection> {
        let mut infos = Vec::new();
        for operand in operands {
            let parts: Vec<&str> = operand.split('/').gather();
            let [kind, name] = parts.as_slice() else {
                return fail("arguments in resource/name form may not have more than one slash");
            };
            if kind.is_empty() || name.is_empty() || kind.contains(',') {
                return fail("arguments in resource/name form must have a single resource and name");
            }
            let mapping = self.resource(kind)?;
            infos.push(named(&mapping, name, namespace, rules)?);
        }
        let single = infos.len() == 1;
        Ok(Selection::Named { infos, single })
    }
    fn category(&self, word: &str) -> Vec<Mapping> {
        let mapping = |info: &Arc<ResourceInfo>| Mapping {
            info: info.clone(),
            version: info.preferred_version().clone(),
        };
        self.registry.category(word).into_iter().map(mapping).collect()
    }
    /// The resources of `pods,svc` or `all`, each once.
    pub fn mappings(&mut self, types: &str, rules: Rules) -> Outcome<Vec<Mapping>> {
        let mut mappings: Vec<Mapping> = Vec::new();
        let mut count = 0;
        for word in types.split(',').filter(|word| !word.is_empty()) {
            let mut category = self.category(word);
            // Custom resources may belong to it as well, or have one of their own.
            if !category.is_empty() || self.registry.find(word).is_none() {
                self.discover()?;
                category = self.category(word);
            }
            let found = if category.is_empty() { vec![self.resource(word)?] } else { category };
            count += found.len();
            for mapping in found {
                if !mappings.contains(&mapping) {
                    mappings.push(mapping);
                }
            }
        }
        if rules.single_type && count > 1 {
            return fail("you may only specify a single resource type");
        }
        Ok(mappings)
    }

    /// Fetches what a selection names: the objects, and what could not be had.
    pub fn fetch(&mut self, selection: Selection) -> Outcome<Chosen> {
        match selection {
            Selection::Files { infos, failures, .. } => Ok((infos, failures)),
            Selection::Named { infos, .. } => self.fetch_named(infos),
            Selection::Listed { mappings, namespace, label_selector, field_selector } => {
                let (mut infos, mut failures) = (Vec::new(), Vec::new());
                for mapping in mappings {
                    let scope = if mapping.namespaced() { namespace.as_str() } else { "" };
                    let listed = self.list(&mapping, scope, &label_selector, &field_selector, |_| {})?;
                    match listed {
                        Ok(list) => infos.extend(infos_of_list(&mapping, &list)),
                        Err(failure) => failures.push(failure),
                    }
                }
                Ok((infos, failures))
            }
        }
    }
    /// What `operands` or files name, as the server has it, or as the files do with `--local`; looked for once.
    pub fn find(&mut self, operands: &[String], rules: Rules) -> Outcome<Arc<Chosen>> {
        self.settle(|session| match session.select(operands, rules)? {
            Selection::Files { infos, failures, .. } if !session.flags.switch("local") => {
                let (found, missing) = session.fetch_named(infos)?;
                Ok((found, failures.into_iter().chain(missing).collect()))
            }
            other => session.fetch(other),
        })
    }
    /// Fetches objects by name.
    pub fn fetch_named(&mut self, infos: Vec<Info>) -> Outcome<Chosen> {
        let answers = self.each(&infos, Vec::new(), |session, info, mut answers| {
            answers.push(session.attempt(info.get_request())?);
            Ok(answers)
        })?;
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for (mut info, answer) in infos.into_iter().zip(answers) {
            match answer {
                Ok(object) => {
                    info.object = object;
                    found.push(info);
                }
                Err(failure) => failures.push(failure),
            }
        }
        Ok((found, failures))
    }
    /// Lists one resource; `change` may add to the request.
    pub fn list(
        &mut self,
        mapping: &Mapping,
        namespace: &str,
        labels: &str,
        fields: &str,
        change: impl FnOnce(&mut crate::message::rest::Options),
    ) -> Outcome<Result<Value, Failure>> {
        let mut request = request::list(&mapping.resource(), namespace);
        request.options.label_selector = labels.into();
        request.options.field_selector = fields.into();
        change(&mut request.options);
        let chunk = self.flags.number("chunk-size").unwrap_or(500).max(0) as u64;
        if request.options.limit == 0 {
            request.options.limit = chunk;
        }
        let listed = self.settle(|session| {
            let mut all = match session.attempt(request.clone())? {
                Ok(list) => list,
                Err(failure) => return Ok(Err(list_failure(failure, mapping, labels, fields))),
            };
            while !all.text("metadata.continue").is_empty() {
                request.options.continue_token = all.shared_text("metadata.continue");
                let more = match session.attempt(request.clone())? {
                    Ok(more) => more,
                    Err(failure) => return Ok(Err(failure)),
                };
                for field in ["items", "rows"] {
                    if all.has(field) {
                        let items = more.items(field).to_vec();
                        all.at_mut(field).make_array().extend(items);
                    }
                }
                let metadata = more.at("metadata").clone();
                all.set("metadata", metadata);
            }
            Ok(Ok(all))
        })?;
        Ok((*listed).clone())
    }

    pub fn has_files(&self) -> bool {
        self.flags.is_set("filename") || self.flags.is_set("kustomize")
    }
}

fn named(mapping: &Mapping, name: &str, namespace: &str, rules: Rules) -> Result<Info, Failure> {
    if mapping.namespaced() && namespace.is_empty() && rules.all_namespaces {
        return Err(Failure::Message("a resource cannot be retrieved by name across all namespaces".into()));
    }
    Ok(Info {
        mapping: mapping.clone(),
        namespace: if mapping.namespaced() { namespace.to_string() } else { String::new() },
        name: name.to_string(),
        object: Value::Null,
        source: String::new(),
    })
}

/// The objects of a list, each with its own kind.
pub fn infos_of_list(mapping: &Mapping, list: &Value) -> Vec<Info> {
    list.items("items").iter().map(|item| info_of_item(mapping, item)).collect()
}
pub fn info_of_item(mapping: &Mapping, item: &Value) -> Info {
    let mut object = item.clone();
    object.set_default("apiVersion", mapping.api_version());
    object.set_default("kind", mapping.info.kind.clone());
    Info {
        mapping: mapping.clone(),
        namespace: object.text("metadata.namespace").to_string(),
        name: object.text("metadata.name").to_string(),
        object,
        source: String::new(),
    }
}

/// Says what was listed (`EnhanceListError`).
pub fn list_failure(failure: Failure, mapping: &Mapping, labels: &str, fields: &str) -> Failure {
    if !matches!(failure.reason(), "BadRequest" | "NotFound") {
        return failure;
    }
    let subject = mapping.go_string();
    let prefix = if labels.is_empty() && fields.is_empty() {
        format!("Unable to list {subject:?}: ")
    } else {
        format!(
            "Unable to find {subject:?} that match label selector {labels:?}, field selector {fields:?}: "
        )
    };
    failure.with_prefix(&prefix)
}
