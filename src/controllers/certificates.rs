//! The three certificate controllers: one says yes to kubelets, one signs what has been approved, one tidies up.
//!
//! Picture to hold in mind: a passport office. At the first window known faces are waved through, at the second one the
//! stamped form becomes a passport, and in the evening forms that nobody has fetched go into the shredder.
//!
//! After `pkg/controller/certificates` (`approver`, `signer`, `authority`, `cleaner`) and
//! `pkg/apis/certificates/helpers.go`. The cluster's own authority has no key: what stands for its signature under a
//! certificate is made up. With an authority from outside (`--cluster-signing-cert-file` is not given) others sign.

use crate::api::base64::STANDARD;
use crate::api::x509::{self, DNS_NAME, EMAIL_ADDRESS, IP_ADDRESS, Issuer, ORGANIZATION, URI};
use crate::api::{Value, meta, time};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, Interrupt, Selection, Store, request};
use crate::message::rest::Resource;
use crate::sim::random::Random;
use crate::sim::{Duration, Time};

use super::kinds::CERTIFICATE_SIGNING_REQUEST;
use super::root_ca::CERTIFICATE;

const SERVING: &str = "kubernetes.io/kubelet-serving";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const LEGACY: &str = "kubernetes.io/legacy-unknown";

const HOUR_S: i64 = 3600;
/// `--cluster-signing-duration`.
const LONGEST_S: i64 = 365 * 24 * HOUR_S;
const SHORTEST_S: i64 = 600;
/// A certificate is valid from that long before it is signed, for clocks that are slow.
const BACKDATE_S: i64 = 300;
/// What is valid for less is so for the whole of it.
const SHORT_S: i64 = 8 * HOUR_S;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Approving,
    Signing,
    Cleaning,
}

#[derive(Clone)]
pub struct CertificateController {
    part: Part,
    requests: usize,
}

impl CertificateController {
    pub fn new(part: Part) -> CertificateController {
        CertificateController { part, requests: 0 }
    }
}

