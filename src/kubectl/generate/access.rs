//! Roles and their bindings.
//!
//! Picture to hold in mind: see [`super`]. Follows `create_role.go`, `create_clusterrole.go`, `create_rolebinding.go`.

use crate::api::Value;
use crate::{array, object};

use super::super::failure::{Outcome, fail};
use super::super::session::Session;

const GROUP: &str = "rbac.authorization.k8s.io";

fn texts(list: Vec<String>) -> Value {
    Value::array(list.into_iter().map(Value::from))
}

fn rules(session: &mut Session) -> Outcome<Vec<Value>> {
    let flags = session.flags.clone();
    let mut verbs: Vec<String> = Vec::new();
    for verb in flags.list("verb") {
        if verb == "*" {
            verbs = vec!["*".into()];
            break;
        }
        if !verbs.contains(&verb) {
            verbs.push(verb);
        }
    }
    if verbs.is_empty() {
        return fail("at least one verb must be specified");
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for typed in flags.list("resource") {
        let (typed, subresource) = match typed.split_once('/') {
            Some((typed, subresource)) => (typed.to_string(), Some(subresource.to_string())),
            None => (typed, None),
        };
        let (group, mut name) = if typed == "*" {
            (String::new(), "*".to_string())
        } else {
            let mapping = session.resource(&typed)?;
            (mapping.info.group.to_string(), mapping.info.plural.to_string())
        };
        if let Some(subresource) = subresource {
            name = format!("{name}/{subresource}");
        }
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => groups.push((group, vec![name])),
        }
    }
    let names = flags.list("resource-name");
    let mut rules: Vec<Value> = groups
        .into_iter()
        .map(|(group, resources)| {
            let mut rule =
                object! { "apiGroups" => array![group], "resources" => texts(resources), "verbs" => texts(verbs.clone()) };
            if !names.is_empty() {
                rule.set("resourceNames", texts(names.clone()));
            }
            rule
        })
        .collect();
    let urls = flags.list("non-resource-url");
    if !urls.is_empty() {
        rules.push(object! { "nonResourceURLs" => texts(urls), "verbs" => texts(verbs) });
    }
    if rules.is_empty() {
        return fail("at least one resource must be specified");
    }
    Ok(rules)
}

pub fn role(session: &mut Session, name: &str) -> Outcome<Value> {
    let rules = rules(session)?;
    Ok(object! {
        "apiVersion" => format!("{GROUP}/v1"), "kind" => "Role", "metadata" => object! { "name" => name }, "rules" => rules,
    })
}

pub fn cluster_role(session: &mut Session, name: &str) -> Outcome<Value> {
    let selectors = session.flags.list("aggregation-rule");
    let mut role = object! {
        "apiVersion" => format!("{GROUP}/v1"), "kind" => "ClusterRole", "metadata" => object! { "name" => name },
        "rules" => Value::Null,
    };
    if selectors.is_empty() {
        let rules = rules(session)?;
        role.set("rules", rules);
    } else {
        let mut labels = Value::object();
        for selector in selectors {
            let (key, value) = selector.split_once('=').unwrap_or((&selector, ""));
            labels.make_object().insert(key, value);
        }
        role.set("aggregationRule.clusterRoleSelectors", array![object! { "matchLabels" => labels }]);
    }
    Ok(role)
}

fn subjects(session: &Session) -> Outcome<Vec<Value>> {
    let mut subjects = Vec::new();
    for user in session.flags.list("user") {
        subjects.push(object! { "apiGroup" => GROUP, "kind" => "User", "name" => user });
    }
    for group in session.flags.list("group") {
        subjects.push(object! { "apiGroup" => GROUP, "kind" => "Group", "name" => group });
    }
    for account in session.flags.list("serviceaccount") {
        let Some((namespace, name)) = account.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty())
        else {
            return fail("serviceaccount must be <namespace>:<name>");
        };
        subjects.push(object! { "kind" => "ServiceAccount", "name" => name, "namespace" => namespace });
    }
    Ok(subjects)
}

fn binding(session: &Session, name: &str, kind: &str, role_kind: &str, role: &str) -> Outcome<Value> {
    let mut binding = object! {
        "apiVersion" => format!("{GROUP}/v1"), "kind" => kind, "metadata" => object! { "name" => name },
        "roleRef" => object! { "apiGroup" => GROUP, "kind" => role_kind, "name" => role },
    };
    let subjects = subjects(session)?;
    if !subjects.is_empty() {
        binding.set("subjects", subjects);
    }
    Ok(binding)
}

pub fn role_binding(session: &mut Session, name: &str) -> Outcome<Value> {
    let (role, cluster_role) =
        (session.flags.text("role").to_string(), session.flags.text("clusterrole").to_string());
    if role.is_empty() == cluster_role.is_empty() {
        return fail("exactly one of clusterrole or role must be specified");
    }
    match role.is_empty() {
        true => binding(session, name, "RoleBinding", "ClusterRole", &cluster_role),
        false => binding(session, name, "RoleBinding", "Role", &role),
    }
}

pub fn cluster_role_binding(session: &mut Session, name: &str) -> Outcome<Value> {
    let role = session.flags.text("clusterrole").to_string();
    binding(session, name, "ClusterRoleBinding", "ClusterRole", &role)
}
