//! Role-based access control: what the bindings of a user allow.
//!
//! Picture to hold in mind: a ring of keys. Every binding that names you, or a group that you are in, is a key ring; the
//! role on it says which doors its keys open. Keys only ever open: nothing locks you out.
//!
//! Follows `plugin/pkg/auth/authorizer/rbac` and `pkg/registry/rbac/validation/rule.go`.

use std::sync::{Arc, OnceLock};

use crate::api::{Text, Value, meta};
use crate::message::rest::User;
use crate::shared_map::SharedMap;

use super::ApiServer;
use super::access::{Question, account};
use super::escalation::words as words_of;

pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// What the authorizers say: what allowed it, or what was said against it by those that did not.
pub(super) enum Verdict {
    /// `rule`: the reason with the very rule, for who wants to see it.
    Allowed {
        reason: Text,
        rule: Text,
    },
    NoOpinion {
        reason: String,
    },
}

/// All that one user may do, from every binding that names him or a group that he is in: found once, and kept until a
/// role or a binding changes.
pub(super) struct Keyring {
    groups: Vec<Text>,
    /// Those for the whole cluster first.
    keys: Vec<Key>,
}

/// What one binding gives.
struct Key {
    /// Empty: everywhere.
    namespace: Text,
    /// `ClusterRoleBinding "a" of ClusterRole "b" to User "c"`, as a reason.
    reason: Text,
    /// Or what is wrong with the binding.
    rules: Result<Rules, String>,
}

/// A rule with its verbs: they tell at a glance that it is not the one.
pub(super) struct Rule {
    bits: u16,
    rule: Value,
    /// What is told when it has allowed something; most never do.
    told: OnceLock<Text>,
}
pub(super) type Rules = Vec<Rule>;

/// The rules of a role.
pub(super) fn rules_of(role: &Value) -> Rules {
    let rules = role.items("rules").iter();
    rules.map(|rule| Rule { bits: bits(rule), rule: rule.clone(), told: OnceLock::new() }).collect()
}

/// One of them that allows it.
pub(super) fn permit<'a>(rules: &'a Rules, question: &Question) -> Option<&'a Rule> {
    let bit = bit(question.verb);
    let fits = |rule: &&Rule| {
        rule.bits & bit != 0
            && (bit != UNUSUAL || has(rule.rule.items("verbs"), question.verb))
            && allows(&rule.rule, question)
    };
    rules.iter().find(fits)
}

/// So many users are remembered: more than a cluster's components and people.
const REMEMBERED: usize = 200;

const USUAL: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const UNUSUAL: u16 = 1 << USUAL.len();

/// A verb as one bit; all that are not usual share one.
fn bit(verb: &str) -> u16 {
    USUAL.iter().position(|usual| *usual == verb).map_or(UNUSUAL, |place| 1 << place)
}

fn bits(rule: &Value) -> u16 {
    let verbs = rule.items("verbs").iter().filter_map(Value::as_str);
    verbs.fold(0, |bits, verb| bits | if verb == "*" { u16::MAX } else { bit(verb) })
}

impl Keyring {
    /// Whether a key opens it; `words` is what was said against it before.
    pub(super) fn ask(&self, question: &Question, words: String) -> Verdict {
        let mut reason = words;
        let mut errors = Vec::new();
        for key in self.keys_for(question.namespace) {
            match &key.rules {
                Ok(rules) => {
                    if let Some(rule) = permit(rules, question) {
                        let told = || Text::from([&key.reason, " (", &words_of(&rule.rule), ")"].concat());
                        return Verdict::Allowed {
                            reason: key.reason.clone(),
                            rule: rule.told.get_or_init(told).clone(),
                        };
                    }
                }
                Err(error) => errors.push(error.as_str()),
            }
        }
        if !errors.is_empty() {
            if !reason.is_empty() {
                reason.push('\n');
            }
            reason.push_str("RBAC: ");
            match errors[..] {
                [error] => reason.push_str(error),
                _ => reason.push_str(&["[", &errors.join(", "), "]"].concat()),
            }
        }
        Verdict::NoOpinion { reason }
    }
    /// The rules in a namespace.
    pub(super) fn rules(&self, namespace: &str) -> impl Iterator<Item = &Value> {
        let rules = self.keys_for(namespace).filter_map(|key| key.rules.as_ref().ok());
        rules.flatten().map(|rule| &rule.rule)
    }
    fn keys_for(&self, namespace: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.namespace.is_empty() || key.namespace == namespace)
    }
}

fn has(list: &[Value], wanted: &str) -> bool {
    list.iter().filter_map(Value::as_str).any(|one| one == "*" || one == wanted)
}

