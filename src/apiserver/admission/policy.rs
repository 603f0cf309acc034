//! What both kinds of admission policies have in common: whom they are about, and what their expressions see.
//!
//! Picture to hold in mind: house rules on a board at the gate. A rule says whom it is about; a slip pinned to it says
//! where it holds, and what it is measured by. Without slips nobody looks at the board.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/policy/{generic,matching}` and `plugin/cel`. Expressions are read anew
//! for each request.

use super::{Attributes, Operation};
use crate::api::cel::{self, Budget, Cel, Evaluator};
use crate::api::field::aggregate;
use crate::api::kind::{ResourceInfo, join_api_version};
use crate::api::value::literal;
use crate::api::{LabelSelector, Text, Value, meta};
use crate::apiserver::access::Question;
use crate::apiserver::rbac::Verdict;
use crate::apiserver::{ApiServer, conversion, custom, subresource};
use crate::message::rest::User;
use crate::object;

/// A policy that is about the request, through one of its bindings, with one of its parameters.
pub(super) struct Invocation {
    pub policy: Value,
    pub binding: Value,
    /// The version in which the policy wants to see the object.
    pub version: Text,
    pub params: Value,
}

/// A policy, or a binding of it, that cannot be used as it stands.
pub(super) struct Misfit {
    pub policy: Value,
    /// `Null`: it is the policy's own fault.
    pub binding: Value,
    pub message: String,
}

/// What the policies look at, in the version that their rules name.
pub(super) struct Subject {
    pub object: Value,
    pub old: Value,
    pub request: Value,
}

