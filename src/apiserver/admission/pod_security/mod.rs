//! PodSecurity: how much a namespace's pods may do to their node, by the namespace's labels.
//!
//! Picture to hold in mind: three signs at the door of each laboratory. One says who is turned away, one of whom a note
//! is made, and one who is only told.
//!
//! Follows `plugin/pkg/admission/security/podsecurity` and `k8s.io/pod-security-admission`; nobody is exempt, as without
//! a configuration file.
//!
//! - [`standards`] what a level demands

mod standards;

use crate::api::field::{FieldError, FieldPath};
use crate::api::status::Status;
use crate::api::{Value, meta};
use crate::apiserver::ApiServer;
use crate::arrange::Arrange;

use super::{Attributes, Operation};
use standards::{Level, Violations, violations};

const PREFIX: &str = "pod-security.kubernetes.io/";
const METADATA: FieldPath = FieldPath::new("metadata");
const LABELS: FieldPath = METADATA.child("labels");

/// A level as of a version: `restricted:latest`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sign {
    level: Level,
    /// The minor version; `None`: the latest.
    minor: Option<u32>,
}

/// A namespace's three signs.
#[derive(Clone, Copy)]
struct Policy {
    enforce: Sign,
    audit: Sign,
    warn: Sign,
}

impl Sign {
    fn judge(self, metadata: &Value, spec: &Value) -> Violations {
        violations(self.level, self.minor.map_or(u32::MAX, |minor| minor.max(19)), metadata, spec)
    }
}

impl std::fmt::Display for Sign {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(match self.level {
            Level::Privileged => "privileged:",
            Level::Baseline => "baseline:",
            Level::Restricted => "restricted:",
        })?;
        match self.minor {
            Some(minor) => write!(formatter, "v1.{minor}"),
            None => formatter.write_str("latest"),
        }
    }
}

fn level(text: &str) -> Option<Level> {
    Some(match text {
        "privileged" => Level::Privileged,
        "baseline" => Level::Baseline,
        "restricted" => Level::Restricted,
        _ => return None,
    })
}

/// `latest` or `v1.25`.
fn version(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let minor = text.strip_prefix("v1.")?;
    let is_number =
        minor == "0" || !minor.starts_with('0') && minor.bytes().all(|byte| byte.is_ascii_digit());
    minor.parse().ok().filter(|_| is_number).map(Some)
}

/// What a namespace's labels say, and what cannot be read of them (`api.PolicyToEvaluate`). A level to enforce that
/// cannot be read is the strictest.
fn policy(namespace: &Value) -> (Policy, Vec<FieldError>) {
    let open = Sign { level: Level::Privileged, minor: None };
    let mut policy = Policy { enforce: open, audit: open, warn: open };
    let mut errors = Vec::new();
    let mut has = [false; 3];
    for (place, mode) in ["enforce", "audit", "warn"].into_iter().enumerate() {
        let sign = match mode {
            "enforce" => &mut policy.enforce,
            "audit" => &mut policy.audit,
            _ => &mut policy.warn,
        };
        let mut refuse = |label: &str, value: &str, words: &str| {
            errors.push(FieldError::invalid(&LABELS.key(label), value, words));
        };
        let label = [PREFIX, mode].concat();
        if let Some(text) = meta::label(namespace, &label) {
            match level(text) {
                Some(level) => {
                    sign.level = level;
                    has[place] = true;
                }
                None => {
                    sign.level = if place == 0 { Level::Restricted } else { Level::Privileged };
                    // What is to be told is settled, if badly.
                    has[place] = mode == "warn";
                    refuse(&label, text, "must be one of privileged, baseline, restricted");
                }
            }
        }
        let label = [&label, "-version"].concat();
        if let Some(text) = meta::label(namespace, &label) {
            match version(text) {
                Some(minor) => sign.minor = minor,
                None => refuse(&label, text, "must be \"latest\" or \"v1.x\""),
            }
        }
    }
    // Who turns away also tells, unless the third sign says something.
    if has[0] && !has[2] && policy.enforce.level > policy.warn.level {
        policy.warn.level = policy.enforce.level;
        if meta::label(namespace, "pod-security.kubernetes.io/warn-version").is_none() {
            policy.warn.minor = policy.enforce.minor;
        }
    }
    (policy, errors)
}

/// The template of pods in an object that makes some.
fn template<'a>(attributes: &Attributes, object: &'a Value) -> Option<&'a Value> {
    let path = match (attributes.info.group.as_str(), attributes.info.kind.as_str()) {
        ("", "PodTemplate") => "template",
        ("", "ReplicationController")
        | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
        | ("batch", "Job") => "spec.template",
        ("batch", "CronJob") => "spec.jobTemplate.spec.template",
        _ => return None,
    };
    Some(object.at(path)).filter(|template| template.has("spec"))
}

