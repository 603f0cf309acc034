//! The kubeconfig file itself, and what a command takes from it.
//!
//! Picture to hold in mind: see [`super`].

use crate::api::{Value, yaml};
use crate::arrange::Arrange;
use crate::array;
use crate::object;
use crate::shell::Cli;

use super::super::failure::{Failure, Outcome, fail};
use super::super::flag::Flags;
use super::super::session::Session;

/// The user of the file that `kubeadm` leaves: whom the terminal signs as by itself.
const ADMINISTRATOR: &str = "kubernetes-admin";

/// A kubeconfig, and where it lies.
#[derive(Clone, Debug)]
pub struct File {
    pub path: String,
    pub value: Value,
}

fn path(cli: &Cli, flags: &Flags) -> String {
    match flags.text("kubeconfig") {
        "" => match cli.variable("KUBECONFIG").unwrap_or("").split(':').find(|path| !path.is_empty()) {
            Some(path) => cli.path(path),
            None => format!("{}/.kube/config", cli.variable("HOME").unwrap_or(crate::shell::files::HOME)),
        },
        path => cli.path(path),
    }
}

impl File {
    pub fn load(session: &mut Session) -> Outcome<File> {
        let flags = session.flags.clone();
        Ok(File::read(session.cli, &flags)?)
    }
    /// An empty one where there is none, unless it was named.
    pub fn read(cli: &mut Cli, flags: &Flags) -> Result<File, Failure> {
        let path = path(cli, flags);
        let empty = object! {
            "apiVersion" => "v1", "clusters" => array![], "contexts" => array![], "current-context" => "",
            "kind" => "Config", "users" => array![],
        };
        let text = match cli.read_file(&path) {
            Ok(text) => text,
            Err(_) if !flags.is_set("kubeconfig") => return Ok(File { path, value: empty }),
            Err(error) => {
                let why = error.message().to_ascii_lowercase();
                return Err(Failure::Message(format!("stat {path}: {why}")));
            }
        };
        let mut value = match yaml::read(&text).into_iter().next() {
            None => Value::Null,
            Some(Ok(document)) => document.value,
            Some(Err(error)) => {
                return Err(Failure::Message(format!("error loading config file {path:?}: {error}")));
            }
        };
        for (field, default) in empty.as_object().into_iter().flat_map(|map| map.iter()) {
            value.set_default(field, default);
        }
        Ok(File { path, value })
    }
    pub fn save(&self, session: &mut Session) -> Outcome {
        let mut saved = self.value.clone();
        for list in ["clusters", "contexts", "users"] {
            if saved.items(list).is_empty() {
                saved.set(list, Value::Null);
            }
        }
        let (path, text) = (self.path.clone(), yaml::to_string(&saved));
        let result = session.cli.once(|host| {
            if let Some((folder, _)) = path.rsplit_once('/') {
                host.files.make_folders(folder)?;
            }
            host.files.write(&path, text.into())
        });
        match *result {
            Ok(()) => Ok(()),
            Err(error) => fail(format!("open {path}: {}", error.message().to_ascii_lowercase())),
        }
    }
    pub fn current(&self) -> String {
        self.value.text("current-context").to_string()
    }
    /// The entry of this name in `clusters`, `contexts` or `users`.
    pub fn find(&self, list: &str, name: &str) -> Option<&Value> {
        self.value.items(list).iter().find(|entry| entry.text("name") == name)
    }
    /// Changes the entry of this name, which is made if there is none; whether there was one.
    pub fn change(&mut self, list: &str, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        let mut entries = self.value.items(list).to_vec();
        let found = entries.iter_mut().find(|entry| entry.text("name") == name);
        let existed = found.is_some();
        match found {
            Some(entry) => change(entry),
            None => {
                let mut entry = object! { "name" => name };
                entry.set(list.trim_end_matches('s'), Value::object());
                change(&mut entry);
                entries.push(entry);
            }
        }
        entries.arrange_by_key(|entry| entry.text("name").to_string());
        self.value.set(list, entries);
        existed
    }
    pub fn remove(&mut self, list: &str, name: &str) -> bool {
        let mut entries = self.value.items(list).to_vec();
        let before = entries.len();
        entries.retain(|entry| entry.text("name") != name);
        let removed = entries.len() < before;
        self.value.set(list, entries);
        removed
    }
}

/// What a command takes from the kubeconfig's context.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Empty: `default`.
    pub namespace: String,
    /// Empty: the API server's usual address.
    pub server: String,
    /// Another user than the administrator; empty for the administrator.
    pub user: String,
    /// Of a service account, instead of a user.
    pub token: String,
}

impl Context {
    pub fn read(cli: &mut Cli, flags: &Flags) -> Result<Context, Failure> {
        let file = File::read(cli, flags)?;
        let name = match flags.text("context") {
            "" => file.current(),
            name => name.to_string(),
        };
        let is_said = |flag: &&str| !flags.list(flag).iter().all(String::is_empty);
        if flags.text("as").is_empty() && ["as-uid", "as-group", "as-user-extra"].iter().any(is_said) {
            let user = file.find("contexts", &name).map_or("", |entry| entry.text("context.user"));
            return Err(Failure::Exact(format!(
                "error: requesting uid, groups or user-extra for {user} without impersonating a user"
            )));
        }
        let mut context = Context::default();
        let token = flags.text("token");
        context.token = token.to_string();
        if name.is_empty() {
            return Ok(context);
        }
        let Some(entry) = file.find("contexts", &name) else {
            return match flags.is_set("context") {
                true => Err(Failure::Exact(format!(
                    "Error in configuration: context was not found for specified context: {name}"
                ))),
                false => Ok(context),
            };
        };
        let pick = |flag: &str, field: &str| match flags.text(flag) {
            "" => entry.text(field).to_string(),
            name => name.to_string(),
        };
        context.namespace = entry.text("context.namespace").to_string();
        let cluster = pick("cluster", "context.cluster");
        match file.find("clusters", &cluster) {
            Some(cluster) => context.server = cluster.text("cluster.server").to_string(),
            None if flags.is_set("cluster") => {
                return Err(Failure::Message(format!("no server found for cluster {cluster:?}")));
            }
            None => {}
        }
        let user = pick("user", "context.user");
        match file.find("users", &user) {
            None if flags.is_set("user") => {
                return Err(Failure::Message(format!("auth info {user:?} does not exist")));
            }
            Some(entry) if token.is_empty() && !entry.text("user.token").is_empty() => {
                context.token = entry.text("user.token").to_string();
            }
            // A client certificate is taken by the name that the entry has.
            _ if token.is_empty() && user != ADMINISTRATOR => context.user = user,
            _ => {}
        }
        Ok(context)
    }
}
