//! Webhook configurations and admission policies.
//!
//! Picture to hold in mind: the standing orders of the guards at the gate: whom to stop, whom to ask, and how long
//! to wait for an answer.
//!
//! Follows `pkg/apis/admissionregistration/validation/validation.go`.

use super::errors::Errors;
use super::format::{dns1035_label, dns1123_subdomain, name_is_path_segment, name_is_subdomain};
use super::meta::{self, METADATA, SPEC, STATUS};
use crate::api::cel::types::{self, BOOL, DYN, NULL, STRING, Type};
use crate::api::cel::{self, Scope};
use crate::api::field::FieldPath;
use crate::api::value::Value;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MUTATING_OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];

fn texts<'a>(value: &'a Value, path: &str) -> Vec<&'a str> {
    value.items(path).iter().map(|item| item.as_str().unwrap_or("")).collect()
}

/// `IsFullyQualifiedName`.
fn full_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    let complaints = dns1123_subdomain(name);
    if !complaints.is_empty() {
        errors.invalid(path, name, complaints.join(","));
    } else if name.split('.').count() < 3 {
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots");
    }
}

/// `Validating-` and `MutatingWebhookConfiguration`.
pub fn webhook_configuration(configuration: &Value, mutating: bool, errors: &mut Errors) {
    meta::plain_object_meta(configuration.at("metadata"), false, &name_is_subdomain, &METADATA, errors);
    let list = FieldPath::new("webhooks");
    let hooks = configuration.items("webhooks");
    for (index, hook) in hooks.iter().enumerate() {
        let path = list.index(index);
        webhook(hook, mutating, &path, errors);
        review_versions(hook, &path.child("admissionReviewVersions"), errors);
        let name = hook.text("name");
        if !name.is_empty() && hooks[..index].iter().any(|other| other.text("name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
    }
}

fn webhook(hook: &Value, mutating: bool, path: &FieldPath, errors: &mut Errors) {
    full_name(hook.text("name"), &path.child("name"), errors);
    rules(hook, "rules", path, errors);
    errors.one_of_if_given(hook, "failurePolicy", path, &["Fail", "Ignore"]);
    errors.one_of_if_given(hook, "matchPolicy", path, &["Equivalent", "Exact"]);
    if !hook.has("sideEffects") {
        errors.required(&path.child("sideEffects"), "must specify one of None, NoneOnDryRun");
    }
    errors.one_of_if_given(hook, "sideEffects", path, &["None", "NoneOnDryRun"]);
    if let Some(seconds) = hook.integer("timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds)) {
        let message = "the timeout value must be between 1 and 30 seconds";
        errors.invalid(&path.child("timeoutSeconds"), seconds, message);
    }
    for name in ["namespaceSelector", "objectSelector"] {
        meta::label_selector(hook.at(name), &path.child(name), errors);
    }
    if mutating {
        errors.one_of_if_given(hook, "reinvocationPolicy", path, &["IfNeeded", "Never"]);
    }
    client_config(hook.at("clientConfig"), &path.child("clientConfig"), errors);
    let scope = cel::policy_scope(&Value::Null, DYN, DYN);
    match_conditions(hook.items("matchConditions"), &scope, &path.child("matchConditions"), errors);
}

/// Where a webhook is: a URL or a service, and not both.
pub fn client_config(config: &Value, path: &FieldPath, errors: &mut Errors) {
    let (url, service) = (config.at("url").as_str(), config.at("service"));
    match (url, service.is_null()) {
        (None, true) | (Some(_), false) => errors.required(path, "exactly one of url or service is required"),
        (Some(url), true) => webhook_url(url, &path.child("url"), errors),
        (None, false) => webhook_service(service, &path.child("service"), errors),
    }
}

/// `ValidateWebhookURL`.
fn webhook_url(url: &str, path: &FieldPath, errors: &mut Errors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        errors.invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = if scheme.is_empty() { ("", rest) } else { rest.split_at(end) };
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        errors.invalid(path, host, format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        errors.invalid(path, user, "user information is not permitted in the URL");
    }
    if let Some((_, fragment)) = tail.split_once('#') {
        errors.invalid(path, fragment, "fragments are not permitted in the URL");
    }
    if let Some((_, query)) = tail.split_once('#').map_or(tail, |(before, _)| before).split_once('?') {
        errors.invalid(path, query, "query parameters are not permitted in the URL");
    }
}

/// `ValidateWebhookService`.
fn webhook_service(service: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(service, "name", path);
    errors.require_text(service, "namespace", path);
    if let Some(port) = service.integer("port").filter(|port| !(1..=65535).contains(port)) {
        errors.invalid(
            &path.child("port"),
            port,
            "port is not valid: must be between 1 and 65535, inclusive",
        );
    }
    let Some(target) = service.at("path").as_str() else { return };
    let path = path.child("path");
    if target == "/" {
        return;
    }
    if target == "//" {
        return errors.invalid(&path, target, "segment[0] may not be empty");
    }
    if !target.starts_with('/') {
        errors.invalid(&path, target, "must start with a '/'");
    }
    let inner = target.strip_prefix('/').unwrap_or(target);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for (index, segment) in inner.split('/').enumerate() {
        if segment.is_empty() {
            errors.invalid(&path, target, format!("segment[{index}] may not be empty"));
            continue;
        }
        let failures = dns1123_subdomain(segment);
        for failure in failures {
            errors.invalid(&path, target, format!("segment[{index}]: {failure}"));
        }
    }
}

fn review_versions(hook: &Value, path: &FieldPath, errors: &mut Errors) {
    let versions = texts(hook, "admissionReviewVersions");
    if versions.is_empty() {
        return errors.required(path, "must specify one of v1, v1beta1");
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            errors.invalid(&path.index(index), *version, "duplicate version");
            continue;
        }
        errors.each(&path.index(index), version, dns1035_label(version));
    }
    if !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        errors.invalid(path, hook.at("admissionReviewVersions"), "must include at least one of v1, v1beta1");
    }
}

