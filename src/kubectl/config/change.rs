//! The subcommands of `kubectl config` that write the file.
//!
//! Picture to hold in mind: see [`super`].

use crate::api::Value;

use super::super::commands::CONFIG;
use super::super::failure::{Outcome, fail};
use super::super::help;
use super::super::session::Session;
use super::File;

/// The operands, of which there must be so many.
fn words<const COUNT: usize>(session: &mut Session) -> Outcome<[String; COUNT]> {
    match <[String; COUNT]>::try_from(session.operands().to_vec()) {
        Ok(words) => Ok(words),
        Err(given) => {
            if let Some(command) =
                CONFIG.iter().find(|own| session.command.split(' ').next_back() == Some(own.name))
            {
                let text = help::of_command(command, &session.command);
                session.print(text);
            }
            let first = if session.command.ends_with("set-credentials") { "u" } else { "U" };
            fail(format!("{first}nexpected args: [{}]", given.join(" ")))
        }
    }
}

/// Go leaves out what is empty.
fn set_or_remove(entry: &mut Value, path: &str, text: &str) {
    match text {
        "" => drop(entry.remove(path)),
        text => drop(entry.set(path, text)),
    }
}

pub fn use_context(session: &mut Session) -> Outcome {
    let [name] = words(session)?;
    let mut file = File::load(session)?;
    if name.is_empty() {
        return fail("empty context names are not allowed");
    }
    if file.find("contexts", &name).is_none() {
        return fail(format!("no context exists with the name: {name:?}"));
    }
    file.value.set("current-context", name.as_str());
    file.save(session)?;
    session.println(format!("Switched to context {name:?}."));
    Ok(())
}

pub fn set_context(session: &mut Session) -> Outcome {
    let mut file = File::load(session)?;
    let name = match (session.flags.switch("current"), session.operands()) {
        (true, []) => file.current(),
        (true, _) => return fail("you cannot specify both a context name and --current"),
        (false, [name]) => name.clone(),
        (false, []) => return fail("you must specify a non-empty context name or --current"),
        (false, _) => words::<1>(session)?[0].clone(),
    };
    if name.is_empty() {
        return fail("no current context is set");
    }
    let flags = session.flags.clone();
    let existed = file.change("contexts", &name, |entry| {
        for (flag, field) in [("cluster", "cluster"), ("user", "user"), ("namespace", "namespace")] {
            if flags.is_set(flag) {
                set_or_remove(entry, &format!("context.{field}"), flags.text(flag));
            }
        }
    });
    file.save(session)?;
    session.println(format!("Context {name:?} {}.", if existed { "modified" } else { "created" }));
    Ok(())
}

pub fn set_cluster(session: &mut Session) -> Outcome {
    let [name] = words(session)?;
    let flags = session.flags.clone();
    let mut file = File::load(session)?;
    if flags.is_set("certificate-authority") && flags.switch("insecure-skip-tls-verify") {
        return fail("you cannot specify a certificate authority and insecure mode at the same time");
    }
    file.change("clusters", &name, |entry| {
        for flag in ["server", "tls-server-name", "certificate-authority", "proxy-url"] {
            if flags.is_set(flag) {
                set_or_remove(entry, &format!("cluster.{flag}"), flags.text(flag));
            }
        }
        if flags.is_set("insecure-skip-tls-verify") {
            entry.set("cluster.insecure-skip-tls-verify", flags.switch("insecure-skip-tls-verify"));
        }
    });
    file.save(session)?;
    session.println(format!("Cluster {name:?} set."));
    Ok(())
}

pub fn set_credentials(session: &mut Session) -> Outcome {
    let [name] = words(session)?;
    let flags = session.flags.clone();
    let mut file = File::load(session)?;
    if !flags.text("token").is_empty() && !flags.text("username").is_empty() {
        return fail(
            "you cannot specify more than one authentication method at the same time: --token, --username/--password",
        );
    }
    file.change("users", &name, |entry| {
        for flag in ["client-certificate", "client-key", "token", "username", "password"] {
            if flags.is_set(flag) {
                set_or_remove(entry, &format!("user.{flag}"), flags.text(flag));
            }
        }
    });
    file.save(session)?;
    session.println(format!("User {name:?} set."));
    Ok(())
}

