//! Papers: certificates that `kubeadm init` issues for etcd, and what a handshake makes of them.
//!
//! Picture to hold in mind: two people at a door who show each other their passports. Each knows whose stamp it trusts.
//! The passports here are of cardboard (nothing is signed), but a wrong or a missing one is refused in the words of Go's
//! `crypto/tls`.

use super::{Order, Outcome, exit, fail};
use crate::api::pem;
use crate::client::Listener;
use crate::shell::Cli;

/// Who issues the certificates of etcd in a cluster of kubeadm's.
const AUTHORITY: &str = "etcd-ca";

/// The files of `/etc/kubernetes/pki/etcd` on the control-plane node `node`.
pub fn kubeadm_files(node: &str) -> Vec<(&'static str, String)> {
    let mut files = vec![("ca.crt", certificate(AUTHORITY, AUTHORITY)), ("ca.key", key(AUTHORITY))];
    for (certificate_file, key_file, subject) in [
        ("healthcheck-client.crt", "healthcheck-client.key", "kube-etcd-healthcheck-client"),
        ("peer.crt", "peer.key", node),
        ("server.crt", "server.key", node),
    ] {
        files.push((certificate_file, certificate(subject, AUTHORITY)));
        files.push((key_file, key(subject)));
    }
    files
}
/// The client certificate of the API server: `/etc/kubernetes/pki/apiserver-etcd-client.*`.
pub fn apiserver_files() -> Vec<(&'static str, String)> {
    let subject = "kube-apiserver-etcd-client";
    vec![
        ("apiserver-etcd-client.crt", certificate(subject, AUTHORITY)),
        ("apiserver-etcd-client.key", key(subject)),
    ]
}

fn certificate(subject: &str, issuer: &str) -> String {
    let content = format!("simulated certificate\nsubject: CN={subject}\nissuer: CN={issuer}\n");
    pem::write("CERTIFICATE", content.as_bytes())
}
fn key(subject: &str) -> String {
    pem::write("RSA PRIVATE KEY", format!("simulated private key\nsubject: CN={subject}\n").as_bytes())
}

/// What stands in a file of one block.
fn content(text: &str, kind: &str) -> Option<String> {
    let (_, bytes) = pem::blocks(text).into_iter().find(|(found, _)| found == kind)?;
    String::from_utf8(bytes).ok()
}
fn field(content: &str, name: &str) -> Option<String> {
    let line = content.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": CN="));
    line.map(String::from)
}

/// How a client speaks with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// It speaks TLS where the endpoint does not say.
    is_tls: bool,
    /// Whose stamp it trusts.
    trusted: Vec<String>,
    checks: bool,
    /// Who issued its own certificate.
    issuer: Option<String>,
}

impl Security {
    /// Reads the files that the flags name.
    ///
    /// # Errors
    /// In the words of `transport.TLSInfo.ClientConfig`.
    pub fn read(cli: &mut Cli, order: &Order) -> Outcome<Security> {
        let text = |name: &str| order.flags.text(name).to_string();
        for name in ["cert", "key", "cacert"] {
            if order.flags.is_given(name) && text(name).is_empty() {
                return fail(exit::BAD_ARGS, format!("empty string is passed to --{name} option"));
            }
        }
        let (cert, key, cacert) = (text("cert"), text("key"), text("cacert"));
        let mut security = Security {
            is_tls: [&cert, &key, &cacert].iter().any(|file| !file.is_empty())
                || !order.flags.switch("insecure-transport")
                || order.flags.switch("insecure-skip-tls-verify"),
            trusted: Vec::new(),
            checks: !order.flags.switch("insecure-skip-tls-verify"),
            issuer: None,
        };
        if cert.is_empty() != key.is_empty() {
            let words = format!("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]");
            return fail(exit::BAD_ARGS, words);
        }
        if !cert.is_empty() {
            let (certificate, private) = (read(cli, &cert)?, read(cli, &key)?);
            let Some(certificate) = content(&certificate, "CERTIFICATE") else {
                return fail(exit::BAD_ARGS, "tls: failed to find any PEM data in certificate input");
            };
            let Some(private) = content(&private, "RSA PRIVATE KEY") else {
                return fail(exit::BAD_ARGS, "tls: failed to find any PEM data in key input");
            };
            if field(&certificate, "subject") != field(&private, "subject") {
                return fail(exit::BAD_ARGS, "tls: private key does not match public key");
            }
            security.issuer = field(&certificate, "issuer");
        }
        if !cacert.is_empty() {
            let authority = read(cli, &cacert)?;
            security
                .trusted
                .extend(content(&authority, "CERTIFICATE").and_then(|text| field(&text, "subject")));
        }
        Ok(security)
    }