fn rules(owner: &Value, name: &str, path: &FieldPath, errors: &mut Errors) {
    let list = path.child(name);
    for (index, rule) in owner.items(name).iter().enumerate() {
        let path = list.index(index);
        let names = texts(rule, "resourceNames");
        let names_path = path.child("resourceNames");
        for (index, name) in names.iter().enumerate() {
            errors.each(&names_path.index(index), name, name_is_path_segment(name, false));
            if names[..index].contains(name) {
                errors.duplicate(&names_path.index(index), *name);
            }
        }
        rule_with_operations(rule, &path, errors);
    }
}

fn rule_with_operations(rule: &Value, path: &FieldPath, errors: &mut Errors) {
    let list = path.child("operations");
    let operations = texts(rule, "operations");
    if operations.is_empty() {
        errors.required(&list, "");
    }
    if operations.len() > 1 && operations.contains(&"*") {
        errors.invalid(&list, rule.at("operations"), "if '*' is present, must not specify other operations");
    }
    for (index, operation) in operations.iter().enumerate() {
        if !OPERATIONS.contains(operation) {
            errors.not_supported(&list.index(index), *operation, OPERATIONS);
        }
    }
    for (name, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = path.child(name);
        let values = texts(rule, name);
        if values.is_empty() {
            errors.required(&list, "");
        }
        if values.len() > 1 && values.contains(&"*") {
            errors.invalid(&list, rule.at(name), format!("if '*' is present, must not specify other {what}"));
        }
        if name == "apiVersions" {
            for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_empty()) {
                errors.required(&list.index(index), "");
            }
        }
    }
    rule_resources(rule, &path.child("resources"), errors);
    errors.one_of_if_given(rule, "scope", path, &["*", "Cluster", "Namespaced"]);
}

fn rule_resources(rule: &Value, path: &FieldPath, errors: &mut Errors) {
    let resources = texts(rule, "resources");
    if resources.is_empty() {
        errors.required(path, "");
    }
    let (mut whole, mut everywhere): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut single, mut double, mut plain) = (false, false, false);
    for (index, name) in resources.iter().enumerate() {
        let item = path.index(index);
        if name.is_empty() {
            errors.required(&item, "");
            continue;
        }
        double |= *name == "*/*";
        single |= *name == "*";
        let Some((resource, sub)) = name.split_once('/') else {
            plain = *name != "*";
            continue;
        };
        if whole.contains(&resource) {
            errors.invalid(&item, *name, format!("if '{resource}/*' is present, must not specify {name}"));
        }
        if everywhere.contains(&sub) {
            errors.invalid(&item, *name, format!("if '*/{sub}' is present, must not specify {name}"));
        }
        if sub == "*" {
            whole.push(resource);
        }
        if resource == "*" {
            everywhere.push(sub);
        }
    }
    if resources.len() > 1 && double {
        errors.invalid(path, rule.at("resources"), "if '*/*' is present, must not specify other resources");
    }
    if single && plain {
        let message = "if '*' is present, must not specify other resources without subresources";
        errors.invalid(path, rule.at("resources"), message);
    }
}

