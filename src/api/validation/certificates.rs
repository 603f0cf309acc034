//! Signer names, requests for certificates, and the projections of trust bundles and pod certificates.
//!
//! Picture to hold in mind: whose seal is on the letter.
//!
//! Follows `pkg/apis/core/validation/names.go`, `pkg/apis/certificates/validation/validation.go` and the projections of
//! `validateProjectionSources` in `pkg/apis/core/validation/validation.go`. The signature of a
//! request counts as good.

use super::errors::Errors;
use super::format::{dns1123_label, dns1123_subdomain, name_is_subdomain};
use super::{go, meta, path};
use crate::api::field::{FieldPath, go_quote};
use crate::api::value::Value;
use crate::api::x509::Request;

/// `IsKubernetesSignerName`.
pub fn is_kubernetes_signer(name: &str) -> bool {
    let host = name.split_once('/').map_or(name, |(host, _)| host);
    host == "kubernetes.io" || host.ends_with(".kubernetes.io")
}

/// `ValidateSignerName`.
pub fn signer_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    const MAX_DOMAIN: usize = 253;
    const MAX_NAME: usize = MAX_DOMAIN + 1 + 253 + 1 + 63;
    if name.is_empty() {
        return errors.required(path, "");
    }
    let (Some((domain, rest)), 1) = (name.split_once('/'), name.matches('/').count()) else {
        let message = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errors.invalid(path, name, message);
    };
    if domain.len() > MAX_DOMAIN {
        errors.too_long(path, MAX_DOMAIN);
    }
    type Check = fn(&str) -> Vec<String>;
    let check_labels = |part: &str, check: Check, errors: &mut Errors| {
        let bad =
            part.split('.').map(|label| (label, check(label))).find(|(_, complaints)| !complaints.is_empty());
        for complaint in bad.iter().flat_map(|(_, complaints)| complaints) {
            let label = go_quote(bad.as_ref().map_or("", |(label, _)| label));
            errors.invalid(path, part, format!("validating label {label}: {complaint}"));
        }
    };
    check_labels(domain, dns1123_label, errors);
    if !domain.contains('.') {
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots");
    }
    check_labels(rest, dns1123_subdomain, errors);
    if name.len() > MAX_NAME {
        errors.too_long(path, MAX_NAME);
    }
}

/// `ValidateClusterTrustBundleName` for the signer that the name itself claims.
pub fn trust_bundle_name(signer: &str, name: &str, prefix: bool) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return name_is_subdomain(name, prefix);
    }
    let required = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&required) {
        Some(rest) => name_is_subdomain(rest, prefix),
        None => {
            vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {required}")]
        }
    }
}

pub fn trust_bundle_projection(source: &Value, path: &FieldPath, errors: &mut Errors) {
    match (source.at("name").as_str(), source.at("signerName").as_str()) {
        (Some(_), Some(_)) => {
            let quoted = go::internal("ClusterTrustBundleProjection")(source);
            errors.invalid(path, quoted, "only one of name and signerName may be used");
        }
        (Some(name), None) => {
            let path_name = path.child("name");
            if name.is_empty() {
                errors.required(&path_name, "must be a valid object name");
            }
            let signer = name.rsplit_once(':').map_or(String::new(), |(signer, _)| signer.replace(':', "/"));
            for complaint in trust_bundle_name(&signer, name, false) {
                errors.invalid(&path_name, name, format!("not a valid clustertrustbundlename: {complaint}"));
            }
            if source.has("labelSelector") {
                let quoted = meta::quoted(source.at("labelSelector"));
                let message = "labelSelector must be unset if name is specified";
                errors.invalid(&path.child("labelSelector"), quoted, message);
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.required(&path.child("signerName"), "must be a valid signer name");
            }
            signer_name(signer, &path.child("signerName"), errors);
            meta::label_selector(source.at("labelSelector"), &path.child("labelSelector"), errors);
        }
        (None, None) => errors.required(path, "either name or signerName must be specified"),
    }
    errors.require_text(source, "path", path);
    path::local_non_reserved_path(source.text("path"), &path.child("path"), errors);
}

