//! Priority and fairness: which requests wait in which queue.
//!
//! Picture to hold in mind: the signs above the counters of a town hall, and the rope lines in front of them: every sign
//! must say whom it is for, and no line may be of a length that cannot be.
//!
//! Follows `pkg/apis/flowcontrol/validation/validation.go`. The mandatory objects' fixed values are not compared: nothing
//! here queues by them.

use super::errors::Errors;
use super::format::{name_is_label, name_is_subdomain};
use super::meta::{self, SPEC, STATUS};
use crate::api::field::FieldPath;
use crate::api::value::Value;

const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const MAX_PRECEDENCE: i64 = 10_000;
const MAX_QUEUES: i64 = 10_000_000;
/// Bits of the hash that deals a flow its queues.
const MAX_HASH_BITS: u32 = 60;

pub fn flow_schema(schema: &Value, errors: &mut Errors) {
    meta::object_meta(schema, false, name_is_subdomain, errors);
    let spec = schema.at("spec");
    let precedence = spec.integer("matchingPrecedence").unwrap_or(0);
    let path = SPEC.child("matchingPrecedence");
    if precedence <= 0 {
        errors.invalid(&path, precedence, "must be a positive value");
    }
    if precedence > MAX_PRECEDENCE {
        errors.invalid(&path, precedence, format!("must not be greater than {MAX_PRECEDENCE}"));
    }
    if precedence == 1 && schema.text("metadata.name") != "exempt" {
        errors.invalid(&path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let method = spec.at("distinguisherMethod");
    if !method.is_null() && !matches!(method.text("type"), "ByNamespace" | "ByUser") {
        let value = crate::object! { "Type" => method.text("type") };
        errors.not_supported(
            &SPEC.child("distinguisherMethod").child("type"),
            value,
            &["ByNamespace", "ByUser"],
        );
    }
    let name = spec.text("priorityLevelConfiguration.name");
    let path = SPEC.child("priorityLevelConfiguration");
    let path = path.child("name");
    match name {
        "" => errors.required(&path, "must reference a priority level"),
        name => errors.each(&path, name, name_is_subdomain(name, false)),
    }
    let list = SPEC.child("rules");
    for (index, rule) in spec.items("rules").iter().enumerate() {
        policy_rule(rule, &list.index(index), errors);
    }
    conditions(schema, errors);
}

fn policy_rule(rule: &Value, path: &FieldPath, errors: &mut Errors) {
    let list = path.child("subjects");
    if rule.items("subjects").is_empty() {
        errors.required(&list, "subjects must contain at least one value");
    }
    for (index, subject) in rule.items("subjects").iter().enumerate() {
        self::subject(subject, &list.index(index), errors);
    }
    let (resources, others) = (rule.items("resourceRules"), rule.items("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let list = path.child("resourceRules");
    for (index, rule) in resources.iter().enumerate() {
        let path = list.index(index);
        verbs(rule, &path, errors);
        for (name, one, others) in
            [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
        {
            some_or_all(
                rule,
                name,
                &path,
                &format!("resource rules must supply at least one {one}"),
                others,
                errors,
            );
        }
        let message = "resource rules that are not cluster scoped must supply at least one namespace";
        let message = if rule.is_true("clusterScope") { "" } else { message };
        if !some_or_all(rule, "namespaces", &path, message, "namespaces", errors) {
            let list = path.child("namespaces");
            for (index, namespace) in rule.items("namespaces").iter().filter_map(Value::as_str).enumerate() {
                for complaint in name_is_label(namespace, false) {
                    let message =
                        format!("each member of this list must be '*' or a DNS-1123 label; {complaint}");
                    errors.invalid(&list.index(index), namespace, message);
                }
            }
        }
    }
    let list = path.child("nonResourceRules");
    for (index, rule) in others.iter().enumerate() {
        let path = list.index(index);
        verbs(rule, &path, errors);
        let message = "nonResourceURLs must contain at least one value";
        if !some_or_all(rule, "nonResourceURLs", &path, message, "non-resource URLs", errors) {
            let list = path.child("nonResourceURLs");
            for (index, url) in rule.items("nonResourceURLs").iter().filter_map(Value::as_str).enumerate() {
                if let Some(complaint) = url_complaint(url) {
                    errors.invalid(&list.index(index), url, complaint);
                }
            }
        }
    }
}

fn verbs(rule: &Value, path: &FieldPath, errors: &mut Errors) {
    let message = "verbs must contain at least one value";
    if !some_or_all(rule, "verbs", path, message, "verbs", errors)
        && !rule.items("verbs").iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb)))
    {
        errors.not_supported(&path.child("verbs"), rule.at("verbs"), &VERBS);
    }
}

/// A list that is not empty (where `missing` says so), and in which `*` stands alone. Whether it needs no closer look.
fn some_or_all(
    rule: &Value,
    name: &'static str,
    path: &FieldPath,
    missing: &str,
    others: &str,
    errors: &mut Errors,
) -> bool {
    let list = rule.items(name);
    let has_all = list.iter().any(|one| one.as_str() == Some("*"));
    let path = path.child(name);
    if list.is_empty() {
        if !missing.is_empty() {
            errors.required(&path, missing);
        }
    } else if has_all && list.len() > 1 {
        errors.invalid(&path, rule.at(name), format!("if '*' is present, must not specify other {others}"));
    }
    list.is_empty() || has_all
}

/// `ValidateNonResourceURLPath`.
fn url_complaint(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        url if !url.starts_with('/') => Some("must start with slash"),
        url if url.contains(' ') => Some("must not contain white-space"),
        url if url.contains("//") => Some("must not contain double slash"),
        url if stars > 1 || (stars == 1 && !url.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    }
}

fn subject(subject: &Value, path: &FieldPath, errors: &mut Errors) {
    const KINDS: [(&str, &str); 3] =
        [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];
    let kind = subject.text("kind");
    let Some((_, own)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        return errors.not_supported(&path.child("kind"), kind, &KINDS.map(|(name, _)| name));
    };
    let (value, own_path) = (subject.at(own), path.child(own));
    if value.is_null() {
        errors.required(&own_path, format!("{own} is required when subject kind is '{kind}'"));
    } else {
        let name = value.text("name");
        if name.is_empty() {
            errors.required(&own_path.child("name"), "");
        }
        if kind == "ServiceAccount" {
            if !matches!(name, "" | "*") {
                errors.each(&own_path.child("name"), name, name_is_subdomain(name, false));
            }
            match value.text("namespace") {
                "" => errors
                    .required(&own_path.child("namespace"), "must specify namespace for service account"),
                namespace => {
                    errors.each(&own_path.child("namespace"), namespace, name_is_label(namespace, false));
                }
            }
        }
    }
    // In the order in which upstream looks at the two others.
    for other in ["serviceAccount", "user", "group"].iter().filter(|other| *other != own) {
        if subject.has(other) {
            let kind = KINDS.iter().find(|(_, name)| name == other).map_or("", |(kind, _)| kind);
            errors.forbidden(
                &path.child(other),
                format!("{other} is forbidden when subject kind is not '{kind}'"),
            );
        }
    }
}

pub fn priority_level(level: &Value, errors: &mut Errors) {
    meta::object_meta(level, false, name_is_subdomain, errors);
    let spec = level.at("spec");
    let (limited, exempt) = (spec.at("limited"), spec.at("exempt"));
    let type_ = spec.text("type");
    if (level.text("metadata.name") == "exempt") != (type_ == "Exempt") {
        errors.invalid(&SPEC.child("type"), type_, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match type_ {
        "Exempt" => {
            if !limited.is_null() {
                errors.forbidden(&SPEC.child("limited"), "must be nil if the type is not Limited");
            }
            shares(exempt, &SPEC.child("exempt"), errors);
            lendable(exempt, &SPEC.child("exempt"), errors);
        }
        "Limited" => {
            if !exempt.is_null() {
                errors.forbidden(&SPEC.child("exempt"), "must be nil if the type is Limited");
            }
            let path = SPEC.child("limited");
            if limited.is_null() {
                errors.required(&path, "must not be empty when type is Limited");
            } else {
                shares(limited, &path, errors);
                limit_response(limited.at("limitResponse"), &path.child("limitResponse"), errors);
                lendable(limited, &path, errors);
                if let Some(percent) = limited.integer("borrowingLimitPercent").filter(|percent| *percent < 0)
                {
                    let path = path.child("borrowingLimitPercent");
                    errors.invalid(&path, percent, "if specified, must be a non-negative integer");
                }
            }
        }
        other => errors.not_supported(&SPEC.child("type"), other, &["Exempt", "Limited"]),
    }
    conditions(level, errors);
}

fn shares(level: &Value, path: &FieldPath, errors: &mut Errors) {
    if let Some(shares) = level.integer("nominalConcurrencyShares").filter(|shares| *shares < 0) {
        errors.invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
}

fn lendable(level: &Value, path: &FieldPath, errors: &mut Errors) {
    if let Some(percent) = level.integer("lendablePercent").filter(|percent| !(0..=100).contains(percent)) {
        errors.invalid(&path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

fn limit_response(response: &Value, path: &FieldPath, errors: &mut Errors) {
    let queuing = response.at("queuing");
    match response.text("type") {
        "Reject" if !queuing.is_null() => {
            errors.forbidden(
                &path.child("queuing"),
                "must be nil if limited.limitResponse.type is not Limited",
            );
        }
        "Reject" => {}
        "Queue" if queuing.is_null() => {
            errors.required(
                &path.child("queuing"),
                "must not be empty if limited.limitResponse.type is Limited",
            );
        }
        "Queue" => queues(queuing, &path.child("queuing"), errors),
        other => errors.not_supported(&path.child("type"), other, &["Queue", "Reject"]),
    }
}

fn queues(queuing: &Value, path: &FieldPath, errors: &mut Errors) {
    let number = |name: &str| queuing.integer(name).unwrap_or(0);
    let (limit, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    if limit <= 0 {
        errors.invalid(&path.child("queueLengthLimit"), limit, "must be positive");
    }
    if queues <= 0 {
        errors.invalid(&path.child("queues"), queues, "must be positive");
    } else if queues > MAX_QUEUES {
        errors.invalid(&path.child("queues"), queues, format!("must not be greater than {MAX_QUEUES}"));
    }
    let path = path.child("handSize");
    if hand <= 0 {
        errors.invalid(&path, hand, "must be positive");
    } else if hand > queues {
        errors.invalid(&path, hand, format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > MAX_HASH_BITS {
        errors.invalid(
            &path,
            hand,
            format!(
                "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
            ),
        );
    }
}

/// Bits that it takes to number `hand` cards of a deck: upstream rounds the sum of their logarithms up; whole numbers do
/// the same until they are past the limit.
fn entropy_bits(deck: i64, hand: i64) -> u32 {
    let mut hands: u128 = 1;
    for _ in 0..hand {
        hands = hands.saturating_mul(deck.max(1) as u128);
        if hands > 1 << (MAX_HASH_BITS + 1) {
            return MAX_HASH_BITS + 1;
        }
    }
    128 - (hands - 1).leading_zeros()
}

fn conditions(object: &Value, errors: &mut Errors) {
    let list = STATUS.child("conditions");
    let items = object.at("status").items("conditions");
    for (index, condition) in items.iter().enumerate() {
        let type_ = condition.text("type");
        let path = list.index(index);
        let path = path.child("type");
        if items[..index].iter().any(|earlier| earlier.text("type") == type_) {
            errors.duplicate(&path, type_);
        }
        if type_.is_empty() {
            errors.required(&path, "");
        }
    }
}
