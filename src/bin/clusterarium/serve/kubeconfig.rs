//! The file that tells kubectl where the cluster is.
//!
//! Picture to hold in mind: a visiting card left on the table; a card of somebody else that lies there is not covered.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

/// The first line, by which a file of ours is known again.
const MARK: &str = "# Written by clusterarium serve; it is overwritten when that is started again.\n";

fn text(address: SocketAddr) -> String {
    format!(
        "{MARK}apiVersion: v1
kind: Config
clusters:
- name: clusterarium
  cluster:
    server: http://{address}
    # Some libraries take plain HTTP only where this is said; nothing is verified over it anyway.
    insecure-skip-tls-verify: true
contexts:
- name: kubernetes-admin@clusterarium
  context:
    cluster: clusterarium
    user: kubernetes-admin
current-context: kubernetes-admin@clusterarium
users:
- name: kubernetes-admin
  user: {{}}
"
    )
}

/// Writes the file at `path`.
///
/// # Errors
/// In words, where the file is there and not ours, or cannot be written.
pub fn write(path: &Path, address: SocketAddr) -> Result<(), String> {
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
    fs::write(path, text(address)).map_err(|error| format!("{}: {error}", path.display()))
}
