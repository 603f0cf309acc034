//! `kubectl certificate`: says yes or no to a request for a certificate.
//!
//! Picture to hold in mind: two rubber stamps; once a form is stamped, the other stamp stays in its stand.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/certificates/certificates.go`.

use crate::api::{Text, time};
use crate::arrange::Gather;
use crate::client::request;
use crate::object;

use super::builder::Rules;
use super::change::for_each;
use super::failure::{Outcome, fail};
use super::session::Session;

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "filename",
    "force",
    "kustomize",
    "output",
    "recursive",
    "show-managed-fields",
    "template",
];

pub fn judge(session: &mut Session, approves: bool) -> Outcome {
    let names = session.operands().to_vec();
    if names.is_empty() && !session.has_files() {
        return fail("one or more CSRs must be specified as <name> or -f <filename>");
    }
    let (kind, other, verb, reason) = match approves {
        true => ("Approved", "Denied", "approve", "KubectlApprove"),
        false => ("Denied", "Approved", "deny", "KubectlDeny"),
    };
    let word = kind.to_ascii_lowercase();
    let format = session.format(false)?;
    let mut operands = names;
    if !session.has_files() {
        operands.insert(0, "certificatesigningrequests".into());
    }
    let force = session.flags.switch("force");
    let count = for_each(session, &operands, Rules::default(), |session, info| {
        let mut request = info.object.clone();
        let conditions = request.items("status.conditions");
        let has = |wanted: &str| conditions.iter().any(|condition| condition.text("type") == wanted);
        if has(other) {
            return fail(format!("certificate signing request {:?} is already {other}", info.name));
        }
        if !has(kind) || force {
            let now: Text = time::rfc3339(session.now());
            let condition = object! {
                "lastTransitionTime" => now.clone(), "lastUpdateTime" => now,
                "message" => format!("This CSR was {word} by kubectl certificate {verb}."), "reason" => reason,
                "status" => "True", "type" => kind,
            };
            let mut kept: Vec<_> = conditions.iter().filter(|old| old.text("type") != kind).cloned().gather();
            kept.push(condition);
            request.set("status.conditions", kept);
            let update = request::update(&info.mapping.resource(), request).subresource("approval");
            request = session.send(update)?;
        }
        session.print_change(&format, &request, &word)
    })?;
    if count == 0 {
        session.println("No resources found");
    }
    Ok(())
}
