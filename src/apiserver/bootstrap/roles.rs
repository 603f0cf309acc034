//! The roles of upstream's bootstrap policy, and who is given them.
//!
//! Picture to hold in mind: the rules of the house that hang in the hall before the first tenant moves in.
//!
//! Follows `PostStartHook` of `pkg/registry/rbac/rest/storage_rbac.go` and
//! `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, whose policy is the data in `roles.txt`. There each role is a line,
//! with its namespace if it has one. The lines below it are indented: `label` and `gathers` (aggregation), `to` whom its
//! binding of the same name gives it (`as`: a binding of another name), and its rules: verbs, groups, resources and names
//! of objects, or verbs and paths. Roles of controllers are given to their service accounts in kube-system.

use std::sync::{Arc, LazyLock};

use crate::api::{Value, meta};
use crate::apiserver::rbac::{GROUP, Rules, rules_of};
use crate::{array, object};

use super::{Thing, thing};

const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const CONTROLLER: &str = "system:controller:";

/// Roles, then bindings; those of the cluster, then those of namespaces. Read once: the caretaker goes round every ten
/// seconds.
pub(super) static ROLES: LazyLock<Vec<Arc<Thing>>> = LazyLock::new(|| read(include_str!("roles.txt")));

/// What any node may do where the Node authorizer does not look at the object (`bootstrappolicy.NodeRules`).
pub(in crate::apiserver) static NODE_RULES: LazyLock<Rules> = LazyLock::new(|| {
    let node = ROLES.iter().find(|thing| meta::name(&thing.object) == "system:node");
    node.map_or(Vec::new(), |role| rules_of(&role.object))
});

/// What is there already, with the rules and subjects that it lacks; `None`: it lacks none, or its owner does not want
/// it to be touched (`pkg/registry/rbac/reconciliation`).
pub(super) fn completed(old: &Value, wanted: &Thing) -> Option<Thing> {
    if meta::annotation(old, AUTOUPDATE) == Some("false") {
        return None;
    }
    let mut object = old.clone();
    let mut is_complete = true;
    for field in ["rules", "subjects"] {
        for item in wanted.object.items(field) {
            if !old.items(field).contains(item) {
                object.at_mut(field).make_array().push(item.clone());
                is_complete = false;
            }
        }
    }
    if is_complete {
        return None;
    }
    let (resource, namespace) = (wanted.resource.clone(), wanted.namespace.clone());
    Some(Thing { resource, namespace, object, is_update: true })
}

/// A role as it is read.
#[derive(Default)]
struct Role<'a> {
    namespace: &'a str,
    name: &'a str,
    labels: Value,
    gathers: Option<&'a str>,
    /// The name of its binding.
    binding: &'a str,
    is_bound: bool,
    subjects: Vec<Value>,
    rules: Vec<Value>,
}

fn read(text: &str) -> Vec<Arc<Thing>> {
    let mut roles: Vec<Role> = Vec::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            let (namespace, name) = line.split_once('/').unwrap_or(("", line));
            let mut role =
                Role { namespace, name, binding: name, labels: Value::object(), ..Role::default() };
            if let Some(account) = name.strip_prefix(CONTROLLER).filter(|_| namespace.is_empty()) {
                role.subjects.push(account_of("kube-system", account));
                role.is_bound = true;
            }
            roles.push(role);
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(role) = roles.last_mut() else { continue };
        match words[..] {
            ["label", label] => {
                role.labels.make_object().insert(aggregation(label), "true");
            }
            ["gathers", label] => role.gathers = Some(label),
            ["as", name] => role.binding = name,
            ["to", "nobody"] => role.is_bound = true,
            ["to", "ServiceAccount", name] => {
                let (namespace, name) = name.split_once('/').unwrap_or(("", name));
                role.subjects.push(account_of(namespace, name));
                role.is_bound = true;
            }
            ["to", kind, name] => {
                role.subjects.push(object! { "apiGroup" => GROUP, "kind" => kind, "name" => name });
                role.is_bound = true;
            }
            [verbs, paths] => {
                role.rules.push(object! { "nonResourceURLs" => list(paths), "verbs" => list(verbs) });
            }
            [verbs, groups, resources, ref names @ ..] => {
                let mut rule = object! {
                    "apiGroups" => list(groups), "resources" => list(resources), "verbs" => list(verbs),
                };
                if let [names] = names {
                    rule.set("resourceNames", list(names));
                }
                role.rules.push(rule);
            }
            _ => {}
        }
    }
    let kinds = [("clusterroles", "ClusterRole", ""), ("roles", "Role", "/")];
    let mut things = Vec::new();
    for (plural, kind, namespaced) in kinds {
        let these = || roles.iter().filter(|role| role.namespace.is_empty() == namespaced.is_empty());
        things.extend(these().map(|role| thing(GROUP, "v1", plural, role.namespace, role.object(kind))));
        let plural = if namespaced.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        let bound = these().filter(|role| role.is_bound);
        things.extend(bound.map(|role| thing(GROUP, "v1", plural, role.namespace, role.bound(kind))));
    }
    things
}

impl Role<'_> {
    fn named(&self, kind: &str, name: &str, mut labels: Value) -> Value {
        labels.make_object().insert("kubernetes.io/bootstrapping", "rbac-defaults");
        let mut object = object! { "kind" => kind, "metadata" => object! {
            "name" => name,
            "annotations" => object! { AUTOUPDATE => "true" },
            "labels" => labels,
        } };
        if !self.namespace.is_empty() {
            object.set("metadata.namespace", self.namespace);
        }
        object
    }
    fn object(&self, kind: &str) -> Value {
        let mut object = self.named(kind, self.name, self.labels.clone());
        if let Some(label) = self.gathers {
            let mut labels = Value::object();
            labels.make_object().insert(aggregation(label), "true");
            object.set("aggregationRule.clusterRoleSelectors", array![object! { "matchLabels" => labels }]);
        } else {
            object.set("rules", Value::array(self.rules.iter().cloned()));
        }
        object
    }
    fn bound(&self, kind: &str) -> Value {
        let mut object = self.named(&[kind, "Binding"].concat(), self.binding, Value::object());
        object.set("roleRef", object! { "apiGroup" => GROUP, "kind" => kind, "name" => self.name });
        if !self.subjects.is_empty() {
            object.set("subjects", Value::array(self.subjects.iter().cloned()));
        }
        object
    }
}

fn aggregation(label: &str) -> String {
    [GROUP, "/", label].concat()
}

fn account_of(namespace: &str, name: &str) -> Value {
    object! { "kind" => "ServiceAccount", "name" => name, "namespace" => namespace }
}

fn list(words: &str) -> Value {
    // `core` is how the group without a name is called.
    Value::array(words.split(',').map(|word| Value::from(if word == "core" { "" } else { word })))
}