fn delete(session: &mut Session, list: &str, noun: &str) -> Outcome {
    let [name] = words(session)?;
    let mut file = File::load(session)?;
    let path = file.path.clone();
    if !file.remove(list, &name) {
        return fail(format!("cannot delete {noun} {name}, not in {path}"));
    }
    if list == "contexts" && file.current() == name {
        session.eprintln(
            "warning: this removed your active context, use \"kubectl config use-context\" to select a different one",
        );
    }
    file.save(session)?;
    session.println(format!("deleted {noun} {name} from {path}"));
    Ok(())
}
pub fn delete_cluster(session: &mut Session) -> Outcome {
    delete(session, "clusters", "cluster")
}
pub fn delete_context(session: &mut Session) -> Outcome {
    delete(session, "contexts", "context")
}
pub fn delete_user(session: &mut Session) -> Outcome {
    delete(session, "users", "user")
}

pub fn rename_context(session: &mut Session) -> Outcome {
    let [old, new] = words(session)?;
    let mut file = File::load(session)?;
    let path = file.path.clone();
    let Some(entry) = file.find("contexts", &old).cloned() else {
        return fail(format!("cannot rename the context {old:?}, it's not in {path}"));
    };
    if file.find("contexts", &new).is_some() {
        return fail(format!(
            "cannot rename the context {old:?}, the context {new:?} already exists in {path}"
        ));
    }
    file.remove("contexts", &old);
    file.change("contexts", &new, |made| {
        made.set("context", entry.at("context"));
    });
    if file.current() == old {
        file.value.set("current-context", new.as_str());
    }
    file.save(session)?;
    session.println(format!("Context {old:?} renamed to {new:?}."));
    Ok(())
}

/// `clusters.NAME.server`, `users.NAME.token`, `contexts.NAME.namespace`, `current-context`.
fn property(name: &str) -> Option<(&'static str, String, String)> {
    ["clusters", "contexts", "users"].into_iter().find_map(|list| {
        let (entry, field) = name.strip_prefix(list)?.strip_prefix('.')?.rsplit_once('.')?;
        Some((list, entry.to_string(), format!("{}.{field}", list.trim_end_matches('s'))))
    })
}

pub fn set(session: &mut Session) -> Outcome {
    let [name, value] = words(session)?;
    if value.is_empty() {
        return fail("you cannot use set to unset a property");
    }
    let mut file = File::load(session)?;
    let parsed = match value.as_str() {
        "true" => Value::from(true),
        "false" => Value::from(false),
        text => Value::from(text),
    };
    match property(&name) {
        Some((list, entry, field)) => {
            file.change(list, &entry, |entry| {
                entry.set(&field, parsed);
            });
        }
        None if name == "current-context" => {
            file.value.set("current-context", value.as_str());
        }
        None => return fail(format!("unable to locate path {name:?}")),
    }
    file.save(session)?;
    session.println(format!("Property {name:?} set."));
    Ok(())
}

pub fn unset(session: &mut Session) -> Outcome {
    let [name] = words(session)?;
    let mut file = File::load(session)?;
    match property(&name) {
        Some((list, entry, field)) if file.find(list, &entry).is_some() => {
            file.change(list, &entry, |entry| {
                entry.remove(&field);
            });
        }
        _ if name == "current-context" => {
            file.value.set("current-context", "");
        }
        _ => {
            match name.split_once('.') {
                // What is not there is not there afterwards either.
                Some((list @ ("clusters" | "contexts" | "users"), entry)) if !entry.contains('.') => {
                    file.remove(list, entry);
                }
                _ => return fail(format!("current map key `{name}` is invalid")),
            }
        }
    }
    file.save(session)?;
    session.println(format!("Property {name:?} unset."));
    Ok(())
}
