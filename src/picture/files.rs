//! The files of the terminal, for whoever wants to take one home.
//!
//! Picture to hold in mind: the shelf by the exit. What visitors made lies there, and every box that the archive has
//! packed (a snapshot of etcd), wherever in the house it was put down.

use crate::api::Text;
use crate::cluster::Cluster;
use crate::etcd::snapshot;
use crate::shell::files::{Entry, HOME, absolute};
use crate::sim::History;

/// Files that are listed at most.
const FILES: usize = 200;

/// Their paths, those of the home directory without it, and their lengths in bytes.
pub fn files(history: &History<Cluster>) -> Vec<(String, u64)> {
    let Some(terminal) = history.world().terminal() else { return Vec::new() };
    let listed = |(path, entry): (&Text, &Entry)| {
        let Entry::File(content) = entry else { return None };
        let at_home = path.strip_prefix(HOME).map(|path| path.trim_start_matches('/'));
        // What the set-up put there is of no interest to anybody.
        let is_hidden = at_home.is_some_and(|path| path.starts_with('.'));
        let is_wanted = at_home.is_some() || snapshot::is_one(content);
        (is_wanted && !is_hidden).then(|| (at_home.unwrap_or(path).to_string(), content.len() as u64))
    };
    terminal.files.below("/").filter_map(listed).take(FILES).collect()
}

/// The content of one of them. `None`: it is not there any more.
pub fn file(history: &History<Cluster>, path: &str) -> Option<String> {
    let path = absolute(HOME, path);
    Some(history.world().terminal()?.files.read(&path).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Scenario};

    #[test]
    fn what_was_made_is_listed_and_what_was_set_up_is_not() {
        let mut history = crate::cluster::boot(1, Scenario::default());
        history.command(Command::WriteFile { path: "a.yaml".into(), content: Some("kind: Pod".into()) });
        assert_eq!(files(&history), [("a.yaml".to_string(), 9)]);
        assert_eq!(file(&history, "a.yaml").as_deref(), Some("kind: Pod"));
        assert_eq!(file(&history, "b.yaml"), None);
    }
}