pub(super) type Names = [(&'static str, Cel); 7];

/// What expressions can name.
pub(super) fn names(attributes: &Attributes, subject: &Subject, params: &Value, namespace: Value) -> Names {
    let own = cel::Check {
        group: Some(attributes.info.group.clone()),
        resource: attributes.info.plural.clone(),
        subresource: attributes.subresource.clone(),
        namespace: attributes.namespace.clone(),
        name: attributes.name.clone(),
        ..cel::Check::default()
    };
    [
        ("object", Cel::from(&subject.object)),
        ("oldObject", Cel::from(&subject.old)),
        ("request", Cel::from(&subject.request)),
        ("params", Cel::from(params)),
        ("namespaceObject", Cel::from(namespace)),
        ("authorizer", cel::authorizer(cel::Check::default())),
        ("authorizer.requestResource", cel::authorizer(own)),
    ]
}

impl ApiServer {
    /// Which policies on the shelf are about a request, in the order of their names.
    pub(super) fn invocations(
        &self,
        attributes: &Attributes,
        shelves: (usize, usize),
        object: &Value,
        old: &Value,
    ) -> (Vec<Invocation>, Vec<Misfit>) {
        let (mut found, mut misfits) = (Vec::new(), Vec::new());
        let is_used = |shelf: usize| self.caches.get(shelf).filter(|own| !own.objects.is_empty());
        let (Some(policies), Some(bindings)) = (is_used(shelves.0), is_used(shelves.1)) else {
            return (found, misfits);
        };
        // Who locks himself out must be able to take the lock off again.
        if attributes.info.group == "admissionregistration.k8s.io" {
            return (found, misfits);
        }
        for (_, policy) in policies.objects.iter() {
            let (name, spec) = (meta::name(policy), policy.at("spec"));
            let mut own =
                bindings.objects.iter().filter(|(_, own)| own.text("spec.policyName") == name).peekable();
            if own.peek().is_none() {
                continue;
            }
            let constraints = spec.at("matchConstraints");
            let Some(version) = self.matches(attributes, constraints, object, old) else { continue };
            let (api_version, kind) = (spec.text("paramKind.apiVersion"), spec.text("paramKind.kind"));
            if !kind.is_empty() && self.catalog.registry.for_api_version(api_version, kind).is_none() {
                let (group, version) = meta::split_api_version(api_version);
                let message = format!(
                    "failed to configure policy: failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind}'"
                );
                misfits.push(Misfit { policy: policy.clone(), binding: Value::Null, message });
                continue;
            }
            for (_, binding) in own {
                let resources = binding.at("spec.matchResources");
                if !resources.is_null() && self.matches(attributes, resources, object, old).is_none() {
                    continue;
                }
                match self.parameters(attributes, spec, binding.at("spec.paramRef")) {
                    Ok(all) => found.extend(all.into_iter().map(|params| Invocation {
                        policy: policy.clone(),
                        binding: binding.clone(),
                        version: version.clone(),
                        params,
                    })),
                    Err(error) => misfits.push(Misfit {
                        policy: policy.clone(),
                        binding: binding.clone(),
                        message: format!("failed to configure binding: {error}"),
                    }),
                }
            }
        }
        (found, misfits)
    }

    /// The version in which a request is one of those that `resources` is about.
    fn matches(
        &self,
        attributes: &Attributes,
        resources: &Value,
        object: &Value,
        old: &Value,
    ) -> Option<Text> {
        if !self.selects(attributes, resources, object, old) {
            return None;
        }
        let rules = resources.items("resourceRules");
        let is_exact = resources.text("matchPolicy") == "Exact";
        if matched(attributes, resources.items("excludeResourceRules"), is_exact).is_some() {
            return None;
        }
        if rules.is_empty() {
            return Some(attributes.request.resource.version.clone());
        }
        matched(attributes, rules, is_exact)
    }

    /// Whether a request is in a namespace and about an object that the selectors in `resources` want.
    pub(super) fn selects(
        &self,
        attributes: &Attributes,
        resources: &Value,
        object: &Value,
        old: &Value,
    ) -> bool {
        let selects = |name: &str, labelled: &[&Value]| {
            let selector = resources.at(name);
            selector.is_empty()
                || LabelSelector::from_value(selector)
                    .is_ok_and(|selector| labelled.iter().any(|own| selector.matches_object(own)))
        };
        let is_namespace = attributes.info.kind == "Namespace" && attributes.info.group.is_empty();
        let namespace = self.shelf(self.catalog.shelves.namespaces, &attributes.namespace);
        let labelled = match namespace {
            _ if is_namespace && !object.is_null() => Some(object),
            _ if is_namespace => Some(old),
            namespace => namespace,
        };
        let both: Vec<&Value> = [object, old].into_iter().filter(|own| !own.is_null()).collect();
        labelled.is_none_or(|labelled| selects("namespaceSelector", &[labelled]))
            && selects("objectSelector", &both)
    }

    /// What a binding hands its policy, one by one; `Null` where there is nothing to hand (`CollectParams`).
    fn parameters(
        &self,
        attributes: &Attributes,
        spec: &Value,
        reference: &Value,
    ) -> Result<Vec<Value>, String> {
        let (api_version, kind) = (spec.text("paramKind.apiVersion"), spec.text("paramKind.kind"));
        if kind.is_empty() || reference.is_null() {
            return Ok(vec![Value::Null]);
        }
        let info = self.catalog.registry.for_api_version(api_version, kind);
        let route = info.and_then(|info| self.catalog.find(&info.group, &info.plural));
        let cache = route.and_then(|route| self.caches.get(route.cache?));
        let (Some(info), Some(cache)) = (info, cache) else {
            return Err(format!("paramKind kind `{api_version}, Kind={kind}` not known"));
        };
        let own = reference.text("namespace");
        let namespace = match (info.namespaced, own.is_empty()) {
            (false, true) => "",
            (false, false) => {
                return Err(
                    "paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned()
                );
            }
            (true, false) => own,
            (true, true) if attributes.namespace.is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                        .to_owned(),
                );
            }
            (true, true) => attributes.namespace.as_str(),
        };
        let name = reference.text("name");
        let selector = LabelSelector::from_value(reference.at("selector"))?;
        let fits = |param: &Value| {
            if name.is_empty() { selector.matches_object(param) } else { meta::name(param) == name }
        };
        let version = meta::split_api_version(api_version).1;
        let found: Vec<Value> = cache
            .list(namespace)
            .filter(|(_, param)| fits(param))
            .map(|(_, param)| in_version(info, version, param))
            .collect();
        if found.is_empty() && reference.text("parameterNotFoundAction") == "Deny" {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }

    /// Whether all `matchConditions` hold. They are not told of the namespace.
    pub(super) fn fits(
        &self,
        attributes: &Attributes,
        spec: &Value,
        subject: &Subject,
        params: &Value,
    ) -> Result<bool, Text> {
        let bare = names(attributes, subject, params, Value::Null);
        let judge = |check: &cel::Check, verb: &str| self.judge_check(attributes, check, verb);
        let mut evaluator = Evaluator::new(&bare, Budget::CONDITIONS);
        evaluator.judge = Some(&judge);
        let mut troubles: Vec<Text> = Vec::new();
        let mut fits = true;
        for condition in spec.items("matchConditions") {
            match evaluate(attributes, &mut evaluator, spec, condition.text("expression")) {
                Ok(value) => fits &= value.as_bool() != Some(false),
                Err(error) if error == cel::OUT_OF_BUDGET => return Err(error),
                Err(error) => troubles.push(error),
            }
        }
        match aggregate(&troubles) {
            Some(error) if fits => Err(error.into()),
            _ => Ok(fits),
        }
    }

    /// What the authorizers say of a check that an expression makes.
    pub(super) fn judge_check(
        &self,
        attributes: &Attributes,
        check: &cel::Check,
        verb: &str,
    ) -> cel::Decision {
        let account;
        let user = match &check.account {
            None => &*attributes.user,
            Some((namespace, name)) => {
                account = User::service_account(namespace, name);
                &account
            }
        };
        let question = Question {
            user,
            verb,
            group: check.group.as_deref().unwrap_or(""),
            resource: &check.resource,
            subresource: &check.subresource,
            namespace: &check.namespace,
            name: &check.name,
            field_selector: &check.field_selector,
            path: &check.path,
        };
        let (is_allowed, reason) = match self.judge(&question) {
            Verdict::Allowed { reason, .. } => (true, reason),
            Verdict::NoOpinion { reason } => (false, reason.into()),
        };
        cel::Decision { is_allowed, reason, error: Text::new() }
    }

    /// The namespace of a request, as expressions see it: that of a namespace is none.
    pub(super) fn namespace_object(&self, attributes: &Attributes) -> Value {
        let is_namespace = attributes.info.kind == "Namespace" && attributes.info.group.is_empty();
        match self.shelf(self.catalog.shelves.namespaces, &attributes.namespace) {
            Some(namespace) if !is_namespace => namespace.clone(),
            _ => Value::Null,
        }
    }
}

/// What one expression comes to. Reading it takes of the request's steps as well, and is left where there are none.
pub(super) fn evaluate<'a>(
    attributes: &Attributes,
    evaluator: &mut Evaluator<'a>,
    spec: &'a Value,
    expression: &str,
) -> Result<Cel, Text> {
    let read = |text: &str| {
        let left = attributes.steps.get().saturating_sub(text.len());
        attributes.steps.set(left);
        if left == 0 { None } else { Some(cel::parse(text)) }
    };
    let exhausted = || literal!(cel::COST_EXCEEDED);
    if evaluator.has_no_variables() {
        for variable in spec.items("variables") {
            let own = read(variable.text("expression"));
            evaluator.define(variable.text("name"), own.unwrap_or_else(|| Err(exhausted())));
        }
    }
    let outcome = match read(expression) {
        None => Err(exhausted()),
        Some(Err(error)) => return Err(format!("compilation error: compilation failed: {error}").into()),
        Some(Ok(node)) => {
            evaluator.left.steps = attributes.steps.get();
            let outcome = evaluator.run(&node);
            attributes.steps.set(evaluator.left.steps);
            outcome
        }
    };
    outcome.map_err(|error| match error.as_str() {
        cel::OUT_OF_BUDGET => error,
        error => Text::from(format!("expression '{expression}' resulted in error: {error}")),
    })
}