/// What is wrong with an expression; that one is missing is told elsewhere. Its type, which must be one of `wanted`, if
/// any.
fn compile(
    expression: &str,
    scope: &Scope,
    wanted: &[Type],
    path: &FieldPath,
    errors: &mut Errors,
) -> Option<Type> {
    if expression.trim().is_empty() {
        return None;
    }
    let detail = match cel::compile(expression, scope) {
        Ok(compiled) if wanted.is_empty() || wanted.contains(&compiled.kind) => return Some(compiled.kind),
        Ok(compiled) => {
            let mut text = String::from(if wanted.len() > 1 {
                "must evaluate to one of ["
            } else {
                "must evaluate to "
            });
            for (index, own) in wanted.iter().enumerate() {
                text.push_str(if index > 0 { " " } else { "" });
                own.print(true, &mut text);
            }
            text.push_str(if wanted.len() > 1 { "] but got " } else { " but got " });
            compiled.kind.print(true, &mut text);
            text
        }
        Err(error) => format!("compilation failed: {error}"),
    };
    errors.invalid(path, expression, detail);
    None
}

fn match_conditions(conditions: &[Value], scope: &Scope, path: &FieldPath, errors: &mut Errors) {
    if conditions.len() > 64 {
        errors.too_many(path, conditions.len(), 64);
    }
    for (index, condition) in conditions.iter().enumerate() {
        let item = path.index(index);
        if condition.text("expression").trim().is_empty() {
            errors.required(&item.child("expression"), "");
        }
        compile(condition.text("expression").trim(), scope, &[BOOL], &item.child("expression"), errors);
        let name = condition.text("name");
        if name.is_empty() {
            errors.required(&item.child("name"), "");
        } else {
            meta::label_name(name, &item.child("name"), errors);
            if conditions[..index].iter().any(|other| other.text("name") == name) {
                errors.duplicate(&item.child("name"), name);
            }
        }
    }
}

fn match_resources(resources: &Value, path: &FieldPath, errors: &mut Errors) {
    match resources.at("matchPolicy").as_str() {
        None => errors.required(&path.child("matchPolicy"), ""),
        Some(_) => errors.one_of_if_given(resources, "matchPolicy", path, &["Equivalent", "Exact"]),
    }
    for name in ["namespaceSelector", "objectSelector"] {
        if resources.has(name) {
            meta::label_selector(resources.at(name), &path.child(name), errors);
        } else {
            errors.required(&path.child(name), "");
        }
    }
    rules(resources, "resourceRules", path, errors);
    rules(resources, "excludeResourceRules", path, errors);
}

fn param_kind(kind: &Value, path: &FieldPath, errors: &mut Errors) {
    let text = kind.text("apiVersion");
    let version_path = path.child("apiVersion");
    if text.is_empty() {
        errors.required(&version_path, "");
    } else if text.matches('/').count() > 1 {
        errors.invalid(&version_path, text, format!("unexpected GroupVersion string: {text}"));
    } else {
        let (group, version) = text.split_once('/').unwrap_or(("", text));
        let complaints = if group.is_empty() { Vec::new() } else { dns1123_subdomain(group) };
        if !complaints.is_empty() {
            errors.invalid(&version_path, group, complaints.join(","));
        }
        if version.is_empty() {
            errors.invalid(&version_path, text, "version must be specified");
        } else {
            let complaints = dns1035_label(version);
            if !complaints.is_empty() {
                errors.invalid(&version_path, version, complaints.join(","));
            }
        }
    }
    mixed_case_label(kind.text("kind"), &path.child("kind"), errors);
}

/// A kind's name: a label but for its capitals.
pub fn mixed_case_label(name: &str, path: &FieldPath, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    let complaints = dns1035_label(&name.to_ascii_lowercase());
    if !complaints.is_empty() {
        let message = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
        errors.invalid(path, name, message);
    }
}

const CEL_RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Makes the variables known, one after the other.
fn variables(spec: &Value, scope: &mut Scope, errors: &mut Errors) {
    let list = SPEC.child("variables");
    for (index, variable) in spec.items("variables").iter().enumerate() {
        let path = list.index(index);
        let name = variable.text("name");
        if name.trim().is_empty() {
            errors.required(&path.child("name"), "name is not specified");
        } else if super::format::c_identifier(name).is_some() || CEL_RESERVED.contains(&name) {
            errors.invalid(&path.child("name"), name, "must be a valid CEL identifier");
        }
        if variable.text("expression").trim().is_empty() {
            errors.required(&path.child("expression"), "expression is not specified");
        } else {
            let own = compile(variable.text("expression"), scope, &[], &path.child("expression"), errors);
            scope.variables.push((name.into(), own.map_or(DYN, |own| cel::variable_type(&own))));
        }
    }
}

