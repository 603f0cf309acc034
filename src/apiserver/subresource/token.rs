//! `serviceaccounts/token`: a signed word with which a pod says who it is.
//!
//! Picture to hold in mind: a day pass with a name, a purpose and a time of expiry.
//!
//! Follows `pkg/registry/core/serviceaccount/storage/token.go`. The token has the form of a JSON Web Token; its
//! signature is a checksum, since nobody in the simulation forges one.

use std::sync::Arc;

use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::{GroupKind, GroupResource};
use crate::api::status::Status;
use crate::api::{Value, meta, time};
use crate::language::Context;
use crate::{array, object};

use crate::apiserver::ApiServer;
use crate::apiserver::exchange::{Answer, Exchange};
use crate::apiserver::read::base64_url;

const DEFAULT_SECONDS: i64 = 3600;
/// What pods are projected with is extended to a year, and warned about after this.
const PROJECTED_SECONDS: i64 = 3607;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

impl ApiServer {
    pub(super) fn create_token(
        &mut self,
        exchange: &mut Exchange,
        context: &mut Context,
    ) -> Result<Answer, Status> {
        let request = Arc::clone(&exchange.request);
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
        if reference.text("kind") == "Pod" {
            let pod_name = reference.text("name");
            let pod_key = format!("{}/{pod_name}", request.namespace);
            let pod = self
                .shelf(self.catalog.shelves.pods, &pod_key)
                .ok_or_else(|| Status::not_found(&GroupResource::new("", "pods"), pod_name))?;
            let uid = reference.text("uid");
            if !uid.is_empty() && uid != meta::uid(pod) {
                let message = format!(
                    "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
                );
                return Err(Status::conflict(&GroupResource::new("", "pods"), pod_name, message));
            }
            claims.set("pod", object! { "name" => pod_name, "uid" => meta::uid(pod) });
            let node = pod.text("spec.nodeName");
            if !node.is_empty() {
                claims.set("node", object! { "name" => node });
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
        let head = base64_url(br#"{"alg":"RS256","kid":"clusterarium"}"#);
        let body = base64_url(payload.to_string().as_bytes());
        let signature = base64_url(&context.random().next().to_be_bytes());
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
                "token" => format!("{head}.{body}.{signature}"),
                "expirationTimestamp" => time::rfc3339_of(issued + seconds),
            },
        };
        if reference.is_null() {
            answer.set("spec.boundObjectRef", Value::Null);
        }
        Ok(Answer::new(201, answer))
    }
}
