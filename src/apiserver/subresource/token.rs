//! `serviceaccounts/token`: a signed word with which a pod says who it is.
//!
//! Picture to hold in mind: a day pass with a name, a purpose and a time of expiry.
//!
//! Follows `pkg/registry/core/serviceaccount/storage/token.go`. The token has the form of a JSON Web Token; its
//! signature is a checksum: it tells a damaged token, but holds off nobody who is bent on forging one.

use std::sync::Arc;

use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::{GroupKind, GroupResource};
use crate::api::status::Status;
use crate::api::{Text, Value, meta, time};
use crate::language::Context;
use crate::message::rest::User;
use crate::sim::Time;
use crate::{array, object};

use crate::api::base64::URL;
use crate::apiserver::ApiServer;
use crate::apiserver::admission::{Attributes, Operation};
use crate::apiserver::catalog::Route;
use crate::apiserver::exchange::{Answer, Exchange};

const DEFAULT_SECONDS: i64 = 3600;
/// What pods are projected with is extended to a year, and warned about after this.
const PROJECTED_SECONDS: i64 = 3607;
pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// `{"alg":"RS256","kid":"clusterarium"}`: what every token begins with.
const HEAD: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNsdXN0ZXJhcml1bSJ9";

/// The checksum that stands where a signature would.
fn signature(head: &str, body: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in head.bytes().chain([b'.']).chain(body.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
    }
    URL.encode(&hash.to_be_bytes())
}

