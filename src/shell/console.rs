//! The terminal at a node's console: what it changes on the node's disk, and what it is told of it.
//!
//! Picture to hold in mind: a desk that stands in the machine room. Two of its drawers open into the machine's own
//! cabinet from the other side: what one puts in, the other finds.

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::Message;
use crate::message::cri::{HostChange, HostFile};
use crate::sim::ActorId;

use super::files::{Entry, Files};

/// The folders that are the node's.
const SHARED: &[&str] = &["/etc/cni/net.d", "/etc/kubernetes", "/var/lib/etcd"];

/// Takes over what has changed on the node's disk.
pub(super) fn take(files: &mut Files, file: &HostFile) {
    // A path that cannot be written here is one that something else of the terminal's stands in the way of.
    let _ = match &file.change {
        HostChange::Written(content) => files.put(&file.path, content.clone()),
        HostChange::DirectoryMade => files.make_folders(&file.path),
        HostChange::Removed => files.remove(&file.path),
    };
}

/// Tells the node's engine what has changed in the shared folders since `before`.
pub(super) fn tell(before: &Files, after: &Files, engine: ActorId, context: &mut Context) {
    let mut send = |path: &Text, change: HostChange| {
        let file = HostFile { path: path.clone(), change };
        context.send(engine, Message::HostFile(Arc::new(file)));
    };
    for folder in SHARED {
        for (path, entry) in after.below(folder) {
            if before.get(path) != Some(entry) {
                send(
                    path,
                    match entry {
                        Entry::Folder => HostChange::DirectoryMade,
                        Entry::File(content) => HostChange::Written(content.clone()),
                    },
                );
            }
        }
        for (path, _) in before.below(folder).filter(|(path, _)| after.get(path).is_none()) {
            send(path, HostChange::Removed);
        }
    }
}