impl Controller for CertificateController {
    fn name(&self) -> &'static str {
        match self.part {
            Part::Approving => "certificatesigningrequest-approving-controller",
            Part::Signing => "certificatesigningrequest-signing-controller",
            Part::Cleaning => "certificatesigningrequest-cleaner-controller",
        }
    }
    fn user_agent(&self) -> &'static str {
        "certificate-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.requests = informers.add(Selection::all(&CERTIFICATE_SIGNING_REQUEST.resource));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        if self.part != Part::Cleaning {
            keys.add(key_of(&delta.object));
        }
    }
    fn period(&self) -> Option<Duration> {
        (self.part == Part::Cleaning).then_some(Duration::from_secs(HOUR_S as u64))
    }
    fn on_period(&mut self, stores: &[Store], keys: &mut Keys) {
        let now = keys.now();
        for request in stores[self.requests].values().filter(|request| is_waste(request, now)) {
            keys.add(key_of(request));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let kind = &CERTIFICATE_SIGNING_REQUEST;
        let key = call.key().clone();
        let Some(request) = kind.find(call.store(self.requests), &key) else { return Ok(()) };
        let now = call.now();
        match self.part {
            Part::Cleaning => {
                if is_waste(&request, now) {
                    call.delete(&kind.resource, "", &key)?;
                }
            }
            Part::Approving => approve(call, request)?,
            Part::Signing => {
                let issuer = Issuer::read(CERTIFICATE);
                let answer = issuer.and_then(|issuer| {
                    let sign = |signed: &[u8]| Some(signature(signed));
                    answer(&request, now, &issuer, x509::ECDSA_SHA256, &sign)
                });
                if let Some(answer) = answer {
                    call.update_status(&kind.resource, answer)?;
                }
            }
        }
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

/// Kubelets that may are given what they ask for: their first certificate, and the next one in good time.
fn approve(call: &mut Call, mut request: Value) -> Result<(), Interrupt> {
    let is_decided =
        !request.text("status.certificate").is_empty() || is(&request, "Approved") || is(&request, "Denied");
    let Ok(asked) = x509::Request::read(request.text("spec.request")) else { return Ok(()) };
    if is_decided || request.text("spec.signerName") != KUBELET_CLIENT || check(&request, &asked).is_err() {
        return Ok(());
    }
    let is_self = request.text("spec.username") == asked.common_name();
    let reviews = Resource::new("authorization.k8s.io", "v1", "subjectaccessreviews");
    let mut tried = Vec::new();
    for (subresource, words) in [
        ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
        ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
    ] {
        if subresource == "selfnodeclient" && !is_self {
            continue;
        }
        tried.push(subresource);
        let mut review = Value::object();
        for (path, text) in [
            ("apiVersion", "authorization.k8s.io/v1"),
            ("kind", "SubjectAccessReview"),
            ("spec.resourceAttributes.group", "certificates.k8s.io"),
            ("spec.resourceAttributes.resource", "certificatesigningrequests"),
            ("spec.resourceAttributes.subresource", subresource),
            ("spec.resourceAttributes.verb", "create"),
            ("spec.resourceAttributes.version", "*"),
        ] {
            review.set(path, text);
        }
        review.set("spec.user", request.at("spec.username")).set("spec.groups", request.at("spec.groups"));
        let review = call.create(&reviews, "", review)?;
        if review.is_true("status.allowed") {
            judge(&mut request, "Approved", "AutoApproved", words);
            let update = request::update(&CERTIFICATE_SIGNING_REQUEST.resource, request);
            call.request(update.subresource("approval"))?;
            return Ok(());
        }
    }
    let name = call.key();
    let words = [
        "recognized csr \"",
        name,
        "\" as [",
        &tried.join(" "),
        "] but subject access review was not approved",
    ];
    Err(Interrupt::Failed(words.concat().into()))
}

/// What becomes of `request`, if it is approved and for one of the cluster's signers: with a certificate of `issuer`, or
/// with the reason why there is none. `algorithm` is the `AlgorithmIdentifier` of what `sign` returns.
pub fn answer(
    request: &Value,
    now: Time,
    issuer: &Issuer,
    algorithm: &[u8],
    sign: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Value> {
    let signer = request.text("spec.signerName");
    let is_ours = matches!(signer, SERVING | KUBELET_CLIENT | CLIENT | LEGACY);
    if !is_ours
        || !is(request, "Approved")
        || is(request, "Denied")
        || is(request, "Failed")
        || !request.text("status.certificate").is_empty()
    {
        return None;
    }
    let asked = x509::Request::read(request.text("spec.request")).ok()?;
    let mut answered = request.clone();
    if let Err(words) = check(request, &asked) {
        judge(&mut answered, "Failed", "SignerValidationFailure", &words);
        return Some(answered);
    }
    let now_s = time::unix_us(now).div_euclid(1_000_000);
    let wanted_s = request.integer("spec.expirationSeconds").unwrap_or(LONGEST_S);
    let lasts_s = wanted_s.clamp(SHORTEST_S, LONGEST_S);
    let end_s = now_s + if lasts_s < SHORT_S { lasts_s } else { lasts_s - BACKDATE_S };
    if now_s >= issuer.not_after_s {
        return None;
    }
    let mut digits = Random::stream(0, meta::uid(request));
    let mut serial = [0; 16];
    serial[..8].copy_from_slice(&digits.next().to_be_bytes());
    serial[8..].copy_from_slice(&digits.next().to_be_bytes());
    let valid_s = (now_s - BACKDATE_S, end_s.min(issuer.not_after_s));
    let signed =
        x509::to_be_signed(&asked, request.items("spec.usages"), issuer, algorithm, &serial, valid_s);
    let certificate = x509::certificate(&signed, algorithm, &sign(&signed)?);
    answered.set("status.certificate", STANDARD.encode(certificate.as_bytes()));
    Some(answered)
}

/// Writes a condition on a request; when that was, the API server fills in.
fn judge(request: &mut Value, kind: &str, reason: &str, message: &str) {
    let mut condition = Value::object();
    for (field, text) in [("type", kind), ("status", "True"), ("reason", reason), ("message", message)] {
        condition.set(field, text);
    }
    request.at_mut("status.conditions").make_array().push(condition);
}

/// What stands where the authority's signature would.
fn signature(signed: &[u8]) -> Vec<u8> {
    let mut digits = Random::stream(0, &String::from_utf8_lossy(signed));
    x509::ecdsa_signature([(); 2].map(|()| {
        let mut number = [0; 32];
        for part in number.chunks_mut(8) {
            part.copy_from_slice(&digits.next().to_be_bytes());
        }
        number
    }))
}

/// Whether the signer makes such certificates; if not, in upstream's words.
fn check(request: &Value, asked: &x509::Request) -> Result<(), String> {
    let usages = request.items("spec.usages");
    let has = |wanted: &str| usages.iter().any(|usage| usage.as_str() == Some(wanted));
    let signer = request.text("spec.signerName");
    if signer == CLIENT {
        for usage in usages.iter().filter_map(Value::as_str) {
            if !matches!(usage, "digital signature" | "key encipherment" | "client auth") {
                return Err(["invalid usage for client certificate: ", usage].concat());
            }
        }
        if !has("client auth") {
            return Err("missing required usage for client certificate: client auth".into());
        }
        return Ok(());
    }
    let (role, required) = match signer {
        SERVING => ("server auth", "[digital signature key encipherment server auth]"),
        KUBELET_CLIENT => ("client auth", "[client auth digital signature key encipherment]"),
        _ => return Ok(()),
    };
    let is_serving = signer == SERVING;
    let any = |kind: u8| !asked.names(kind).is_empty();
    let count = usages.len() - usize::from(has("key encipherment"));
    let has_usages = has("digital signature") && has(role) && count == 2;
    let is_node = asked.common_name().starts_with("system:node:");
    let words = match () {
        () if asked.subject(ORGANIZATION) != ["system:nodes"] => "subject organization is not system:nodes",
        () if is_serving && !any(DNS_NAME) && !any(IP_ADDRESS) => "DNS or IP subjectAltName is required",
        () if !is_serving && any(DNS_NAME) => "DNS subjectAltNames are not allowed",
        () if any(EMAIL_ADDRESS) => "Email subjectAltNames are not allowed",
        () if !is_serving && any(IP_ADDRESS) => "IP subjectAltNames are not allowed",
        () if any(URI) => "URI subjectAltNames are not allowed",
        () if is_serving && !has_usages => return Err(["usages did not match ", required].concat()),
        () if !is_node => "subject common name does not begin with system:node:",
        () if !has_usages => return Err(["usages did not match ", required].concat()),
        () => return Ok(()),
    };
    Err(words.into())
}

fn is(request: &Value, kind: &str) -> bool {
    meta::is_condition_true(request, kind)
}

/// Whether nobody will want it any more: decided an hour ago, waiting for a day, or out of date.
fn is_waste(request: &Value, now: Time) -> bool {
    let now_s = time::unix_us(now) / 1_000_000;
    let is_older = |since: &str, hours: i64| {
        time::parse_rfc3339(since).is_some_and(|since_us| now_s - since_us / 1_000_000 > hours * HOUR_S)
    };
    let conditions = request.items("status.conditions");
    if conditions.is_empty() {
        return is_older(meta::creation_timestamp(request), 24);
    }
    let certificate = request.text("status.certificate");
    conditions.iter().any(|condition| {
        let since = condition.text("lastUpdateTime");
        match condition.text("type") {
            "Approved" if certificate.is_empty() => is_older(since, 24),
            "Approved" => {
                let text = STANDARD.decode(certificate).unwrap_or_default();
                let end_s = x509::not_after_s(&String::from_utf8_lossy(&text));
                is_older(since, 1) || end_s.is_some_and(|end_s| now_s > end_s)
            }
            "Denied" | "Failed" => is_older(since, 1),
            _ => false,
        }
    })
}
