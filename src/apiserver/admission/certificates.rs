//! Who may say yes to a request for a certificate, who may sign it, and whom it may never name.
//!
//! Picture to hold in mind: two seals in two locked drawers. For each authority it is written down who holds which key.
//!
//! Follows `plugin/pkg/admission/certificates/{approval,signing,subjectrestriction,ctbattest}`.

use crate::api::status::Status;
use crate::api::x509::{ORGANIZATION, Request};
use crate::api::{Value, validation};

use super::{Attributes, Operation};
use crate::apiserver::ApiServer;
use crate::apiserver::access::{MASTERS, Question};
use crate::apiserver::rbac::Verdict;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

impl ApiServer {
    /// CertificateApproval, CertificateSigning and CertificateSubjectRestriction; ClusterTrustBundleAttest looks at a kind
    /// that is not served by default.
    pub(super) fn check_certificates(
        &mut self,
        attributes: &Attributes,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if attributes.info.group != "certificates.k8s.io" {
            return Ok(());
        }
        let old = old.unwrap_or(&Value::Null);
        let signer = old.text("spec.signerName");
        let exchange = attributes.exchange;
        let (verb, done) = match attributes.subresource.as_str() {
            "approval" => {
                self.see(exchange, "CertificateApproval", object);
                ("approve", "approve")
            }
            "status"
                if ["status.certificate", "status.conditions"]
                    .iter()
                    .any(|field| !validation::semantic::equal(object.at(field), old.at(field))) =>
            {
                self.see(exchange, "CertificateSigning", object);
                ("sign", "sign")
            }
            _ => {
                self.see(exchange, "CertificateSubjectRestriction", object);
                let is_client = object.text("spec.signerName") == CLIENT_SIGNER;
                if attributes.operation == Operation::Create && is_client {
                    return restrict(attributes, object);
                }
                return Ok(());
            }
        };
        let domain = [signer.split('/').next().unwrap_or(""), "/*"].concat();
        let may = [signer, &domain].into_iter().any(|name| {
            let question = Question::about(&attributes.user, verb, "certificates.k8s.io", "signers");
            matches!(self.judge(&Question { name, ..question }), Verdict::Allowed { .. })
        });
        if may {
            return Ok(());
        }
        let words = ["user not permitted to ", done, " requests with signerName \"", signer, "\""].concat();
        Err(attributes.forbidden(object, words))
    }
}

/// Nobody becomes a master by a certificate of this signer.
fn restrict(attributes: &Attributes, object: &Value) -> Result<(), Status> {
    match Request::read(object.text("spec.request")) {
        Err(problem) => Err(attributes.forbidden(object, ["failed to parse CSR: ", problem].concat())),
        Ok(request) if request.subject(ORGANIZATION).contains(&MASTERS) => {
            let words = ["use of ", CLIENT_SIGNER, " signer with system:masters group is not allowed"];
            Err(attributes.forbidden(object, words.concat()))
        }
        Ok(_) => Ok(()),
    }
}
