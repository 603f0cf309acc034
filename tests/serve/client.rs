//! A client library of somebody else against the served cluster: `client.mjs` uses @kubernetes/client-node, and what it
//! tells stands in `client.txt`.

use std::path::Path;
use std::process::Command;

use super::program::Program;

#[test]
fn the_javascript_client_takes_it_for_a_cluster() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("node_modules/@kubernetes/client-node").exists() {
        eprintln!("SKIPPED: @kubernetes/client-node is not installed (npm ci, or cargo xtask test)");
        return;
    }
    let config = std::env::temp_dir().join(format!("clusterarium-client-{}", std::process::id()));
    let _program = Program::start(&["--speed", "4", "--write-kubeconfig", &config.to_string_lossy()]);
    let output = Command::new("node").arg(root.join("tests/serve/client.mjs")).arg(&config).output();
    std::fs::remove_file(&config).unwrap();
    let output = output.expect("node is there");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(told, include_str!("client.txt"), "{errors}");
    assert!(output.status.success(), "{errors}");
}
