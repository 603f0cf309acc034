//! HTTPS: the cluster's certificate authority, the server's certificate, and who a client's certificate says it is.
//!
//! Picture to hold in mind: a passport office and a border guard. The office (`ca.crt` and `ca.key` of a directory, as
//! kubeadm has them) signs the server's papers and the administrator's; the guard lets everybody come up to the counter,
//! and there reads from a passport of that office who its bearer is. A forged passport is worse than none.
//!
//! Follows `k8s.io/apiserver/pkg/authentication/request/x509` (common name: user; organizations: groups) and kubeadm's
//! `phases/certs`. As there, a bad certificate does not break the connection: the request is told 401.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::signer::Signer;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Who stands at the counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Plain HTTP: the administrator, as with `kubectl proxy`.
    Administrator,
    /// HTTPS without a certificate: whoever the request's token says, else nobody.
    Nobody,
    /// By a certificate of the cluster's authority.
    Holder { name: String, groups: Vec<String> },
    /// With a certificate that is not valid here.
    Forger,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// What HTTPS needs.
pub struct Office {
    /// The authority's certificate, as PEM.
    pub authority: String,
    /// The papers of the administrator.
    pub administrator: Pair,
    pub guard: Guard,
    pub signer: Signer,
}

/// What listens with.
#[derive(Clone)]
pub struct Guard {
    pub config: Arc<ServerConfig>,
    /// Whose signatures count.
    authorities: Arc<[CertificateDer<'static>]>,
}

/// Days before now from which a certificate is valid, for clocks that are slow, and after it until which it is.
const VALID_DAYS: (i64, i64) = (1, 365);

/// Names and addresses by which the server is called in its own cluster.
const SERVER_NAMES: [&str; 8] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "::1",
    "10.96.0.1",
];

/// Opens the office of `directory`, which is made with a new authority if there is none. The administrator belongs to
/// `group`.
///
/// # Errors
/// In words, when half of an authority is there, or one that cannot be read, or nothing can be written.
pub fn open(directory: &Path, address: SocketAddr, group: &str) -> Result<Office, String> {
    let (authority, issuer) = authority(directory)?;
    let mut names: Vec<String> = SERVER_NAMES.iter().map(|name| (*name).into()).collect();
    if !names.contains(&address.ip().to_string()) {
        names.push(address.ip().to_string());
    }
    let server = papers(&issuer, names, ("kube-apiserver", ""), ExtendedKeyUsagePurpose::ServerAuth)?;
    let administrator =
        papers(&issuer, Vec::new(), ("kubernetes-admin", group), ExtendedKeyUsagePurpose::ClientAuth)?;
    let guard = Guard::new(&authority, &server)?;
    let signer = Signer::new(&authority, issuer)?;
    Ok(Office { authority, administrator, guard, signer })
}

/// The authority's certificate and what signs in its name.
fn authority(directory: &Path) -> Result<(String, Issuer<'static, KeyPair>), String> {
    let paths = ["ca.crt", "ca.key"].map(|name| directory.join(name));
    let read = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    let unusable = |path: &Path, error: rcgen::Error| format!("{} cannot be used: {error}", path.display());
    match (read(&paths[0])?, read(&paths[1])?) {
        (Some(certificate), Some(key)) => {
            let key = KeyPair::from_pem(&key).map_err(|error| unusable(&paths[1], error))?;
            let issuer =
                Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| unusable(&paths[0], error))?;
            Ok((certificate, issuer))
        }
        (None, None) => {
            let pair = new_authority().map_err(|error| error.to_string())?;
            fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
            super::secret_file::write(&paths[1], &pair.1.key().serialize_pem())?;
            fs::write(&paths[0], &pair.0).map_err(|error| format!("{}: {error}", paths[0].display()))?;
            Ok(pair)
        }
        (Some(_), None) => Err(missing(&paths[1], &paths[0])),
        (None, Some(_)) => Err(missing(&paths[0], &paths[1])),
    }
}

fn missing(path: &Path, other: &Path) -> String {
    format!("{} is missing beside {}: put both there, or neither", path.display(), other.display())
}

fn new_authority() -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = parameters(Vec::new(), ("kubernetes", ""))?;
    // kubeadm's holds for ten years.
    parameters.not_after = parameters.not_before + time::Duration::days(3650);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    let certificate = parameters.self_signed(&key)?.pem();
    Ok((certificate, Issuer::new(parameters, key)))
}

