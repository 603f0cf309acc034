//! `/openapi/v2` and `/openapi/v3`: what may be sent where, and what it may hold.
//!
//! Picture to hold in mind: the atlas of [`crate::api::schema`] bound together with the building's directory: for each
//! door the forms that are taken there, for each form its fields.
//!
//! Follows `k8s.io/kube-openapi/pkg/{builder,builder3,handler3}` and `k8s.io/apiserver/pkg/endpoints/installer.go`. What
//! fields mean is told in our own words; custom resources bring their descriptions along.

use crate::api::kind::{ResourceInfo, Subresource, Verb, join_api_version};
use crate::api::schema::openapi::{Dialect, Printer};
use crate::api::{Text, Value};
use crate::{array, object};

use super::ApiServer;

/// Custom resources take all but the last: clients look here before they choose.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
    "application/strategic-merge-patch+json",
];
const ANSWERS: [&str; 2] = ["application/json", "application/yaml"];

/// One operation on one path.
struct Operation<'a> {
    method: &'static str,
    verb: Verb,
    /// What is sent and received: apiVersion, kind, its definition's name.
    kind: (&'a str, &'a str, Text),
    id: String,
    answer: Text,
    is_custom: bool,
}

/// `appsV1` -> `AppsV1`.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or(String::new(), |first| std::iter::once(first.to_ascii_uppercase()).chain(letters).collect())
}

