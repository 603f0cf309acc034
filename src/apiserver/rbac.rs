//! Role-based access control: what the bindings of a user allow.
//!
//! Picture to hold in mind: a ring of keys. Every binding that names you, or a group that you are in, is a key ring; the
//! role on it says which doors its keys open. Keys only ever open: nothing locks you out.
//!
//! Follows `plugin/pkg/auth/authorizer/rbac` and `pkg/registry/rbac/validation/rule.go`.

use crate::api::{Value, meta};

use super::ApiServer;
use super::access::Question;
use super::catalog::below;

pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// What the rules say: what allowed it, or what was wrong with bindings that might have.
pub(super) enum Verdict {
    Allowed { reason: String },
    NoOpinion { errors: Vec<String> },
}

/// Is shown a rule, or what is wrong with a binding, and who can say where it comes from.
type Visitor<'a> = dyn FnMut(Result<&Value, String>, &dyn Fn() -> String) + 'a;

fn has(list: &[Value], wanted: &str) -> bool {
    list.iter().filter_map(Value::as_str).any(|one| one == "*" || one == wanted)
}

/// `RuleAllows`.
fn allows(rule: &Value, question: &Question) -> bool {
    if !has(rule.items("verbs"), question.verb) {
        return false;
    }
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
fn names(subject: &Value, question: &Question, namespace: &str) -> bool {
    let (user, name) = (question.user, subject.text("name"));
    match subject.text("kind") {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let own = match subject.text("namespace") {
                "" => namespace,
                namespace => namespace,
            };
            let account = user.name.strip_prefix("system:serviceaccount:");
            !own.is_empty() && account.and_then(|rest| rest.split_once(':')) == Some((own, name))
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
    pub(super) fn ask_roles(&self, question: &Question) -> Verdict {
        let mut errors = Vec::new();
        let mut reason = None;
        self.visit_rules(question, &mut |rule, source| match rule {
            Ok(rule) if reason.is_none() && allows(rule, question) => {
                reason = Some(format!("RBAC: allowed by {}", source()));
            }
            Ok(_) => {}
            Err(error) => errors.push(error),
        });
        match reason {
            Some(reason) => Verdict::Allowed { reason },
            None => Verdict::NoOpinion { errors },
        }
    }

    /// The rules that the user has in a namespace, those about resources and those about paths.
    pub(super) fn rules_of(&self, question: &Question) -> (Vec<Value>, Vec<Value>) {
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        self.visit_rules(question, &mut |rule, _| {
            let Ok(rule) = rule else { return };
            let list = if rule.items("resources").is_empty() { &mut paths } else { &mut resources };
            list.push(rule.clone());
        });
        (resources, paths)
    }

    /// `VisitRulesFor`: those of the cluster first, then the namespace's.
    fn visit_rules(&self, question: &Question, visit: &mut Visitor) {
        let places = [("clusterrolebindings", ""), ("rolebindings", question.namespace)];
        for (plural, namespace) in places {
            if plural == "rolebindings" && namespace.is_empty() {
                continue;
            }
            for binding in self.objects_of(plural, namespace) {
                let mut subjects = binding.items("subjects").iter();
                let Some(subject) = subjects.find(|subject| names(subject, question, namespace)) else {
                    continue;
                };
                let (kind, role) = (binding.text("roleRef.kind"), binding.text("roleRef.name"));
                let source = || {
                    let name = meta::name(binding);
                    let (what, name) = match namespace {
                        "" => ("ClusterRoleBinding", name.to_string()),
                        namespace => ("RoleBinding", format!("{name}/{namespace}")),
                    };
                    format!("{what} {name:?} of {kind} {role:?} to {}", describe(subject, namespace))
                };
                let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
                match self.referred(plural, namespace, role) {
                    Some(found) => found.items("rules").iter().for_each(|rule| visit(Ok(rule), &source)),
                    None => {
                        let kind = kind.to_ascii_lowercase();
                        visit(Err(format!("{kind}.{GROUP} {role:?} not found")), &source);
                    }
                }
            }
        }
    }

    fn objects_of<'a>(&'a self, plural: &str, namespace: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let cache = self.catalog.find(GROUP, plural).and_then(|route| self.caches.get(route.cache?));
        let objects = cache.map(|cache| cache.list(namespace)).into_iter().flatten();
        objects.map(|(_, object)| object)
    }
    /// The role that a binding in `namespace` refers to.
    pub(super) fn referred(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        let route = self.catalog.find(GROUP, plural)?;
        self.shelf(route.cache?, &below(&route.info, namespace, name))
    }
}