pub fn pod_certificate_projection(source: &Value, path: &FieldPath, errors: &mut Errors) {
    const KEY_TYPES: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    const HOUR_SECONDS: i64 = 3600;
    let signer = source.text("signerName");
    signer_name(signer, &path.child("signerName"), errors);
    let list = path.child("userAnnotations");
    for key in source.map("userAnnotations").keys() {
        let lower = key.to_ascii_lowercase();
        let before = errors.len();
        meta::label_name(&lower, &list, errors);
        if errors.len() == before && !lower.contains('/') {
            errors.invalid(&list, lower, "must be a domain-prefixed key (such as \"acme.io/foo\")");
        }
    }
    let key_type = source.text("keyType");
    if !KEY_TYPES.contains(&key_type) {
        errors.not_supported(&path.child("keyType"), key_type, KEY_TYPES);
    }
    if let Some(seconds) = source.integer("maxExpirationSeconds") {
        let path = path.child("maxExpirationSeconds");
        if seconds < HOUR_SECONDS {
            errors.invalid(&path, seconds, "if provided, maxExpirationSeconds must be >= 3600");
        }
        let most = HOUR_SECONDS * 24 * if is_kubernetes_signer(signer) { 1 } else { 91 };
        if seconds > most {
            errors.invalid(&path, seconds, format!("if provided, maxExpirationSeconds must be <= {most}"));
        }
    }
}

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub fn signing_request(request: &Value, errors: &mut Errors) {
    meta::object_meta(request, false, |_, _| Vec::new(), errors);
    let spec = request.at("spec");
    if let Err(message) = Request::read(spec.text("request")) {
        errors.invalid(&meta::SPEC.child("request"), spec.text("request"), message);
    }
    let (usages, path) = (spec.items("usages"), meta::SPEC.child("usages"));
    if usages.is_empty() {
        errors.required(&path, "");
    }
    for (index, usage) in usages.iter().enumerate() {
        let usage = usage.as_str().unwrap_or("");
        if !USAGES.contains(&usage) {
            errors.not_supported(&path.index(index), usage, &USAGES);
        }
    }
    for (index, usage) in usages.iter().enumerate() {
        if usages[..index].contains(usage) {
            errors.duplicate(&path.index(index), usage.as_str().unwrap_or(""));
        }
    }
    let (name, path) = (spec.text("signerName"), meta::SPEC.child("signerName"));
    if name == "kubernetes.io/legacy-unknown" {
        errors.invalid(&path, name, "the legacy signerName is not allowed via this API version");
    } else {
        signer_name(name, &path, errors);
    }
    if let Some(seconds) = spec.integer("expirationSeconds").filter(|seconds| *seconds < 600) {
        let message = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.invalid(&meta::SPEC.child("expirationSeconds"), seconds, message);
    }
    signing_conditions(request, errors);
}

fn signing_conditions(request: &Value, errors: &mut Errors) {
    let list = meta::STATUS.child("conditions");
    let conditions = request.at("status").items("conditions");
    for (index, condition) in conditions.iter().enumerate() {
        let (path, type_) = (list.index(index), condition.text("type"));
        if type_.is_empty() {
            errors.required(&path.child("type"), "");
        }
        let is_verdict = matches!(type_, "Approved" | "Denied" | "Failed");
        let allowed: &[&str] = if is_verdict { &["True"] } else { &["False", "True", "Unknown"] };
        errors.one_of(condition.text("status"), &path.child("status"), allowed);
        let earlier = &conditions[..index];
        let has = |wanted: &str| earlier.iter().any(|condition| condition.text("type") == wanted);
        if (type_ == "Approved" && has("Denied")) || (type_ == "Denied" && has("Approved")) {
            errors.invalid(&list, type_, "Approved and Denied conditions are mutually exclusive");
        }
        if has(type_) {
            errors.duplicate(&path.child("type"), type_);
        }
    }
}

pub fn signing_request_update(new: &Value, old: &Value, errors: &mut Errors) {
    signing_request(new, errors);
    meta::object_meta_update(new, old, errors);
    let count = |request: &Value, wanted: &str| {
        let conditions = request.at("status").items("conditions").iter();
        conditions.filter(|condition| condition.text("type") == wanted).count()
    };
    for verdict in ["Approved", "Denied", "Failed"] {
        if count(new, verdict) < count(old, verdict) {
            let message = format!("updates may not remove a condition of type {}", go_quote(verdict));
            errors.forbidden(&meta::STATUS.child("conditions"), message);
        }
    }
}

/// Of the status: who signs may neither approve nor deny, and has one try.
pub fn signing_request_status(new: &Value, old: &Value, errors: &mut Errors) {
    signing_request_update(new, old, errors);
    let list = meta::STATUS.child("conditions");
    for verdict in ["Approved", "Denied"] {
        let [before, after] = [old, new].map(|request| {
            let conditions = request.items("status.conditions").iter();
            conditions.filter(|condition| condition.text("type") == verdict).collect::<Vec<_>>()
        });
        if after.len() > before.len() {
            let message = format!("updates may not add a condition of type {}", go_quote(verdict));
            errors.forbidden(&list, message);
        }
    }
    let before = old.text("status.certificate");
    if !before.is_empty() && before != new.text("status.certificate") {
        let message = "updates may not modify existing certificate content";
        errors.forbidden(&meta::STATUS.child("certificate"), message);
    }
}