impl ApiServer {
    /// The OpenAPI document at a path, `None` where there is none.
    pub(super) fn openapi(&self, path: &str) -> Option<Value> {
        if path == "/openapi/v2" {
            return Some(self.openapi_v2());
        }
        let rest = path.strip_prefix("/openapi/v3")?.trim_matches('/');
        if rest.is_empty() {
            return Some(self.openapi_v3_index());
        }
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            ["api", version] => self.openapi_v3("", version),
            ["apis", group, version] => self.openapi_v3(group, version),
            _ => None,
        }
    }

    fn group_versions(&self) -> Vec<(Text, Text)> {
        self.catalog.registry.group_versions()
    }

    fn openapi_v2(&self) -> Value {
        let mut printer = Printer::new(Dialect::V2);
        let mut paths = Value::object();
        for (group, version) in self.group_versions() {
            self.print(&group, &version, Dialect::V2, &mut printer, &mut paths);
        }
        object! {
            "swagger" => "2.0",
            "info" => object! { "title" => "Kubernetes", "version" => "v1.36.2" },
            "paths" => paths,
            "definitions" => printer.finish(),
        }
    }

    fn openapi_v3_index(&self) -> Value {
        let mut paths = Value::object();
        for (group, version) in self.group_versions() {
            let path =
                if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let url = format!("/openapi/v3/{path}?hash={:016X}", self.openapi_hash(&group, &version));
            paths.make_object().insert(Text::from(path), object! { "serverRelativeURL" => url });
        }
        object! { "paths" => paths }
    }

    /// A number that changes with the document of a group's version: custom definitions change, built-in ones do not.
    fn openapi_hash(&self, group: &str, version: &str) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |text: &str| {
            for byte in text.bytes().chain([0]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        add("v1.36.2");
        add(group);
        add(version);
        for definition in self.definitions(group) {
            add(definition.text("metadata.uid"));
            add(&definition.integer("metadata.generation").unwrap_or(0).to_string());
        }
        hash
    }

    /// The custom resource definitions of a group.
    fn definitions<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Value> {
        let cache = self.caches.get(self.catalog.shelves.definitions);
        let all = cache.into_iter().flat_map(|cache| cache.objects.values());
        all.filter(move |definition| definition.text("spec.group") == group)
    }

    fn openapi_v3(&self, group: &str, version: &str) -> Option<Value> {
        if !self.group_versions().iter().any(|served| served.0 == group && served.1 == version) {
            return None;
        }
        let mut printer = Printer::new(Dialect::V3);
        let mut paths = Value::object();
        self.print(group, version, Dialect::V3, &mut printer, &mut paths);
        Some(object! {
            "openapi" => "3.0.0",
            "info" => object! { "title" => "Kubernetes", "version" => "v1.36.2" },
            "paths" => paths,
            "components" => object! { "schemas" => printer.finish() },
        })
    }

    /// All paths of a group's version, and what is sent there.
    fn print(&self, group: &str, version: &str, dialect: Dialect, printer: &mut Printer, paths: &mut Value) {
        let api_version = join_api_version(group, version);
        // What is sent beside objects, whoever serves it.
        for kind in ["DeleteOptions", "Status"] {
            printer.kind("v1", kind);
        }
        for info in self.catalog.registry.resources().map(|info| &**info) {
            if info.group != group || !info.serves(version) {
                continue;
            }
            let name = match &info.definition {
                Some(kind) => {
                    let own = kind.version(version);
                    let schema = own.map_or(&Value::Null, |own| own.schema());
                    Some(printer.custom(group, version, &info.kind, schema))
                }
                None => printer.kind(&api_version, &info.kind),
            };
            let Some(name) = name else { continue };
            let list = match info.can(Verb::List) {
                true => printer.list(&name, &api_version, &info.list_kind),
                false => name.clone(),
            };
            let kind = (api_version.as_str(), info.kind.as_str(), name);
            self.resource_paths(info, version, &kind, &list, dialect, printer, paths);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a line of the directory has that many columns")]
    fn resource_paths(
        &self,
        info: &ResourceInfo,
        version: &str,
        kind: &(&str, &str, Text),
        list: &Text,
        dialect: Dialect,
        printer: &mut Printer,
        paths: &mut Value,
    ) {
        let scope = if info.namespaced { "Namespaced" } else { "" };
        let group = match info.group.split('.').next().unwrap_or("") {
            "" => "core",
            first => first,
        };
        let tag = format!("{group}_{version}");
        let prefix = format!("{}{}", capitalized(group), capitalized(version));
        let namespace = if info.namespaced { "{namespace}" } else { "" };
        let collection = info.path(version, namespace, "");
        let item = info.path(version, namespace, "{name}");
        let operation = |method, verb, action: &str, answer: &Text| Operation {
            method,
            verb,
            kind: kind.clone(),
            id: format!("{action}{prefix}{scope}{}", info.kind),
            answer: answer.clone(),
            is_custom: info.custom,
        };
        let of_collection = [
            operation("get", Verb::List, "list", list),
            operation("post", Verb::Create, "create", &kind.2),
            operation("delete", Verb::DeleteCollection, "deleteCollection", &kind.2),
        ];
        let of_item = [
            operation("get", Verb::Get, "read", &kind.2),
            operation("put", Verb::Update, "replace", &kind.2),
            operation("patch", Verb::Patch, "patch", &kind.2),
            operation("delete", Verb::Delete, "delete", &kind.2),
        ];
        let write = |path: &str, operations: &[Operation], verbs: &[Verb], paths: &mut Value| {
            let mut document = Value::object();
            for operation in operations.iter().filter(|operation| verbs.contains(&operation.verb)) {
                document.set(operation.method, operation_document(operation, &tag, dialect));
            }
            if document.as_object().is_some_and(|map| map.iter().next().is_some()) {
                document.set("parameters", path_parameters(path, dialect));
                paths.make_object().insert(Text::from(path), document);
            }
        };
        write(&collection, &of_collection, &info.verbs, paths);
        write(&item, &of_item, &info.verbs, paths);
        if info.namespaced && info.can(Verb::List) {
            let everywhere = [Operation {
                id: format!("list{prefix}{}ForAllNamespaces", info.kind),
                ..operation("get", Verb::List, "list", list)
            }];
            write(&info.path(version, "", ""), &everywhere, &info.verbs, paths);
        }
        for Subresource { name, api_version, kind: own_kind, verbs } in info.subresources_of(version) {
            let definition = match own_kind == &info.kind {
                true => kind.2.clone(),
                false => printer.kind(api_version, own_kind).unwrap_or_else(|| kind.2.clone()),
            };
            let own = |method, verb, action: &str| Operation {
                method,
                verb,
                kind: (api_version.as_str(), own_kind.as_str(), definition.clone()),
                id: format!("{action}{prefix}{scope}{}{}", info.kind, capitalized(name)),
                answer: definition.clone(),
                is_custom: info.custom,
            };
            let operations = [
                own("get", Verb::Get, "read"),
                own("post", Verb::Create, "create"),
                own("put", Verb::Update, "replace"),
                own("patch", Verb::Patch, "patch"),
            ];
            write(&format!("{item}/{name}"), &operations, verbs, paths);
        }
    }
}

fn reference(dialect: Dialect, name: &str) -> Value {
    Printer::new(dialect).reference(name)
}

fn parameter(place: &str, name: &str, kind: &str, dialect: Dialect) -> Value {
    let mut parameter = object! { "name" => name, "in" => place };
    if place == "path" {
        parameter.set("required", true);
    }
    match dialect {
        Dialect::V2 => {
            parameter.set("type", kind);
            parameter.set("uniqueItems", true);
        }
        Dialect::V3 => {
            parameter.set("schema", object! { "type" => kind, "uniqueItems" => true });
        }
    }
    parameter
}

fn path_parameters(path: &str, dialect: Dialect) -> Value {
    let mut parameters = Vec::new();
    for name in ["name", "namespace"] {
        if path.contains(&format!("{{{name}}}")) {
            parameters.push(parameter("path", name, "string", dialect));
        }
    }
    parameters.push(parameter("query", "pretty", "string", dialect));
    Value::array(parameters)
}

/// What stands behind the question mark, by verb.
fn query_parameters(verb: Verb) -> &'static [(&'static str, &'static str)] {
    const LIST: &[(&str, &str)] = &[
        ("allowWatchBookmarks", "boolean"),
        ("continue", "string"),
        ("fieldSelector", "string"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    ];
    const DELETE: &[(&str, &str)] = &[
        ("dryRun", "string"),
        ("gracePeriodSeconds", "integer"),
        ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
    ];
    const WRITE: &[(&str, &str)] = &[
        ("dryRun", "string"),
        ("fieldManager", "string"),
        ("fieldValidation", "string"),
        ("force", "boolean"),
    ];
    match verb {
        Verb::List | Verb::Watch => LIST,
        Verb::Delete | Verb::DeleteCollection => DELETE,
        Verb::Patch => WRITE,
        Verb::Create | Verb::Update => &WRITE[..3],
        Verb::Get => &[],
    }
}

fn operation_document(operation: &Operation, tag: &str, dialect: Dialect) -> Value {
    let (api_version, kind, definition) = &operation.kind;
    let (group, version) = crate::api::meta::split_api_version(api_version);
    let mut parameters: Vec<Value> = query_parameters(operation.verb)
        .iter()
        .map(|(name, kind)| parameter("query", name, kind, dialect))
        .collect();
    let is_patch = operation.verb == Verb::Patch;
    let body = match operation.verb {
        Verb::Get | Verb::List | Verb::Watch => None,
        Verb::Patch => Some(object! { "type" => "object" }),
        Verb::Delete | Verb::DeleteCollection => {
            Some(reference(dialect, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"))
        }
        Verb::Create | Verb::Update => Some(reference(dialect, definition)),
    };
    let is_required = matches!(operation.verb, Verb::Create | Verb::Update | Verb::Patch);
    let takes: &[&str] = match (is_patch, operation.is_custom) {
        (false, _) => &["*/*"],
        (true, true) => &PATCHES[..3],
        (true, false) => &PATCHES,
    };
    let content = |media: &[&str], schema: &Value| {
        let mut content = Value::object();
        for media in media {
            content.make_object().insert(Text::from(*media), object! { "schema" => schema });
        }
        content
    };
    let answer = match operation.verb {
        Verb::Delete | Verb::DeleteCollection => {
            reference(dialect, "io.k8s.apimachinery.pkg.apis.meta.v1.Status")
        }
        _ => reference(dialect, &operation.answer),
    };
    let action = match operation.verb {
        Verb::Create => "post",
        Verb::Update => "put",
        verb => verb.as_str(),
    };
    let mut document = object! {
        "operationId" => operation.id.as_str(),
        "tags" => array![tag],
        "x-kubernetes-action" => action,
        "x-kubernetes-group-version-kind" =>
            object! { "group" => group, "kind" => *kind, "version" => version },
    };
    let texts = |texts: &[&str]| Value::array(texts.iter().map(|text| Value::from(*text)));
    match dialect {
        Dialect::V2 => {
            if let Some(schema) = body {
                let mut body = object! { "in" => "body", "name" => "body", "schema" => schema };
                if is_required {
                    body.set("required", true);
                }
                parameters.insert(0, body);
            }
            document.set("consumes", texts(takes));
            document.set("produces", texts(&ANSWERS));
            document.set("schemes", array!["http"]);
            let ok = object! { "description" => "OK", "schema" => answer };
            document.set("responses", object! { "200" => ok });
        }
        Dialect::V3 => {
            if let Some(schema) = body {
                let mut body = object! { "content" => content(takes, &schema) };
                if is_required {
                    body.set("required", true);
                }
                document.set("requestBody", body);
            }
            let ok = object! { "description" => "OK", "content" => content(&ANSWERS, &answer) };
            document.set("responses", object! { "200" => ok });
        }
    }
    if !parameters.is_empty() {
        document.set("parameters", parameters);
    }
    document
}