/// Of a pod only its images can change what it may do, and a guest that joins it.
fn is_significant(pod: &Value, old: &Value) -> bool {
    ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"].iter().any(|field| {
        let (new, old) = (pod.items(field), old.items(field));
        new.len() != old.len() || new.iter().zip(old).any(|(new, old)| new.text("image") != old.text("image"))
    })
}

impl ApiServer {
    pub(super) fn check_pod_security(
        &self,
        attributes: &mut Attributes,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if attributes.is("", "Namespace") {
            return self.check_signs(attributes, object, old);
        }
        let is_pod = attributes.info.kind == "Pod" && attributes.info.group.is_empty();
        let (metadata, spec) = if is_pod {
            if !matches!(attributes.subresource.as_str(), "" | "ephemeralcontainers" | "resize") {
                return Ok(());
            }
            (object.at("metadata"), object.at("spec"))
        } else if attributes.subresource.is_empty()
            && let Some(template) = template(attributes, object)
        {
            (template.at("metadata"), template.at("spec"))
        } else {
            return Ok(());
        };
        let Some(namespace) = self.shelf(self.catalog.shelves.namespaces, &attributes.namespace) else {
            return Ok(());
        };
        if !meta::labels(namespace).keys().any(|label| label.starts_with(PREFIX)) {
            if is_pod && self.config.audits {
                attributes.annotate(&[PREFIX, "enforce-policy"].concat(), "privileged:latest");
            }
            return Ok(());
        }
        if is_pod && old.is_some_and(|old| !is_significant(object, old)) {
            return Ok(());
        }
        let (policy, errors) = policy(namespace);
        if let Some(errors) = crate::api::field::aggregate(&errors) {
            attributes.annotate(&[PREFIX, "error"].concat(), format!("Failed to parse policy: {errors}"));
        }
        let would = |sign: Sign| {
            let found = sign.judge(metadata, spec);
            (!found.is_empty()).then(|| format!("would violate PodSecurity \"{sign}\": {}", found.details()))
        };
        if let Some(words) = would(policy.audit) {
            attributes.annotate(&[PREFIX, "audit-violations"].concat(), words);
        }
        if is_pod {
            let sign = policy.enforce;
            attributes.annotate(&[PREFIX, "enforce-policy"].concat(), sign.to_string());
            let found = sign.judge(metadata, spec);
            if !found.is_empty() {
                let words = format!("violates PodSecurity \"{sign}\": {}", found.details());
                return Err(attributes.forbidden(object, words));
            }
        }
        // Whoever was let in by this very sign has nothing to be told.
        if !is_pod || policy.warn != policy.enforce {
            attributes.warnings.extend(would(policy.warn).map(Into::into));
        }
        Ok(())
    }

    /// Signs must be readable; when a stricter one is put up, those who are inside already are looked at.
    fn check_signs(
        &self,
        attributes: &mut Attributes,
        namespace: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let (new, errors) = policy(namespace);
        let invalid = || Err(Status::invalid(&attributes.info.group_kind(), meta::name(namespace), &errors));
        let Some(old) = old else {
            return if errors.is_empty() { Ok(()) } else { invalid() };
        };
        let (before, old_errors) = policy(old);
        if !errors.is_empty()
            && crate::api::field::aggregate(&errors) != crate::api::field::aggregate(&old_errors)
        {
            return invalid();
        }
        let (sign, was) = (new.enforce, before.enforce);
        if attributes.operation != Operation::Update
            || sign == was
            || sign.level == Level::Privileged
            || sign.minor == was.minor && sign.level <= was.level
        {
            return Ok(());
        }
        // By what is wrong: the first pod's name, and how many there are.
        let mut found: Vec<(String, &str, usize)> = Vec::new();
        let cache = self.caches.get(self.catalog.shelves.pods);
        let pods = cache.into_iter().flat_map(|cache| cache.list(meta::name(namespace)));
        for (_, pod) in pods {
            let wrong = sign.judge(pod.at("metadata"), pod.at("spec"));
            if !wrong.is_empty() {
                let (name, reasons) = (meta::name(pod), wrong.reasons());
                match found.iter_mut().find(|(same, ..)| *same == reasons) {
                    Some((_, first, count)) => {
                        *count += 1;
                        *first = name.min(first);
                    }
                    None => found.push((reasons, name, 1)),
                }
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let name = meta::name(namespace);
        let mut warnings: Vec<String> = found
            .iter()
            .map(|(wrong, pod, count)| match count {
                1 => format!("{pod}: {wrong}"),
                2 => format!("{pod} (and 1 other pod): {wrong}"),
                more => format!("{pod} (and {} other pods): {wrong}", more - 1),
            })
            .collect();
        warnings.arrange();
        attributes.warnings.push(
            format!(
                "existing pods in namespace \"{name}\" violate the new PodSecurity enforce level \"{sign}\""
            )
            .into(),
        );
        attributes.warnings.extend(warnings.into_iter().map(Into::into));
        Ok(())
    }
}
