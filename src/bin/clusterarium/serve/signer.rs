//! Signs approved requests for certificates with the authority's key, in place of the controller manager.
//!
//! Picture to hold in mind: a notary across the street. The office inside has no seal; he looks through the window which
//! forms are stamped, seals copies, and hands them in like anybody else. What he handed in is on record: to see the same
//! run again he is not needed.

use std::collections::BTreeMap;

use clusterarium::api::base64::STANDARD;
use clusterarium::api::{Value, meta, pem, x509};
use clusterarium::cluster::Cluster;
use clusterarium::command::Command;
use clusterarium::controllers::certificates;
use clusterarium::message::http::Request;
use clusterarium::sim::{Duration, History};
use rcgen::{Issuer, KeyPair, SigningKey};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// `AlgorithmIdentifier` of what a key signs with.
const ALGORITHMS: [(&rcgen::SignatureAlgorithm, &[u8]); 4] = [
    (&rcgen::PKCS_ECDSA_P256_SHA256, x509::ECDSA_SHA256),
    (
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
    ),
    (&rcgen::PKCS_ED25519, &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70]),
    (
        &rcgen::PKCS_RSA_SHA256,
        &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00],
    ),
];

/// The account under which the controller manager would do it.
const ACCOUNT: &str = "system:serviceaccount:kube-system:certificate-controller";
const GROUPS: [&str; 3] =
    ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];

pub struct Signer {
    authority: x509::Issuer,
    issuer: Issuer<'static, KeyPair>,
    algorithm: &'static [u8],
    /// The version at which a request was answered last, by UID.
    answered: BTreeMap<String, u64>,
    /// The listener counts from below.
    next_exchange: u64,
}

impl Signer {
    /// # Errors
    /// In words, when the certificate cannot be read, or its key signs in an unknown way.
    pub fn new(certificate: &str, issuer: Issuer<'static, KeyPair>) -> Result<Signer, String> {
        let authority = x509::Issuer::read(certificate).ok_or("ca.crt is no certificate")?;
        let algorithm = ALGORITHMS.iter().find(|(known, _)| *known == issuer.key().algorithm());
        let (_, algorithm) = algorithm.ok_or("ca.key is of a kind that does not sign here")?;
        Ok(Signer { authority, issuer, algorithm, answered: BTreeMap::new(), next_exchange: u64::MAX })
    }

    /// Looks for requests that are approved and have no certificate yet; what is to be done about them.
    pub fn look(&mut self, history: &History<Cluster>) -> Vec<Command> {
        let Some(server) = history.world().api_server() else { return Vec::new() };
        let requests: Vec<&Value> =
            server.cached("certificates.k8s.io", "certificatesigningrequests").collect();
        self.answered.retain(|uid, _| requests.iter().any(|request| meta::uid(request) == uid));
        let now = super::simulation::instant_now(Duration::ZERO);
        let mut commands = Vec::new();
        for request in requests {
            let (uid, version) = (meta::uid(request).to_owned(), meta::resource_version(request));
            if self.answered.get(&uid) == Some(&version) {
                continue;
            }
            let sign =
                |signed: &[u8]| is_own_key(request).then(|| self.issuer.key().sign(signed).ok()).flatten();
            if let Some(answer) = certificates::answer(request, now, &self.authority, self.algorithm, &sign) {
                commands.push(self.hand_in(&answer));
            }
            self.answered.insert(uid, version);
        }
        commands
    }

    fn hand_in(&mut self, answer: &Value) -> Command {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![
            header("content-type", "application/json"),
            header(
                "user-agent",
                "kube-controller-manager/v1.36.0 (linux/amd64) clusterarium/certificate-controller",
            ),
            header("x-remote-user", ACCOUNT),
        ];
        headers.extend(GROUPS.map(|group| header("x-remote-group", group)));
        let name = meta::name(answer);
        let request = Request {
            method: "PUT".into(),
            target: format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/status"),
            headers,
            body: answer.to_string(),
        };
        self.next_exchange -= 1;
        Command::Http { exchange: self.next_exchange, request }
    }
}

/// Whether who asks has the key that he wants a certificate for: the request's signature is by it.
fn is_own_key(request: &Value) -> bool {
    let text = STANDARD.decode(request.text("spec.request")).unwrap_or_default();
    let block = pem::blocks(&String::from_utf8_lossy(&text)).into_iter().next();
    block.is_some_and(|(_, der)| {
        X509CertificationRequest::from_der(&der).is_ok_and(|(_, request)| request.verify_signature().is_ok())
    })
}
