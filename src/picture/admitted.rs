//! What became of a request's object before it was stored: what each plugin of admission made of it, line by line.
//!
//! Picture to hold in mind: the referee at the screen. Nobody notes during the match who touched the ball; when it
//! matters, these seconds are played again in slow motion.

use crate::api::Value;
use crate::apiserver::ApiServer;
use crate::cluster::Cluster;
use crate::message::Message;
use crate::note::{Note, Stage};
use crate::shell::diff::unified;
use crate::sim::trace::What;
use crate::sim::{History, RecordId};

use super::asked::LINES;
use super::inspect::to_yaml;
use super::{Detail, Reference};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Lines around a change.
const CONTEXT: usize = 2;

/// By the names of the stages: what each changed in the object of the request in line `record`, as a diff of YAML, or with
/// which words it was refused. `None` as long as it is not decided. The time from the nearest checkpoint on is played
/// once more for this, so ask once.
pub fn admitted(history: &History<Cluster>, record: u64) -> Option<Vec<(String, String)>> {
    let What::Sent { from: client, message: Message::Request(request), .. } =
        &history.trace.get(RecordId(record))?.what
    else {
        return None;
    };
    if request.verb.is_read() {
        return Some(Vec::new());
    }
    let (mut server, mut message) = (None, String::new());
    for line in record + 1..record + LINES {
        let found = history.trace.get(RecordId(line))?;
        match &found.what {
            What::Note {
                actor,
                note: Note::Stage { client: other, id, stage: Stage::Storage, from, .. },
            } if other == client && *id == request.id => server = Some((*actor, *from, found.time)),
            What::Sent { to, message: Message::Response(response), .. }
                if to == client && response.id == request.id =>
            {
                if response.code >= 400 {
                    message.push_str(response.body.text("message"));
                }
                break;
            }
            _ => {}
        }
    }
    let (server, from, until) = server?;
    let mut engine = history.replay(from, until, |cluster| {
        if let Some(server) = cluster.api_server_mut(server) {
            server.watch_closely(*client, request.id);
        }
    });
    let seen = engine.world.api_server_mut(server).map_or(&[][..], |server| ApiServer::seen(server));
    let mut changes = Vec::new();
    for pair in seen.windows(2) {
        let [(name, before), (_, after)] = pair else { continue };
        if !before.is_same(after) {
            let diff = difference(before, after);
            if !diff.is_empty() {
                changes.push((name.to_string(), diff));
            }
        }
    }
    if !message.is_empty()
        && let Some((name, _)) = seen.last()
    {
        changes.push((name.to_string(), message));
    }
    Some(changes)
}

/// The lines in which two versions of an object differ. Who owns which field is told elsewhere.
pub(super) fn difference(before: &Value, after: &Value) -> String {
    let [before, after] = [before, after].map(|object| {
        let mut object = object.clone();
        object.remove("metadata.managedFields");
        to_yaml(&object)
    });
    unified(&before, &after, CONTEXT)
}

/// What the card of an object says of where it has its fields from: who manages which, and what defaults, admission and
/// controllers have added to what was applied.
pub(super) fn fill(detail: &mut Detail, object: &Value) {
    let mut managers = Vec::new();
    for entry in object.items("metadata.managedFields") {
        let mut text = entry.shared_text("manager").to_string();
        for field in ["operation", "subresource"] {
            if entry.has(field) {
                text.push_str(", ");
                text.push_str(entry.text(field));
            }
        }
        let mut paths = Vec::new();
        owned(entry.at("fieldsV1"), "", 2, &mut paths);
        managers.push(Reference { text, about: paths.join(", "), ..Reference::default() });
    }
    if !managers.is_empty() {
        detail.references.push(("Who manages which fields".into(), managers));
    }
    let annotations = object.map("metadata.annotations");
    let applied = annotations.get(LAST_APPLIED).and_then(Value::as_str);
    if let Some(applied) = applied.and_then(|applied| serde_json::from_str::<Value>(applied).ok()) {
        let mut object = object.clone();
        object.at_mut("metadata.annotations").make_object().remove(LAST_APPLIED);
        detail.changes.push(("Added to what was applied".into(), difference(&applied, &object)));
    }
}

/// The fields of a set, so many levels deep.
fn owned(set: &Value, path: &str, depth: usize, paths: &mut Vec<String>) {
    let mut is_leaf = true;
    for (name, below) in set.as_object().into_iter().flat_map(|set| set.iter()) {
        if let Some(name) = name.strip_prefix("f:").filter(|_| depth > 0) {
            is_leaf = false;
            let dot = if path.is_empty() { "" } else { "." };
            owned(below, &[path, dot, name].concat(), depth - 1, paths);
        }
    }
    if is_leaf && !path.is_empty() {
        paths.push(path.into());
    }
}