/// An object as one of its kind's versions shows it.
pub(super) fn in_version(info: &ResourceInfo, version: &str, object: &Value) -> Value {
    match &info.definition {
        _ if object.is_null() => Value::Null,
        Some(kind) => custom::shown(kind, version, object),
        None => conversion::to_version(object, &join_api_version(&info.group, version), &info.kind),
    }
}

/// What is looked at, and the request as expressions see it (`CreateAdmissionRequest`).
pub(super) fn subject_of(attributes: &Attributes, version: &Text, object: &Value, old: &Value) -> Subject {
    let (info, request) = (attributes.info, &attributes.request);
    let own = info.subresource(&attributes.subresource);
    let api_version =
        own.map_or_else(|| join_api_version(&info.group, version), |own| own.api_version.clone());
    let kind = own.map_or(&info.kind, |own| &own.kind);
    let (group, kind_version) = meta::split_api_version(&api_version);
    let kind = object! { "group" => group, "version" => kind_version, "kind" => kind };
    let resource = object! { "group" => &info.group, "version" => version, "resource" => &info.plural };
    let (operation, options) = match attributes.operation {
        Operation::Create => ("CREATE", "CreateOptions"),
        Operation::Update => ("UPDATE", "UpdateOptions"),
        Operation::Delete => ("DELETE", "DeleteOptions"),
    };
    let mut options = object! { "kind" => options, "apiVersion" => "meta.k8s.io/v1" };
    if attributes.dry_run {
        options.set("dryRun", Value::array([Value::from("All")]));
    }
    let mut admission = object! {
        "kind" => &kind,
        "requestKind" => &kind,
        "resource" => &resource,
        "requestResource" => &resource,
        "operation" => operation,
        "userInfo" => attributes.user.info(),
        "dryRun" => attributes.dry_run,
        "options" => options,
    };
    for (field, text) in [
        ("subResource", &attributes.subresource),
        ("requestSubResource", &attributes.subresource),
        ("name", &attributes.name),
        ("namespace", &attributes.namespace),
    ] {
        if !text.is_empty() {
            admission.set(field, text);
        }
    }
    let shown = |object: &Value| match attributes.subresource.as_str() {
        "scale" if !object.is_null() => subresource::scale(info, request, object),
        "" | "status" => in_version(info, version, object),
        _ => object.clone(),
    };
    Subject { object: shown(object), old: shown(old), request: admission }
}