/// What both kinds of policy begin with.
fn policy_head(policy: &Value, mutating: bool, errors: &mut Errors) -> Scope {
    meta::plain_object_meta(policy.at("metadata"), false, &name_is_subdomain, &METADATA, errors);
    let spec = policy.at("spec");
    if !spec.has("failurePolicy") {
        errors.required(&SPEC.child("failurePolicy"), "");
    }
    errors.one_of_if_given(spec, "failurePolicy", &SPEC, &["Fail", "Ignore"]);
    if spec.has("paramKind") {
        param_kind(spec.at("paramKind"), &SPEC.child("paramKind"), errors);
    }
    let constraints = spec.at("matchConstraints");
    let path = SPEC.child("matchConstraints");
    if constraints.is_null() {
        errors.required(&path, "");
    } else {
        match_resources(constraints, &path, errors);
        if constraints.items("resourceRules").is_empty() {
            errors.required(&path.child("resourceRules"), "");
        }
        if mutating {
            mutating_operations(constraints, &path, errors);
        }
    }
    let mut scope = cel::policy_scope(spec, DYN, DYN);
    match_conditions(spec.items("matchConditions"), &scope, &SPEC.child("matchConditions"), errors);
    if mutating || !spec.items("variables").is_empty() {
        scope = scope.with_variables();
    }
    variables(spec, &mut scope, errors);
    scope
}

fn mutating_operations(resources: &Value, path: &FieldPath, errors: &mut Errors) {
    for operation in resources.items("resourceRules").iter().flat_map(|rule| texts(rule, "operations")) {
        if !MUTATING_OPERATIONS.contains(&operation) {
            errors.not_supported(&path.child("resourceRules.operations"), operation, MUTATING_OPERATIONS);
        }
    }
}

