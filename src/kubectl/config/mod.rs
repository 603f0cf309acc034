//! `kubectl config`: the kubeconfig file: which clusters and users there are, and which pair is meant.
//!
//! Picture to hold in mind: an address book with a marker in it.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/config` and `k8s.io/client-go/tools/clientcmd`.

mod change;
mod file;

pub use change::*;
pub use file::{Context, File};

use crate::api::{Value, yaml};
use crate::arrange::{Arrange, Gather};

use super::failure::{Failure, Outcome, fail};
use super::session::Session;
use super::tab_writer::{TABLE, align};

pub const VIEW_FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "flatten",
    "merge",
    "minify",
    "output@yaml",
    "raw:switch",
    "show-managed-fields",
    "template",
];

pub fn view(session: &mut Session) -> Outcome {
    super::resources::unexpected(session)?;
    let format = session.format(false)?;
    let file = File::load(session)?;
    let mut shown = file.value.clone();
    if session.flags.switch("minify") {
        let current = file.current();
        let Some(context) = file.find("contexts", &current) else {
            return fail("cannot locate context ".to_string() + &current);
        };
        let (cluster, user) = (context.text("context.cluster"), context.text("context.user"));
        for (list, name) in [("contexts", current.as_str()), ("clusters", cluster), ("users", user)] {
            let kept: Vec<Value> =
                shown.items(list).iter().filter(|entry| entry.text("name") == name).cloned().gather();
            shown.set(list, kept);
        }
    }
    if !session.flags.switch("raw") {
        for (list, field, secrets) in [
            ("clusters", "cluster", ["certificate-authority-data", "", ""]),
            ("users", "user", ["client-certificate-data", "client-key-data", ""]),
            ("users", "user", ["token", "password", ""]),
        ] {
            for entry in shown.at_mut(list).make_array().iter_mut() {
                for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
                    let path = format!("{field}.{secret}");
                    if entry.has(&path) {
                        let word = if secret.ends_with("-data") { "DATA+OMITTED" } else { "REDACTED" };
                        entry.set(&path, word);
                    }
                }
            }
        }
    }
    // Go prints lists that are not there as null.
    for list in ["clusters", "contexts", "users"] {
        if shown.items(list).is_empty() {
            shown.set(list, Value::Null);
        }
    }
    match format {
        super::print::Format::Yaml => session.print(yaml::to_string(&shown)),
        format => session.print_object(&format, &shown)?,
    }
    Ok(())
}

pub fn current_context(session: &mut Session) -> Outcome {
    let current = File::load(session)?.current();
    if current.is_empty() {
        return fail("current-context is not set");
    }
    session.println(current);
    Ok(())
}

pub fn get_contexts(session: &mut Session) -> Outcome {
    let output = session.flags.text("output").to_string();
    if !matches!(output.as_str(), "" | "name") {
        return fail(format!(
            "--output {output} is not available in kubectl config get-contexts; resetting to default output format"
        ));
    }
    let file = File::load(session)?;
    let current = file.current();
    let wanted = session.operands().to_vec();
    let mut entries: Vec<Value> = file.value.items("contexts").to_vec();
    entries.arrange_by_key(|entry| entry.text("name").to_string());
    let missing: Vec<Failure> = wanted
        .iter()
        .filter(|name| !entries.iter().any(|entry| entry.text("name") == name.as_str()))
        .map(|name| Failure::Message(format!("context {name} not found")))
        .gather();
    entries.retain(|entry| wanted.is_empty() || wanted.iter().any(|name| name == entry.text("name")));
    let mut text = String::new();
    if output.is_empty() && !session.flags.switch("no-headers") {
        text += "CURRENT\tNAME\tCLUSTER\tAUTHINFO\tNAMESPACE\n";
    }
    for entry in &entries {
        let name = entry.text("name");
        text += &match output.as_str() {
            "name" => format!("{name}\n"),
            _ => format!(
                "{}\t{name}\t{}\t{}\t{}\n",
                if name == current { "*" } else { "" },
                entry.text("context.cluster"),
                entry.text("context.user"),
                entry.text("context.namespace")
            ),
        };
    }
    session.print(align(&text, TABLE));
    Ok(Failure::many(missing)?)
}

fn names(session: &mut Session, list: &str) -> Outcome {
    let file = File::load(session)?;
    let mut names: Vec<&str> = file.value.items(list).iter().map(|entry| entry.text("name")).collect();
    names.arrange();
    session.println("NAME");
    for name in names {
        session.println(name);
    }
    Ok(())
}
pub fn get_clusters(session: &mut Session) -> Outcome {
    names(session, "clusters")
}
pub fn get_users(session: &mut Session) -> Outcome {
    names(session, "users")
}
