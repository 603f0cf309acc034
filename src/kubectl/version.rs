//! `kubectl version`: how old the clerk is, and how old the house.
//!
//! Picture to hold in mind: two name plates, compared.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/version`.

use crate::api::Value;
use crate::arrange::Gather;
use crate::client::request;
use crate::{api::yaml, object};

use super::VERSION;
use super::failure::{Outcome, fail};
use super::session::Session;

const KUSTOMIZE_VERSION: &str = "v5.8.1";
/// The fields of `version.Info`, in the order in which Go writes them.
const FIELDS: [&str; 13] = [
    "major",
    "minor",
    "emulationMajor",
    "emulationMinor",
    "minCompatibilityMajor",
    "minCompatibilityMinor",
    "gitVersion",
    "gitCommit",
    "gitTreeState",
    "buildDate",
    "goVersion",
    "compiler",
    "platform",
];

fn client() -> Value {
    let (major, minor) = VERSION[1..].split_once('.').unwrap_or(("1", "36"));
    object! {
        "buildDate" => "1970-01-01T00:00:00Z", "compiler" => "gc", "gitCommit" => "clusterarium",
        "gitTreeState" => "clean", "gitVersion" => VERSION, "goVersion" => "go1.26.6", "major" => major,
        "minor" => minor.split('.').next().unwrap_or(minor), "platform" => "linux/amd64",
    }
}

/// A `version.Info` as JSON over several lines.
pub fn info_json(info: &Value, indentation: &str) -> String {
    let lines: Vec<String> = FIELDS
        .iter()
        .filter(|field| info.has(field))
        .map(|field| format!("{indentation}  {field:?}: {:?}", info.text(field)))
        .gather();
    format!("{{\n{}\n{indentation}}}", lines.join(",\n"))
}

pub fn run(session: &mut Session) -> Outcome {
    if !session.operands().is_empty() {
        return fail(format!("extra arguments: [{}]", session.operands().join(" ")));
    }
    let output = session.flags.text("output").to_string();
    if !matches!(output.as_str(), "" | "yaml" | "json") {
        return fail("--output must be 'yaml' or 'json'");
    }
    let server = match session.flags.switch("client") {
        true => None,
        false => Some(session.attempt(request::path("/version"))?),
    };
    let known = server.as_ref().and_then(|answer| answer.as_ref().ok());
    match output.as_str() {
        "" => {
            session.println(format!("Client Version: {VERSION}\nKustomize Version: {KUSTOMIZE_VERSION}"));
            if let Some(server) = known {
                session.println(format!("Server Version: {}", server.text("gitVersion")));
            }
        }
        "yaml" => {
            let mut all = object! { "clientVersion" => client(), "kustomizeVersion" => KUSTOMIZE_VERSION };
            if let Some(server) = known {
                all.set("serverVersion", server);
            }
            session.println(yaml::to_string(&all));
        }
        _ => {
            let mut text = format!("{{\n  \"clientVersion\": {},\n", info_json(&client(), "  "));
            text += &format!("  \"kustomizeVersion\": {KUSTOMIZE_VERSION:?}");
            if let Some(server) = known {
                text += &format!(",\n  \"serverVersion\": {}", info_json(server, "  "));
            }
            session.println(text + "\n}");
        }
    }
    match server {
        Some(Err(failure)) => Err(failure.into()),
        _ => Ok(()),
    }
}