/// The version in which one of the rules is about the request; of others than its own only if those count too.
pub(super) fn matched(attributes: &Attributes, rules: &[Value], is_exact: bool) -> Option<Text> {
    let own = &attributes.request.resource.version;
    let others = attributes.info.versions.iter().filter(|version| !is_exact && *version != own);
    std::iter::once(own)
        .chain(others)
        .find(|version| rules.iter().any(|rule| is_about(rule, attributes, version)))
        .cloned()
}

fn is_about(rule: &Value, attributes: &Attributes, version: &str) -> bool {
    let info = attributes.info;
    let has = |name: &str, wanted: &str| {
        rule.items(name).iter().filter_map(Value::as_str).any(|own| own == "*" || own == wanted)
    };
    let operation = match attributes.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
    };
    let scope = if info.namespaced { "Namespaced" } else { "Cluster" };
    let is_resource = rule.items("resources").iter().filter_map(Value::as_str).any(|own| {
        let (resource, subresource) = own.split_once('/').unwrap_or((own, ""));
        (resource == "*" || resource == info.plural.as_str())
            && (subresource == "*" || subresource == attributes.subresource.as_str())
    });
    has("operations", operation)
        && has("apiGroups", &info.group)
        && has("apiVersions", version)
        && is_resource
        && matches!(rule.text("scope"), "" | "*" | "Namespaced" | "Cluster")
        && (matches!(rule.text("scope"), "" | "*") || rule.text("scope") == scope)
        && (rule.items("resourceNames").is_empty()
            || rule.items("resourceNames").iter().any(|own| own.as_str() == Some(attributes.name.as_str())))
}
