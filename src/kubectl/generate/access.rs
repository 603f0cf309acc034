//! Roles and their bindings.
//!
//! Picture to hold in mind: see [`super`]. Follows `create_role.go`, `create_clusterrole.go`, `create_rolebinding.go`.

use crate::api::Value;
use crate::{array, object};

use super::super::failure::{Failure, Outcome, Stop, fail};
use super::super::session::Session;

const GROUP: &str = "rbac.authorization.k8s.io";

fn texts(list: Vec<String>) -> Value {
    Value::array(list.into_iter().map(Value::from))
}

/// Verbs of resources, and of paths.
const VERBS: [&str; 14] = [
    "*",
    "get",
    "delete",
    "list",
    "create",
    "update",
    "patch",
    "watch",
    "proxy",
    "deletecollection",
    "use",
    "bind",
    "escalate",
    "impersonate",
];
const PATH_VERBS: [&str; 8] = ["*", "get", "post", "put", "delete", "patch", "head", "options"];
/// Verbs that are for certain resources only, be they served or not.
const SPECIAL: [(&str, &[&str]); 4] = [
    ("use", &["podsecuritypolicies.policy", "podsecuritypolicies.extensions"]),
    ("bind", &["roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io"]),
    ("escalate", &["roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io"]),
    ("impersonate", &["users.", "serviceaccounts.", "groups.", "userextras.authentication.k8s.io"]),
];

fn rules(session: &mut Session, is_cluster: bool) -> Outcome<Vec<Value>> {
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
    let (resources, urls) = (flags.list("resource"), flags.list("non-resource-url"));
    if verbs.is_empty() {
        return fail("at least one verb must be specified");
    }
    if resources.is_empty() && urls.is_empty() {
        return fail(match is_cluster {
            true => "one of resource or nonResourceURL must be specified",
            false => "at least one resource must be specified",
        });
    }
    for verb in verbs.iter().filter(|verb| !resources.is_empty() && !VERBS.contains(&verb.as_str())) {
        session.eprintln(["Warning: '", verb, "' is not a standard resource verb"].concat());
    }
    let mut groups: crate::sorted::SortedMap<String, Vec<String>> = Default::default();
    for typed in &resources {
        let (typed, subresource) = typed.split_once('/').unwrap_or((typed, ""));
        let (group, mut name) = if typed == "*" {
            (String::new(), "*".to_string())
        } else {
            let (given, given_group) = typed.split_once('.').unwrap_or((typed, ""));
            if given.is_empty() {
                return fail("resource must be specified if apiGroup/subresource specified");
            }
            let (group, name, mut trouble) = match session.resource(typed) {
                Ok(mapping) => (mapping.info.group.to_string(), mapping.info.plural.to_string(), None),
                Err(Stop::Failure(failure)) => (given_group.to_string(), given.to_string(), Some(failure)),
                Err(halt) => return Err(halt),
            };
            for (verb, known) in SPECIAL.iter().filter(|(verb, _)| verbs.iter().any(|own| own == verb)) {
                if !known.contains(&[&name, ".", &group].concat().as_str()) {
                    return fail(format!("can not perform '{verb}' on '{name}' in group '{group}'"));
                }
                trouble = None;
            }
            if let Some(failure) = trouble {
                // The mapper's own error, which goes out as it is.
                return Err(match failure {
                    Failure::Message(text) => Failure::Exact(text).into(),
                    other => other.into(),
                });
            }
            (group, name)
        };
        if !subresource.is_empty() {
            name = [&name, "/", subresource].concat();
        }
        let names = groups.entry(group).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if let Some(verb) = verbs.iter().find(|verb| !urls.is_empty() && !PATH_VERBS.contains(&verb.as_str())) {
        return fail(["invalid verb: '", verb, "' for nonResourceURL"].concat());
    }
    for url in urls.iter().filter(|url| *url != "*") {
        if !url.starts_with('/') {
            return fail("nonResourceURL should start with /");
        }
        if url.find('*').is_some_and(|star| star + 1 < url.len()) {
            return fail("nonResourceURL only supports wildcard matches when '*' is at the end");
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
    if !urls.is_empty() {
        rules.push(object! { "nonResourceURLs" => texts(urls), "verbs" => texts(verbs) });
    }
    Ok(rules)
}

pub fn role(session: &mut Session, name: &str) -> Outcome<Value> {
    let rules = rules(session, false)?;
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
        let rules = rules(session, true)?;
        role.set("rules", rules);
    } else {
        let others = ["non-resource-url", "verb", "resource", "resource-name"];
        if others.iter().any(|name| !session.flags.list(name).is_empty()) {
            return fail(
                "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames",
            );
        }
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
