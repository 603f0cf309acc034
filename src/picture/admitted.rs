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
            let diff = unified(&text(before), &text(after), CONTEXT);
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

/// Who owns which field is told elsewhere.
fn text(object: &Value) -> String {
    let mut object = object.clone();
    object.remove("metadata.managedFields");
    to_yaml(&object)
}