impl ApiServer {
    /// Whom a bearer token speaks for: a service account that is still there, until the token expires and, if it was
    /// given to a pod, while that is there. Follows `pkg/serviceaccount/claims.go` and `pkg/serviceaccount/jwt.go`.
    pub(in crate::apiserver) fn bearer(&self, token: &str, now: Time) -> Option<User> {
        let mut parts = token.split('.');
        let (head, body, own_signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || signature(head, body) != own_signature {
            return None;
        }
        let claims: Value = serde_json::from_slice(&URL.decode(body).ok()?).ok()?;
        let until_s = claims.integer("exp")?;
        if claims.text("iss") != ISSUER
            || time::unix_us(now) >= until_s.checked_mul(1_000_000)?
            || !claims.items("aud").iter().any(|audience| audience.as_str() == Some(ISSUER))
        {
            return None;
        }
        // The dot in the name of the claims is no path.
        let own = claims.get("kubernetes.io")?;
        let (namespace, name) = (own.text("namespace"), own.text("serviceaccount.name"));
        let account = self.shelf(self.catalog.shelves.service_accounts, &format!("{namespace}/{name}"))?;
        if meta::uid(account) != own.text("serviceaccount.uid") {
            return None;
        }
        for field in ["pod", "secret", "node"] {
            // The node of a pod may be gone before it.
            if !own.has(field) || (field == "node" && own.has("pod")) {
                continue;
            }
            let bound = own.at(field);
            if meta::uid(self.bound_to(field, namespace, bound.text("name"))?) != bound.text("uid") {
                return None;
            }
        }
        let mut extra = object! {};
        let mut tell = |key: &str, text: &str| {
            if !text.is_empty() {
                let key = ["authentication.kubernetes.io/", key].concat();
                extra.make_object().insert(key, array![text]);
            }
        };
        tell("credential-id", &["JTI=", claims.text("jti")].concat());
        for field in ["node", "pod"] {
            let bound = own.at(field);
            tell(&[field, "-name"].concat(), bound.text("name"));
            tell(&[field, "-uid"].concat(), bound.text("uid"));
        }
        Some(User { uid: Text::from(meta::uid(account)), extra, ..User::service_account(namespace, name) })
    }

    /// What a token is bound to: the claim's name is the kind's.
    fn bound_to(&self, field: &str, namespace: &str, name: &str) -> Option<&Value> {
        let key = if field == "node" { name.to_owned() } else { [namespace, "/", name].concat() };
        let route = self.catalog.find("", &[field, "s"].concat())?;
        self.shelf(route.cache?, &key)
    }

    pub(super) fn create_token(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        context: &mut Context,
    ) -> Result<Answer, Status> {
        let request = Arc::clone(&exchange.request);
        let attributes = Attributes::new(Operation::Create, &route.info, exchange);
        self.restrict_node(&attributes, &request.body, None)?;
        let key = format!("{}/{}", request.namespace, request.name);
        let account = self
            .shelf(self.catalog.shelves.service_accounts, &key)
            .ok_or_else(|| Status::not_found(&GroupResource::new("", "serviceaccounts"), &request.name))?;
        let spec = request.body.at("spec");
        let seconds = spec.integer("expirationSeconds").unwrap_or(DEFAULT_SECONDS);
        let path = FieldPath::new("spec");
        let mut errors = Vec::new();
        if seconds < 600 {
            let detail = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
        } else if seconds > 1 << 32 {
            let detail = "may not specify a duration larger than 2^32 seconds";
            errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
        }
        if !errors.is_empty() {
            let kind = GroupKind::new("authentication.k8s.io", "TokenRequest");
            return Err(Status::invalid(&kind, "", &errors));
        }
        let reference = spec.at("boundObjectRef");
        let mut claims = object! {
            "namespace" => &request.namespace,
            "serviceaccount" => object! { "name" => &request.name, "uid" => meta::uid(account) },
        };
        if !reference.is_null() {
            let (kind, bound_name) = (reference.text("kind"), reference.text("name"));
            let field = match (reference.text("apiVersion"), kind) {
                ("v1", "Pod") => "pod",
                ("v1", "Node") => "node",
                ("v1", "Secret") => "secret",
                (version, kind) => {
                    let version = if version.contains('/') { version.into() } else { format!("/{version}") };
                    let words = format!("cannot bind token to object of type {version}, Kind={kind}");
                    return Err(Status::bad_request(words));
                }
            };
            let plural = [field, "s"].concat();
            let bound = self
                .bound_to(field, &request.namespace, bound_name)
                .ok_or_else(|| Status::not_found(&GroupResource::new("", plural), bound_name))?;
            if kind == "Pod" && bound.text("spec.serviceAccountName") != request.name {
                let words = format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    request.name
                );
                return Err(Status::bad_request(words));
            }
            let uid = reference.text("uid");
            if !uid.is_empty() && uid != meta::uid(bound) {
                let message = format!(
                    "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
                );
                return Err(Status::conflict(&GroupResource::new("", kind), bound_name, message));
            }
            claims.set(field, object! { "name" => bound_name, "uid" => meta::uid(bound) });
            let node = bound.text("spec.nodeName");
            if kind == "Pod" && !node.is_empty() {
                let mut claim = object! { "name" => node };
                if let Some(node) = self.bound_to("node", "", node) {
                    claim.set("uid", meta::uid(node));
                }
                claims.set("node", claim);
            }
        }
        let issued = time::unix_us(context.now()) / 1_000_000;
        let lasts = if seconds == PROJECTED_SECONDS { 365 * 86_400 } else { seconds };
        let audiences = match spec.items("audiences") {
            [] => array![ISSUER],
            audiences => Value::array(audiences.iter().cloned()),
        };
        let payload = object! {
            "aud" => &audiences,
            "exp" => issued + lasts,
            "iat" => issued,
            "iss" => ISSUER,
            "jti" => context.random().uuid(),
            "kubernetes.io" => claims,
            "nbf" => issued,
            "sub" => format!("system:serviceaccount:{}:{}", request.namespace, request.name),
        };
        let body = URL.encode(payload.to_string().as_bytes());
        let signature = signature(HEAD, &body);
        let mut answer = object! {
            "kind" => "TokenRequest",
            "apiVersion" => "authentication.k8s.io/v1",
            "metadata" => object! {
                "name" => &request.name,
                "namespace" => &request.namespace,
                "creationTimestamp" => time::rfc3339(context.now()),
            },
            "spec" => object! {
                "audiences" => audiences,
                "expirationSeconds" => seconds,
                "boundObjectRef" => reference,
            },
            "status" => object! {
                "token" => [HEAD, ".", &body, ".", &signature].concat(),
                "expirationTimestamp" => time::rfc3339_of(issued + seconds),
            },
        };
        if reference.is_null() {
            answer.set("spec.boundObjectRef", Value::Null);
        }
        Ok(Answer::new(201, answer))
    }
}