pub fn validating_policy(policy: &Value, errors: &mut Errors) {
    let scope = policy_head(policy, false, errors);
    let spec = policy.at("spec");
    let (validations, annotations) = (spec.items("validations"), spec.items("auditAnnotations"));
    let (list, annotations_list) = (SPEC.child("validations"), SPEC.child("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        const MESSAGE: &str = "validations or auditAnnotations must contain at least one item";
        errors.required(&list, MESSAGE);
        errors.required(&annotations_list, MESSAGE);
        return;
    }
    let unauthorized = scope.names.iter().filter(|(name, _)| !name.starts_with("authorizer")).cloned();
    let messages = Scope { variables: scope.variables.clone(), ..Scope::new(unauthorized.collect()) };
    for (index, validation) in validations.iter().enumerate() {
        let path = list.index(index);
        if validation.text("expression").trim().is_empty() {
            errors.required(&path.child("expression"), "expression is not specified");
        }
        for (name, scope, wanted) in [("expression", &scope, BOOL), ("messageExpression", &messages, STRING)]
        {
            compile(validation.text(name), scope, &[wanted], &path.child(name), errors);
        }
        for name in ["messageExpression", "message"] {
            let text = validation.text(name);
            if !text.is_empty() && text.trim().is_empty() {
                errors.invalid(&path.child(name), text, "must be non-empty if specified");
            } else if name == "message" && text.trim().contains(['\n', '\r']) {
                errors.invalid(&path.child(name), text, "must not contain line breaks");
            }
        }
        errors.one_of_if_given(
            validation,
            "reason",
            &path,
            &["Forbidden", "Invalid", "RequestEntityTooLarge"],
        );
    }
    if annotations.len() > 20 {
        let quoted = spec.at("auditAnnotations").clone();
        errors.invalid(&annotations_list, quoted, "must not have more than 20 auditAnnotations");
    }
    for (index, entry) in annotations.iter().enumerate() {
        let path = annotations_list.index(index);
        let (name, key) = (policy.text("metadata.name"), entry.text("key"));
        if name.is_empty() {
            errors.invalid(&path.child("key"), key, "requires metadata.name be non-empty");
        } else {
            meta::label_name(&format!("{name}/{key}"), &path.child("key"), errors);
        }
        let expression = entry.text("valueExpression").trim();
        if expression.is_empty() {
            errors.required(&path.child("valueExpression"), "valueExpression is not specified");
        } else if expression.len() > 5 * 1024 {
            errors.required(&path.child("valueExpression"), "must not exceed 5120 bytes in length");
        } else {
            compile(expression, &scope, &[STRING, NULL], &path.child("valueExpression"), errors);
        }
        if annotations[..index].iter().any(|other| other.text("key") == key) {
            errors.duplicate(&path.child("key"), key);
        }
    }
}

pub fn validating_policy_status(new: &Value, errors: &mut Errors) {
    let list = STATUS.child("typeChecking.expressionWarnings");
    for (index, warning) in new.items("status.typeChecking.expressionWarnings").iter().enumerate() {
        let path = list.index(index);
        errors.require_text(warning, "warning", &path);
        errors.require_text(warning, "fieldRef", &path);
    }
    meta::conditions(new.items("status.conditions"), &STATUS.child("conditions"), errors);
}

pub fn mutating_policy(policy: &Value, errors: &mut Errors) {
    let mut scope = policy_head(policy, true, errors);
    scope.patches = true;
    let spec = policy.at("spec");
    let list = SPEC.child("mutations");
    if spec.items("mutations").is_empty() {
        errors.required(&list, "mutations must contain at least one item");
    }
    for (index, mutation) in spec.items("mutations").iter().enumerate() {
        let path = list.index(index);
        let kind = mutation.text("patchType");
        let (own, other) = match kind {
            "" => {
                errors.required(&path.child("patchType"), "");
                continue;
            }
            "JSONPatch" => ("jsonPatch", "applyConfiguration"),
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
            _ => {
                errors.not_supported(&path.child("patchType"), kind, &["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        if !mutation.has(own) {
            errors.required(&path.child(own), format!("must be specified when patchType is {kind}"));
        } else if mutation.at(own).text("expression").trim().is_empty() {
            errors.required(&path.child(own).child("expression"), "");
        } else {
            let object = types::structure("Object", types::Fields::Any);
            let wanted = if own == "jsonPatch" { types::list(types::known("JSONPatch")) } else { object };
            let expression = mutation.at(own).text("expression").trim();
            compile(expression, &scope, &[wanted], &path.child(own).child("expression"), errors);
        }
        if mutation.has(other) {
            let message = format!("must not be specified when patchType is {kind}");
            errors.invalid(&path.child(other), format!("{{{other}}}"), message);
        }
    }
    errors.one_of(spec.text("reinvocationPolicy"), &SPEC.child("reinvocationPolicy"), &["IfNeeded", "Never"]);
}

pub fn policy_binding(binding: &Value, mutating: bool, errors: &mut Errors) {
    meta::plain_object_meta(binding.at("metadata"), false, &name_is_subdomain, &METADATA, errors);
    let spec = binding.at("spec");
    if errors.require_text(spec, "policyName", &SPEC) {
        let name = spec.text("policyName");
        errors.each(&SPEC.child("policyName"), name, name_is_subdomain(name, false));
    }
    param_reference(spec.at("paramRef"), errors);
    if spec.has("matchResources") {
        let path = SPEC.child("matchResources");
        match_resources(spec.at("matchResources"), &path, errors);
        if mutating {
            mutating_operations(spec.at("matchResources"), &path, errors);
        }
    }
    if mutating {
        return;
    }
    let list = SPEC.child("validationActions");
    let actions = texts(spec, "validationActions");
    for (index, action) in actions.iter().enumerate() {
        if !matches!(*action, "Deny" | "Warn" | "Audit") {
            errors.not_supported(&list.index(index), *action, &["Audit", "Deny", "Warn"]);
        }
        if actions[..index].contains(action) {
            errors.duplicate(&list.index(index), *action);
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let message = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.invalid(&list, spec.at("validationActions"), message);
    }
    if actions.is_empty() {
        errors.required(&list, "at least one validation action is required");
    }
}

fn param_reference(reference: &Value, errors: &mut Errors) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    if reference.is_null() {
        return;
    }
    let path = SPEC.child("paramRef");
    let (name, selects) = (reference.text("name"), reference.has("selector"));
    if !name.is_empty() {
        errors.each(&path.child("name"), name, name_is_path_segment(name, false));
        if selects {
            errors.forbidden(&path.child("name"), EXCLUSIVE);
        }
    }
    if selects {
        meta::label_selector(reference.at("selector"), &path.child("selector"), errors);
        if !name.is_empty() {
            errors.forbidden(&path.child("selector"), EXCLUSIVE);
        }
    }
    if name.is_empty() && !selects {
        errors.required(&path, "one of name or selector must be specified");
    }
    let action = reference.text("parameterNotFoundAction");
    errors.one_of(action, &path.child("parameterNotFoundAction"), &["Deny", "Allow"]);
}
