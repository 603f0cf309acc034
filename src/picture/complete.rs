//! What may stand at the cursor of a terminal: commands, flags, resources, names, files.
//!
//! Picture to hold in mind: a prompter in his box, who reads along and whispers the next word. Like the picture
//! it reads the actors' own state and etcd, and asks the API server nothing.

use serde::{Deserialize, Serialize};

use crate::api::kind::Registry;
use crate::api::{Value, yaml};
use crate::arrange::{Arrange, Gather};
use crate::cluster::Cluster;
use crate::kubectl::complete::{Known, complete as complete_kubectl};
use crate::shell::Terminal;
use crate::shell::files::{Entry, HOME, absolute};
use crate::sim::History;

use super::build::Ledger;

/// What may be written in the place of the word at the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// Where that word begins, in characters from the start of the line.
    pub from: usize,
    /// Whole words, sorted; those that end with `/` or `=` go on.
    pub candidates: Vec<String>,
}

/// Words that are offered at most: more than that nobody reads.
const CANDIDATES: usize = 200;

/// What may stand at the end of `line`, which is what stands before the cursor in a terminal's `session`.
pub fn complete(history: &History<Cluster>, session: u64, line: &str) -> Completion {
    let Some(terminal) = history.world().terminal() else { return Completion::default() };
    let words = words(line);
    let word = words.last().map_or("", String::as_str);
    let from = line.chars().count() - word.chars().count();
    let registry =
        history.world().api_server().map_or_else(Registry::new, |server| server.registry().clone());
    let desk = Desk { terminal, session, ledger: Ledger::open(history), registry };
    let mut candidates = match words.split_first() {
        Some((program, rest)) if !rest.is_empty() && matches!(program.as_str(), "kubectl" | "k") => {
            complete_kubectl(rest, &desk)
        }
        Some((_, rest)) if !rest.is_empty() => desk.files(word),
        _ => {
            let mut programs: Vec<String> =
                terminal.program_names().filter(|name| name.starts_with(word)).map(String::from).gather();
            programs.arrange();
            programs.dedup();
            programs
        }
    };
    candidates.truncate(CANDIDATES);
    Completion { from, candidates }
}

/// The words of the command that is being written: what follows the last `|`, `;` or `&`. The last one is the
/// word at the cursor, empty after a blank.
fn words(line: &str) -> Vec<String> {
    let begin = line.rfind(['|', ';', '&', '(']).map_or(0, |at| at + 1);
    let mut words: Vec<String> = line[begin..].split(' ').map(str::to_string).gather();
    let last = words.pop().unwrap_or_default();
    words.retain(|word| !word.is_empty());
    // A variable that is set for this command alone is not the command.
    let settings = words.iter().take_while(|word| word.contains('=') && !word.starts_with('-')).count();
    words.drain(..settings);
    words.push(last);
    words
}

struct Desk<'a> {
    terminal: &'a Terminal,
    session: u64,
    ledger: Ledger<'a>,
    registry: Registry,
}

impl Desk<'_> {
    /// The kubeconfig; null where there is none.
    fn kubeconfig(&self) -> Value {
        let text = self.terminal.files.read(&format!("{HOME}/.kube/config")).unwrap_or_default();
        match yaml::read(&text).into_iter().next() {
            Some(Ok(document)) => document.value,
            _ => Value::Null,
        }
    }
}

impl Known for Desk<'_> {
    fn registry(&self) -> Registry {
        self.registry.clone()
    }
    fn namespace(&self) -> String {
        let config = self.kubeconfig();
        let current = config.text("current-context");
        let context = config.items("contexts").iter().find(|context| context.text("name") == current);
        match context.map_or("", |context| context.text("context.namespace")) {
            "" => "default".to_string(),
            namespace => namespace.to_string(),
        }
    }
    fn names(&self, group: &str, plural: &str, namespace: &str) -> Vec<String> {
        let Some(info) = self.registry.resource(group, plural).filter(|info| !info.storage_prefix.is_empty())
        else {
            return Vec::new();
        };
        let objects = self.ledger.objects(&info.storage_range(namespace));
        objects.into_iter().map(|object| object.text("metadata.name").to_string()).collect()
    }
    fn containers(&self, namespace: &str, pod: &str) -> Vec<String> {
        let pod = pod.trim_start_matches("pods/").trim_start_matches("pod/");
        let Some(pod) = self.ledger.get(&format!("/registry/pods/{namespace}/{pod}")) else {
            return Vec::new();
        };
        let lists = ["spec.initContainers", "spec.containers", "spec.ephemeralContainers"];
        let all = lists.iter().flat_map(|list| pod.items(list));
        all.map(|container| container.text("name").to_string()).collect()
    }
    fn contexts(&self) -> Vec<String> {
        let config = self.kubeconfig();
        config.items("contexts").iter().map(|context| context.text("name").to_string()).collect()
    }
    fn files(&self, beginning: &str) -> Vec<String> {
        let (folder, _) = beginning.rsplit_once('/').unwrap_or(("", ""));
        let shown = &beginning[..beginning.rfind('/').map_or(0, |at| at + 1)];
        let root = if beginning.starts_with('/') && folder.is_empty() { "/" } else { folder };
        let place = absolute(self.terminal.folder(self.session), root);
        let prefix_length = if place == "/" { 1 } else { place.len() + 1 };
        let mut found: Vec<String> = self
            .terminal
            .files
            .below(&place)
            .filter(|(path, _)| !path[prefix_length..].contains('/'))
            .map(|(path, entry)| {
                let slash = if matches!(entry, Entry::Folder) { "/" } else { "" };
                format!("{shown}{}{slash}", &path[prefix_length..])
            })
            .filter(|path| path.starts_with(beginning))
            // Hidden ones only for who asks for them.
            .filter(|path| !path[shown.len()..].starts_with('.') || beginning[shown.len()..].starts_with('.'))
            .gather();
        found.arrange();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Scenario};
    use crate::sim::Time;

    #[test]
    fn what_may_stand_at_the_cursor() {
        let mut history = crate::cluster::boot(3, Scenario::default());
        history.run_until(Time(60_000_000));
        let content = Some("x".to_string());
        history.command(Command::WriteFile { path: "lab/web.yaml".into(), content });
        history.run_until(Time(61_000_000));
        let cases: [(&str, usize, &[&str]); 10] = [
            ("kub", 0, &["kubectl"]),
            ("kubectl desc", 8, &["describe"]),
            ("kubectl get no", 12, &["nodes"]),
            ("kubectl get nodes worker-", 18, &["worker-1", "worker-2", "worker-3"]),
            ("kubectl -n kube-system logs kube-apiserver-", 28, &["kube-apiserver-cp-1"]),
            ("kubectl get pods --name", 17, &["--namespace"]),
            ("kubectl apply -f la", 17, &["lab/"]),
            ("kubectl apply -f lab/", 17, &["lab/web.yaml"]),
            ("echo ready; cat lab/w", 16, &["lab/web.yaml"]),
            ("kubectl get pods nothing", 17, &[]),
        ];
        for (line, from, candidates) in cases {
            let found = complete(&history, 0, line);
            assert_eq!(
                (found.from, found.candidates),
                (from, candidates.iter().map(|word| word.to_string()).collect()),
                "{line}"
            );
        }
    }
}