/// Papers for somebody: common name and, unless empty, organization.
fn papers(
    issuer: &Issuer<'static, KeyPair>,
    names: Vec<String>,
    subject: (&str, &str),
    usage: ExtendedKeyUsagePurpose,
) -> Result<Pair, String> {
    let issue = || {
        let key = KeyPair::generate()?;
        let mut parameters = parameters(names, subject)?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        parameters.extended_key_usages = vec![usage];
        let certificate = parameters.signed_by(&key, issuer)?.pem();
        Ok::<_, rcgen::Error>(Pair { certificate, key: key.serialize_pem() })
    };
    issue().map_err(|error| format!("no certificate can be made: {error}"))
}

fn parameters(
    names: Vec<String>,
    (name, organization): (&str, &str),
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    if !organization.is_empty() {
        parameters.distinguished_name.push(DnType::OrganizationName, organization);
    }
    let now = time::OffsetDateTime::now_utc();
    parameters.not_before = now - time::Duration::days(VALID_DAYS.0);
    parameters.not_after = now + time::Duration::days(VALID_DAYS.1);
    Ok(parameters)
}

impl Guard {
    fn new(authority: &str, server: &Pair) -> Result<Guard, String> {
        let authorities: Vec<_> = CertificateDer::pem_slice_iter(authority.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("ca.crt cannot be read: {error}"))?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| format!("ca.crt is no authority: {error}"))?;
        }
        let config =
            server_config(&roots, server).map_err(|error| format!("no HTTPS is possible: {error}"))?;
        Ok(Guard { config: Arc::new(config), authorities: authorities.into() })
    }
    /// Who is at the other end of a connection.
    pub fn peer(&self, connection: &ServerConnection) -> Peer {
        match connection.peer_certificates() {
            Some([holder, between @ ..]) => self.holder(holder, between).unwrap_or(Peer::Forger),
            _ => Peer::Nobody,
        }
    }
    /// Whom a certificate names, if it is one for clients and of an authority that counts.
    fn holder(&self, holder: &CertificateDer, between: &[CertificateDer]) -> Option<Peer> {
        let (_, certificate) = X509Certificate::from_der(holder).ok()?;
        let usage = certificate.extended_key_usage().ok()?;
        if !usage.is_none_or(|usage| usage.value.client_auth || usage.value.any)
            || !is_vouched_for(&certificate, between, &self.authorities, CHAIN)
        {
            return None;
        }
        let subject = certificate.subject();
        let text = |value: &x509_parser::x509::AttributeTypeAndValue| value.as_str().unwrap_or("").to_owned();
        Some(Peer::Holder {
            name: subject.iter_common_name().next().map(text).unwrap_or_default(),
            groups: subject.iter_organization().map(text).collect(),
        })
    }
}

/// Authorities between a certificate and the cluster's own, at most.
const CHAIN: u32 = 4;

/// Whether a certificate holds now, and one of the authorities has signed it, or somebody for whom they vouch. Version 1
/// counts too: `openssl x509 -req` makes it.
fn is_vouched_for(
    certificate: &X509Certificate,
    between: &[CertificateDer],
    authorities: &[CertificateDer],
    chain: u32,
) -> bool {
    let has_signed = |signer: &X509Certificate| {
        signer.subject() == certificate.issuer()
            && certificate.verify_signature(Some(signer.public_key())).is_ok()
    };
    let signs = |signer: &CertificateDer| {
        X509Certificate::from_der(signer)
            .is_ok_and(|(_, signer)| signer.validity().is_valid() && has_signed(&signer))
    };
    let vouches = |signer: &CertificateDer| {
        X509Certificate::from_der(signer).is_ok_and(|(_, signer)| {
            signer.is_ca() && has_signed(&signer) && is_vouched_for(&signer, between, authorities, chain - 1)
        })
    };
    certificate.validity().is_valid()
        && (authorities.iter().any(signs) || chain > 0 && between.iter().take(8).any(vouches))
}

fn server_config(roots: &RootCertStore, server: &Pair) -> Result<ServerConfig, Error> {
    let unreadable = |error: rustls::pki_types::pem::Error| Error::General(error.to_string());
    let certificate = CertificateDer::from_pem_slice(server.certificate.as_bytes()).map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).map_err(unreadable)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        LookLater { hints: roots.subjects(), algorithms: provider.signature_verification_algorithms };
    let mut config = ServerConfig::builder_with_provider(provider)
        // What signs a handshake of 1.2 is read from certificates of version 3 only.
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes any certificate during the handshake, as long as the client has its key; what it is worth is seen when somebody
/// asks for something.
#[derive(Debug)]
struct LookLater {
    /// Whose certificates are wanted: clients with several choose by it.
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for LookLater {
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