    /// Why no connection comes about with a server behind `endpoint`; `None`: it does.
    pub fn refusal(&self, endpoint: &str, listener: &Listener) -> Option<String> {
        let is_tls = match endpoint.split_once("://") {
            Some((scheme, _)) => matches!(scheme, "https" | "unixs"),
            None => self.is_tls,
        };
        let handshake = |why: &str| Some(format!("transport: authentication handshake failed: {why}"));
        let preface = |why: &str| Some(format!("error reading server preface: {why}"));
        match (is_tls, listener.is_secure) {
            (false, false) => None,
            (false, true) => preface("EOF"),
            (true, false) => handshake("tls: first record does not look like a TLS handshake"),
            (true, true) if self.checks && !self.trusted.iter().any(|name| name == AUTHORITY) => {
                handshake("tls: failed to verify certificate: x509: certificate signed by unknown authority")
            }
            (true, true) => match self.issuer.as_deref() {
                Some(AUTHORITY) => None,
                Some(_) => preface("remote error: tls: unknown certificate authority"),
                None => preface("remote error: tls: certificate required"),
            },
        }
    }
}

fn read(cli: &mut Cli, path: &str) -> Outcome<String> {
    match cli.read_file(path) {
        Ok(text) => Ok(text.to_string()),
        Err(error) => fail(exit::BAD_ARGS, format!("open {path}: {}", error.message().to_ascii_lowercase())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::ActorId;

    #[test]
    fn a_door_opens_for_the_right_papers_only() {
        let secure = Listener { actor: ActorId(1), is_secure: true };
        let plain = Listener { actor: ActorId(1), is_secure: false };
        let full = Security {
            is_tls: true,
            trusted: vec![AUTHORITY.into()],
            checks: true,
            issuer: Some(AUTHORITY.into()),
        };
        let none = Security { is_tls: false, trusted: vec![], checks: true, issuer: None };
        let no_certificate = Security { issuer: None, ..full.clone() };
        let foreign = Security { issuer: Some("kubernetes".into()), ..full.clone() };
        for (security, endpoint, listener, expected) in [
            (&full, "127.0.0.1:2379", &secure, ""),
            (&full, "https://127.0.0.1:2379", &secure, ""),
            (&full, "http://127.0.0.1:2379", &secure, "EOF"),
            (&none, "127.0.0.1:2379", &secure, "EOF"),
            (&none, "127.0.0.1:2379", &plain, ""),
            (&none, "https://127.0.0.1:2379", &secure, "unknown authority"),
            (&no_certificate, "https://127.0.0.1:2379", &secure, "certificate required"),
            (&foreign, "https://127.0.0.1:2379", &secure, "unknown certificate authority"),
            (&full, "127.0.0.1:2379", &plain, "first record does not look like a TLS handshake"),
        ] {
            let why = security.refusal(endpoint, listener).unwrap_or_default();
            assert!(why.ends_with(expected) && why.is_empty() == expected.is_empty(), "{endpoint}: {why}");
        }
    }

    #[test]
    fn papers_say_who_they_are() {
        for (name, text) in kubeadm_files("cp-1") {
            let kind = if name.ends_with("crt") { "CERTIFICATE" } else { "RSA PRIVATE KEY" };
            let subject = content(&text, kind).and_then(|text| field(&text, "subject"));
            assert!(subject.is_some_and(|subject| !subject.is_empty()), "{name}");
        }
    }
}
