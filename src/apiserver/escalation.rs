//! Nobody hands out rights that he does not have.
//!
//! Picture to hold in mind: a locksmith who copies only keys that the customer carries himself, unless the customer is the
//! master of the house.
//!
//! Follows `pkg/registry/rbac` (`{role,clusterrole,rolebinding,clusterrolebinding}/policybased`, `escalation_check.go`,
//! `validation/rule.go`) and `k8s.io/component-helpers/auth/rbac/validation`.

use crate::api::kind::ResourceInfo;
use crate::api::status::Status;
use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::{array, object};

use super::ApiServer;
use super::access::Question;
use super::exchange::Exchange;
use super::rbac::{GROUP, Verdict};

impl ApiServer {
    /// Whether whoever asks may write this role or binding; `old`: what it was before.
    pub(super) fn keep_from_escalating(
        &self,
        exchange: &Exchange,
        info: &ResourceInfo,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let fields: &[&str] = match info.plural.as_str() {
            _ if info.group != GROUP => return Ok(()),
            "roles" | "clusterroles" => &["rules", "aggregationRule"],
            _ => &["roleRef", "subjects"],
        };
        if old.is_some_and(|old| fields.iter().all(|field| old.at(field) == object.at(field))) {
            return Ok(());
        }
        let is_role = fields[0] == "rules";
        let role_kind = object.text("roleRef.kind");
        let (verb, resource, name) = match is_role {
            true => ("escalate", info.plural.as_str(), meta::name(object)),
            false => {
                let plural = if role_kind == "ClusterRole" { "clusterroles" } else { "roles" };
                ("bind", plural, object.text("roleRef.name"))
            }
        };
        let question = Question {
            namespace: meta::namespace(object),
            name,
            ..Question::about(&exchange.user, verb, GROUP, resource)
        };
        if let Verdict::Allowed { .. } = self.judge(&question) {
            return Ok(());
        }
        let mut granted = match is_role {
            true => object.items("rules").to_vec(),
            false => self
                .referred(role_kind, meta::namespace(object), name)
                .ok_or_else(|| {
                    Status::not_found(&crate::api::kind::GroupResource::new(GROUP, resource), name)
                })?
                .items("rules")
                .to_vec(),
        };
        // What it will gather nobody knows yet: it may be everything.
        if object.has("aggregationRule") {
            granted.push(
                object! { "verbs" => array!["*"], "apiGroups" => array!["*"], "resources" => array!["*"] },
            );
            granted.push(object! { "verbs" => array!["*"], "nonResourceURLs" => array!["*"] });
        }
        let keyring = self.keyring(&exchange.user);
        let held: Vec<&Value> = keyring.rules(question.namespace).collect();
        let mut missing: Vec<Value> = granted.iter().flat_map(single).collect();
        missing.retain(|one| !held.iter().any(|own| covers(own, one)));
        if missing.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> = compact(missing).iter().map(words).collect();
        lines.arrange();
        lines.dedup();
        let user = &exchange.user;
        let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
        let message = format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            groups.join(" "),
            lines.join("\n")
        );
        Err(Status::forbidden(&info.group_resource(), meta::name(object), message))
    }
}

const LISTS: [&str; 5] = ["apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs"];

/// `BreakdownRule`: one rule for each single right in it.
fn single(rule: &Value) -> Vec<Value> {
    let mut rights = vec![Value::object()];
    let is_path = !rule.items("nonResourceURLs").is_empty();
    for list in LISTS {
        let is_its = match list {
            "apiGroups" | "resources" | "resourceNames" => !is_path,
            "nonResourceURLs" => is_path,
            _ => true,
        };
        let items = rule.items(list);
        if !is_its || (items.is_empty() && list == "resourceNames") {
            continue;
        }
        rights = rights
            .iter()
            .flat_map(|right| items.iter().map(|item| right.clone().with(list, array![item])))
            .collect();
    }
    rights
}

/// `ruleCovers`, of a single right.
fn covers(own: &Value, right: &Value) -> bool {
    let asked = |list: &str| right.items(list).first().and_then(Value::as_str);
    let has = |list: &str, wanted: &str| own.items(list).iter().any(|one| one.as_str() == Some(wanted));
    let matches = |list: &str| asked(list).is_none_or(|wanted| has(list, "*") || has(list, wanted));
    let resource = asked("resources").is_none_or(|wanted| {
        let of_all = wanted.split_once('/').is_some_and(|(_, sub)| has("resources", &format!("*/{sub}")));
        matches("resources") || of_all
    });
    let path = asked("nonResourceURLs").is_none_or(|wanted| {
        let urls = own.items("nonResourceURLs").iter().filter_map(Value::as_str);
        urls.into_iter()
            .any(|url| url == wanted || url.strip_suffix('*').is_some_and(|start| wanted.starts_with(start)))
    });
    let is_named = match asked("resourceNames") {
        _ if own.items("resourceNames").is_empty() => true,
        Some(name) => has("resourceNames", name),
        None => false,
    };
    matches("verbs") && matches("apiGroups") && resource && path && is_named
}

/// `CompactRules`: rights to the same resource in one rule.
fn compact(rights: Vec<Value>) -> Vec<Value> {
    let mut rules: Vec<Value> = Vec::new();
    for right in rights {
        let is_simple = right.has("resources") && !right.has("resourceNames");
        let same = |rule: &&mut Value| {
            is_simple
                && !rule.has("resourceNames")
                && ["apiGroups", "resources"].iter().all(|list| rule.at(list) == right.at(list))
        };
        match rules.iter_mut().find(same) {
            Some(rule) => {
                for verb in right.items("verbs") {
                    if !rule.items("verbs").contains(verb) {
                        rule.at_mut("verbs").make_array().push(verb.clone());
                    }
                }
            }
            None => rules.push(right),
        }
    }
    rules
}

/// `CompactString`: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
pub(super) fn words(rule: &Value) -> String {
    let titles = ["APIGroups", "Resources", "NonResourceURLs", "ResourceNames", "Verbs"];
    let parts = LISTS.iter().zip(titles).filter(|(list, _)| !rule.items(list).is_empty());
    let parts = parts.map(|(list, title)| {
        let items: Vec<String> =
            rule.items(list).iter().filter_map(Value::as_str).map(|item| format!("{item:?}")).collect();
        format!("{title}:[{}]", items.join(" "))
    });
    format!("{{{}}}", parts.collect::<Vec<String>>().join(", "))
}
