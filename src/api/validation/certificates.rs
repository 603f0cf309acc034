//! Signer names, and the projections of trust bundles and pod certificates.
//!
//! Picture to hold in mind: whose seal is on the letter.
//!
//! Follows `pkg/apis/core/validation/names.go` and the projections of `validateProjectionSources` in
//! `pkg/apis/core/validation/validation.go`.

use super::errors::Errors;
use super::format::{dns1123_label, dns1123_subdomain, name_is_subdomain};
use super::{go, meta, path};
use crate::api::field::{FieldPath, go_quote};
use crate::api::value::Value;

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