/// `RuleAllows`, of a rule with the verb.
fn allows(rule: &Value, question: &Question) -> bool {
    if !question.path.is_empty() {
        let fits = |url: &str| match url.strip_suffix('*') {
            Some(start) => question.path.starts_with(start),
            None => url == question.path,
        };
        return rule.items("nonResourceURLs").iter().filter_map(Value::as_str).any(fits);
    }
    let fits = |resource: &str| match (resource, question.subresource) {
        ("*", _) => true,
        (resource, "") => resource == question.resource,
        // `*/scale`: that subresource of everything.
        (resource, subresource) => resource
            .split_once('/')
            .is_some_and(|(own, sub)| sub == subresource && (own == "*" || own == question.resource)),
    };
    let names = rule.items("resourceNames");
    has(rule.items("apiGroups"), question.group)
        && rule.items("resources").iter().filter_map(Value::as_str).any(fits)
        && (names.is_empty() || names.iter().any(|name| name.as_str() == Some(question.name)))
}

/// Whether a binding in `namespace` (empty: of the cluster) names the user.
fn names(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = subject.text("name");
    match subject.text("kind") {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let own = match subject.text("namespace") {
                "" => namespace,
                namespace => namespace,
            };
            !own.is_empty() && account(&user.name) == Some((own, name))
        }
        _ => false,
    }
}

/// `describeSubject`.
fn describe(subject: &Value, namespace: &str) -> String {
    let (kind, name) = (subject.text("kind"), subject.text("name"));
    match (kind, subject.text("namespace")) {
        ("ServiceAccount", "") => format!("{kind} {:?}", format!("{name}/{namespace}")),
        ("ServiceAccount", own) => format!("{kind} {:?}", format!("{name}/{own}")),
        _ => format!("{kind} {name:?}"),
    }
}

impl ApiServer {
    /// The user's keyring: the remembered one, or a new one.
    pub(super) fn keyring(&self, user: &User) -> Arc<Keyring> {
        match self.remembered(user) {
            Some(keyring) => Arc::clone(keyring),
            None => Arc::new(Keyring { groups: user.groups.clone(), keys: self.keys_of(user) }),
        }
    }
    fn remembered(&self, user: &User) -> Option<&Arc<Keyring>> {
        self.keyrings.get(user.name.as_str()).filter(|keyring| keyring.groups == user.groups)
    }
    /// The same; from now on it is at hand.
    pub(super) fn remember_keyring(&mut self, user: &User) -> Arc<Keyring> {
        if let Some(keyring) = self.remembered(user) {
            return Arc::clone(keyring);
        }
        let keyring = self.keyring(user);
        if self.keyrings.len() >= REMEMBERED {
            self.keyrings = SharedMap::new();
        }
        self.keyrings.insert(user.name.clone(), Arc::clone(&keyring));
        keyring
    }
    /// A cache has changed: if it holds roles or bindings, nobody's keyring is known any more.
    pub(super) fn forget_keyrings(&mut self, cache: usize) {
        let shelves = &self.catalog.shelves;
        let is_ours =
            [shelves.cluster_role_bindings, shelves.cluster_roles, shelves.role_bindings, shelves.roles]
                .contains(&cache);
        if is_ours && !self.keyrings.is_empty() {
            self.keyrings = SharedMap::new();
        }
    }

    /// `VisitRulesFor`: those of the cluster first, then the namespaces'.
    fn keys_of(&self, user: &User) -> Vec<Key> {
        let shelves = &self.catalog.shelves;
        let mut keys = Vec::new();
        for shelf in [shelves.cluster_role_bindings, shelves.role_bindings] {
            for binding in self.caches.get(shelf).into_iter().flat_map(|cache| cache.objects.values()) {
                let namespace = meta::namespace(binding);
                let mut subjects = binding.items("subjects").iter();
                let Some(subject) = subjects.find(|subject| names(subject, user, namespace)) else {
                    continue;
                };
                let (kind, role) = (binding.text("roleRef.kind"), binding.text("roleRef.name"));
                let name = meta::name(binding);
                let (what, name) = match namespace {
                    "" => ("ClusterRoleBinding", name.to_string()),
                    namespace => ("RoleBinding", format!("{name}/{namespace}")),
                };
                let subject = describe(subject, namespace);
                let reason =
                    arcstr::format!("RBAC: allowed by {what} {name:?} of {kind} {role:?} to {subject}");
                let rules = match self.referred(kind, namespace, role) {
                    Some(found) => Ok(rules_of(found)),
                    None => Err(format!("{}.{GROUP} {role:?} not found", kind.to_ascii_lowercase())),
                };
                keys.push(Key { namespace: namespace.into(), reason, rules });
            }
        }
        keys
    }

    /// The role that a binding in `namespace` refers to.
    pub(super) fn referred(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        let shelves = &self.catalog.shelves;
        if kind == "ClusterRole" {
            return self.shelf(shelves.cluster_roles, name);
        }
        self.shelf(shelves.roles, &[namespace, "/", name].concat())
    }
}
