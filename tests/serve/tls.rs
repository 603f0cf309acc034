//! HTTPS: one is who one's certificate or token says.
//!
//! Picture to hold in mind: people with and without passports at one counter, each asking the same two questions.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clusterarium::api::Value;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::program::{Answer, Program};

/// Method, path and body.
type Question<'a> = (&'a str, &'a str, &'a str);
const LIST: Question<'static> = ("GET", "/api/v1/nodes", "");
const WHO_AM_I: Question<'static> = (
    "POST",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    r#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}"#,
);
const TOKEN: Question<'static> = (
    "POST",
    "/api/v1/namespaces/default/serviceaccounts/default/token",
    r#"{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1"}"#,
);

/// A certificate and its key, as PEM.
type Passport = (String, String);

/// A passport of the authority in `directory`.
fn passport(directory: &Path, name: &str, organization: &str) -> Passport {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let issuer =
        Issuer::from_ca_cert_pem(&read("ca.crt"), KeyPair::from_pem(&read("ca.key")).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.distinguished_name.push(DnType::OrganizationName, organization);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (parameters.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

fn ask(
    program: &Program,
    directory: &Path,
    passport: Option<&Passport>,
    question: Question,
    headers: &[(&str, &str)],
) -> Answer {
    let mut headers = headers.to_vec();
    if !question.2.is_empty() {
        headers.push(("Content-Type", "application/json"));
    }
    ask_as(program, directory, passport, question, &headers)
}

/// The same, with the headers as they are.
fn ask_as(
    program: &Program,
    directory: &Path,
    passport: Option<&Passport>,
    (method, target, body): Question,
    headers: &[(&str, &str)],
) -> Answer {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.crt")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match passport {
        None => builder.with_no_client_auth(),
        // Past the check that would refuse version 1.
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
            let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    };
    let server = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(config), server).unwrap();
    let stream = StreamOwned::new(client, TcpStream::connect(&program.address).unwrap());
    program.over(stream).ask(method, target, headers, body)
}

/// Code and what matters of the answer.
fn told(answer: &Answer) -> String {
    let body = answer.json();
    let user = body.at("status.userInfo");
    let what = if user.is_null() {
        match body.text("message") {
            "" => body.text("kind").to_owned(),
            message => message.to_owned(),
        }
    } else {
        let groups: Vec<&str> = user.items("groups").iter().filter_map(Value::as_str).collect();
        format!("{} of {}", user.text("username"), groups.join(" "))
    };
    format!("{} {what}", answer.code)
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("clusterarium-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn one_is_who_ones_papers_say() {
    let folder = folder("tls");
    let (own, other) = (folder.join("own"), folder.join("other"));
    let config = folder.join("config");
    // Somebody else's cluster, for its authority.
    drop(Program::start(&["--hollow", "--cert-dir", &other.to_string_lossy()]));
    let program = Program::start(&[
        "--cert-dir",
        &own.to_string_lossy(),
        "--write-kubeconfig",
        &config.to_string_lossy(),
    ]);
    let (ada, forger) = (passport(&own, "ada", "devs"), passport(&other, "eve", "system:masters"));
    let master = passport(&own, "root", "system:masters");
    let token = ask(&program, &own, Some(&master), TOKEN, &[]).json();
    let token = format!("Bearer {}", token.text("status.token"));
    let forbidden = |user: &str| {
        format!(
            "403 nodes is forbidden: User \"{user}\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        )
    };
    let account = "system:serviceaccount:default:default";
    let bearer = ("Authorization", token.as_str());
    let cases = [
        (None, LIST, vec![], forbidden("system:anonymous")),
        (None, ("GET", "/version", ""), vec![], "200 ".to_owned()),
        (Some(&ada), LIST, vec![], forbidden("ada")),
        (Some(&ada), WHO_AM_I, vec![], "201 ada of devs system:authenticated".to_owned()),
        // What a client says about itself is not what a proxy says.
        (
            None,
            LIST,
            vec![("X-Remote-User", "root"), ("X-Remote-Group", "system:masters")],
            forbidden("system:anonymous"),
        ),
        (
            Some(&ada),
            WHO_AM_I,
            vec![("X-Remote-User", "root")],
            "201 ada of devs system:authenticated".to_owned(),
        ),
        (Some(&forger), LIST, vec![], "401 Unauthorized".to_owned()),
        (Some(&master), LIST, vec![], "200 NodeList".to_owned()),
        (Some(&master), LIST, vec![("Impersonate-User", "ada")], forbidden("ada")),
        (None, LIST, vec![("Authorization", "Bearer nonsense")], "401 Unauthorized".to_owned()),
        (None, LIST, vec![bearer], forbidden(account)),
        (Some(&forger), LIST, vec![bearer], forbidden(account)),
        (Some(&ada), LIST, vec![bearer], forbidden("ada")),
    ];
    for (passport, question, headers, expected) in cases {
        let answer = ask(&program, &own, passport, question, &headers);
        assert_eq!(told(&answer), expected, "{question:?} {headers:?}");
    }
    // The administrator's papers are in the kubeconfig; a real client reads them.
    if let Some(nodes) = kubectl(&config, &["get", "nodes", "-o", "name"]) {
        assert_eq!(nodes, "node/cp-1\nnode/worker-1\nnode/worker-2\nnode/worker-3\n");
    }
    // Plain HTTP is no greeting here, and leaves the server well.
    let mut plain = program.connect();
    plain.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(told(&ask(&program, &own, Some(&master), LIST, &[])), "200 NodeList");
    drop(program);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// `openssl req -x509` made the authority, and `openssl x509 -req` the certificate: of version 1, as in many a lesson.
#[test]
fn an_authority_of_ones_own_signs_with_openssl() {
    let (folder, data) =
        (folder("openssl"), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/openssl"));
    for name in ["ca.crt", "ca.key"] {
        std::fs::copy(data.join(name), folder.join(name)).unwrap();
    }
    let program = Program::start(&["--hollow", "--cert-dir", &folder.to_string_lossy()]);
    let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    let answer = ask(&program, &folder, Some(&(read("ada.crt"), read("ada.key"))), WHO_AM_I, &[]);
    assert_eq!(told(&answer), "201 ada of devs ops system:authenticated");
    assert_eq!(read("ca.key"), std::fs::read_to_string(folder.join("ca.key")).unwrap(), "it is left alone");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// As with `openssl req`, `kubectl certificate approve`, and `curl --cert`: by an authority that was made here, and by one
/// that openssl has made.
#[test]
fn what_is_asked_for_and_approved_is_signed() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/openssl");
    for authority in ["own", "openssl"] {
        let folder = folder(authority);
        if authority == "openssl" {
            for name in ["ca.crt", "ca.key"] {
                std::fs::copy(data.join(name), folder.join(name)).unwrap();
            }
        }
        let program = Program::start(&["--hollow", "--cert-dir", &folder.to_string_lossy()]);
        let master = passport(&folder, "root", "system:masters");
        let hung_up = ("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", "");
        let hung_up = ask(&program, &folder, Some(&master), hung_up, &[]).json();
        assert_eq!(
            hung_up.map("data").get("ca.crt").and_then(Value::as_str),
            std::fs::read_to_string(folder.join("ca.crt")).ok().as_deref()
        );
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, "devs");
        parameters.distinguished_name.push(DnType::CommonName, "grace");
        let asked = parameters.serialize_request(&key).unwrap().pem().unwrap();
        let asked = clusterarium::api::base64::STANDARD.encode(asked.replace("\r\n", "\n").as_bytes());
        const ALL: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        let body = format!(
            r#"{{"metadata":{{"name":"grace"}},"spec":{{"request":"{asked}","signerName":"kubernetes.io/kube-apiserver-client","usages":["client auth"],"expirationSeconds":3600}}}}"#
        );
        let created = ask(&program, &folder, Some(&master), ("POST", ALL, &body), &[]);
        assert_eq!(created.code, 201, "{}", told(&created));
        let yes = r#"{"status":{"conditions":[{"type":"Approved","status":"True","reason":"Test","message":"yes"}]}}"#;
        let target = format!("{ALL}/grace/approval");
        let json = [("Content-Type", "application/merge-patch+json")];
        let approved = ask_as(&program, &folder, Some(&master), ("PATCH", &target, yes), &json);
        assert_eq!(approved.code, 200, "{}", told(&approved));
        let target = format!("{ALL}/grace");
        let certificate = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            ask(&program, &folder, Some(&master), ("GET", &target, ""), &[]).json()
        })
        .take(100)
        .map(|request| request.text("status.certificate").to_owned())
        .find(|certificate| !certificate.is_empty())
        .expect("it is signed");
        let certificate =
            String::from_utf8(clusterarium::api::base64::STANDARD.decode(&certificate).unwrap()).unwrap();
        let answer = ask(&program, &folder, Some(&(certificate, key.serialize_pem())), WHO_AM_I, &[]);
        assert_eq!(told(&answer), "201 grace of devs system:authenticated");
        drop(program);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// What kubectl prints, where it is installed.
fn kubectl(config: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("kubectl").arg("--kubeconfig").arg(config).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn half_an_authority_is_refused() {
    let folder = folder("half");
    for (name, text, expected) in
        [("ca.crt", "", "ca.key is missing beside"), ("ca.key", "", "ca.key cannot be used")]
    {
        std::fs::write(folder.join(name), text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_clusterarium"))
            .args(["serve", "--listen", "127.0.0.1:0", "--cert-dir"])
            .arg(&folder)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(expected) && !output.status.success(), "{name}: {told}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
