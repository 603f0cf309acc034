//! The file that tells kubectl where the cluster is.
//!
//! Picture to hold in mind: a visiting card left on the table; a card of somebody else that lies there is not covered.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use clusterarium::api::base64::STANDARD;

use super::certificates::Office;
use super::secret_file;

/// The first line, by which a file of ours is known again.
const MARK: &str = "# Written by clusterarium serve; it is overwritten when that is started again.\n";

fn text(address: SocketAddr, office: Option<&Office>) -> String {
    let data = |pem: &str| STANDARD.encode(pem.as_bytes());
    let (server, user) = match office {
        None => (
            format!(
                "http://{address}
    # Some libraries take plain HTTP only where this is said; nothing is verified over it anyway.
    insecure-skip-tls-verify: true"
            ),
            " {}".into(),
        ),
        Some(office) => (
            format!("https://{address}\n    certificate-authority-data: {}", data(&office.authority)),
            format!(
                "\n    client-certificate-data: {}\n    client-key-data: {}",
                data(&office.administrator.certificate),
                data(&office.administrator.key)
            ),
        ),
    };
    format!(
        "{MARK}apiVersion: v1
kind: Config
clusters:
- name: clusterarium
  cluster:
    server: {server}
contexts:
- name: kubernetes-admin@clusterarium
  context:
    cluster: clusterarium
    user: kubernetes-admin
current-context: kubernetes-admin@clusterarium
users:
- name: kubernetes-admin
  user:{user}
"
    )
}

/// Writes the file at `path`.
///
/// # Errors
/// In words, where the file is there and not ours, or cannot be written.
pub fn write(path: &Path, address: SocketAddr, office: Option<&Office>) -> Result<(), String> {
    match fs::read_to_string(path) {
        Ok(present) if !present.is_empty() && !present.starts_with(MARK) => {
            return Err(format!(
                "{} is there already and was not written by clusterarium: name another file",
                path.display()
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{}: {error}", path.display())),
    }
    secret_file::write(path, &text(address, office))
}
