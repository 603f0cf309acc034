//! Who owns whom: the dependency graph of all objects, kept up to date by their informers.
//!
//! Picture to hold in mind: a family register. Each birth is entered under its parents; a parent that nobody
//! has seen yet gets a page with the name only (virtual), until seen or known not to exist.
//!
//! After `graph.go` and `graph_builder.go`. Cheap to clone: a sync works with the register as it stood.

use crate::shared_map::{SharedMap, SharedSet};

use crate::api::{Text, Value, meta};

/// Names an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub api_version: Text,
    pub kind: Text,
    pub namespace: Text,
    pub name: Text,
    pub uid: Text,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub identity: Identity,
    pub owners: Vec<Value>,
    pub dependents: SharedSet<Text>,
    /// Known only from the references of others.
    pub is_virtual: bool,
    pub is_deleting: bool,
    /// Waits for its dependents to go first (foreground deletion).
    pub deletes_dependents: bool,
}

#[derive(Clone, Default)]
pub struct Graph {
    nodes: SharedMap<Text, Node>,
    /// Owners that are known not to exist (any more).
    absent: SharedSet<Text>,
}

/// What must be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Should the object of this UID be deleted?
    Delete(Text),
    /// Its dependents are to lose it as their owner.
    Orphan(Text),
    /// Which custom resources are there?
    Discover,
}

impl Task {
    pub fn key(&self) -> Text {
        match self {
            Task::Delete(uid) => arcstr::format!("delete/{uid}"),
            Task::Orphan(uid) => arcstr::format!("orphan/{uid}"),
            Task::Discover => arcstr::literal!("discover/"),
        }
    }
    pub fn parse(key: &str) -> Option<Task> {
        match key.split_once('/')? {
            ("delete", uid) => Some(Task::Delete(uid.into())),
            ("orphan", uid) => Some(Task::Orphan(uid.into())),
            ("discover", _) => Some(Task::Discover),
            _ => None,
        }
    }
}

fn deletes_dependents(object: &Value) -> bool {
    meta::is_deleting(object) && meta::has_finalizer(object, "foregroundDeletion")
}
fn orphans_dependents(object: &Value) -> bool {
    meta::is_deleting(object) && meta::has_finalizer(object, "orphan")
}

impl Graph {
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }
    pub fn is_absent(&self, uid: &str) -> bool {
        self.absent.contains_key(uid)
    }
    pub fn note_absent(&mut self, uid: &Text) {
        self.absent.include(uid.clone());
    }
    /// The dependents of `uid` that hold up its deletion.
    pub fn blocking_dependents(&self, uid: &str) -> Vec<Text> {
        self.dependents(uid)
            .filter(|dependent| {
                dependent
                    .owners
                    .iter()
                    .any(|owner| owner.text("uid") == uid && owner.is_true("blockOwnerDeletion"))
            })
            .map(|dependent| dependent.identity.uid.clone())
            .collect()
    }
    pub fn dependents<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.nodes
            .get(uid)
            .into_iter()
            .flat_map(|node| node.dependents.keys())
            .filter_map(|dependent| self.nodes.get(dependent))
    }

    /// An object of kind (`api_version`, `kind`) was seen.
    pub fn set(&mut self, object: &Value, (api_version, kind): (&Text, &Text), tasks: &mut Vec<Task>) {
        let uid = object.shared_text("metadata.uid");
        let owners = meta::owner_references(object);
        let is_deleting = meta::is_deleting(object);
        let foreground = deletes_dependents(object);
        let known = self.nodes.get(&uid);
        if let Some(known) = known
            && !known.is_virtual
            && known.owners == owners
            && known.is_deleting == is_deleting
            && known.deletes_dependents == foreground
        {
            // Most updates: neither kin nor life and death are concerned.
            return;
        }
        let was_foreground = known.is_some_and(|known| known.deletes_dependents);
        let was_deleting = known.is_some_and(|known| known.is_deleting);
        let old_owners = known.map(|known| known.owners.clone()).unwrap_or_default();
        let dependents = known.map(|known| known.dependents.clone()).unwrap_or_default();
        let node = Node {
            identity: Identity {
                api_version: api_version.clone(),
                kind: kind.clone(),
                namespace: object.shared_text("metadata.namespace"),
                name: object.shared_text("metadata.name"),
                uid: uid.clone(),
            },
            owners: owners.to_vec(),
            dependents,
            is_virtual: false,
            is_deleting,
            deletes_dependents: foreground,
        };
        self.nodes.insert(uid.clone(), node);
        self.absent.remove(&uid);
        self.change_owners(&uid, &old_owners, owners, tasks);
        if orphans_dependents(object) && !was_deleting {
            tasks.push(Task::Orphan(uid));
        } else if foreground && !was_foreground {
            tasks.extend(self.dependents(&uid).map(|node| Task::Delete(node.identity.uid.clone())));
            tasks.push(Task::Delete(uid));
        }
    }

    fn change_owners(&mut self, uid: &Text, old: &[Value], new: &[Value], tasks: &mut Vec<Task>) {
        let names = |owners: &[Value], owner: &Value| {
            owners.iter().find(|other| other.text("uid") == owner.text("uid")).cloned()
        };
        for owner in old {
            let now = names(new, owner);
            let unblocks = owner.is_true("blockOwnerDeletion")
                && now.as_ref().is_none_or(|now| !now.is_true("blockOwnerDeletion"));
            let owner_uid = owner.shared_text("uid");
            if now.is_none() {
                self.leave(&owner_uid, uid);
            }
            if unblocks && self.nodes.get(&owner_uid).is_some_and(|owner| owner.deletes_dependents) {
                tasks.push(Task::Delete(owner_uid));
            }
        }
        let namespace = self.nodes.get(uid).map(|node| node.identity.namespace.clone()).unwrap_or_default();
        for owner in new.iter().filter(|owner| names(old, owner).is_none()) {
            let owner_uid = owner.shared_text("uid");
            match self.nodes.get_mut(&owner_uid) {
                Some(node) => {
                    node.dependents.include(uid.clone());
                }
                None => {
                    let node = Node {
                        identity: Identity {
                            api_version: owner.shared_text("apiVersion"),
                            kind: owner.shared_text("kind"),
                            namespace: namespace.clone(),
                            name: owner.shared_text("name"),
                            uid: owner_uid.clone(),
                        },
                        owners: Vec::new(),
                        dependents: [uid.clone()].into_iter().collect(),
                        is_virtual: true,
                        is_deleting: false,
                        deletes_dependents: false,
                    };
                    self.nodes.insert(owner_uid.clone(), node);
                    // Somebody must find out whether this owner exists.
                    tasks.push(Task::Delete(owner_uid));
                }
            }
        }
    }
    fn leave(&mut self, owner: &Text, dependent: &Text) {
        let Some(node) = self.nodes.get_mut(owner) else { return };
        node.dependents.remove(dependent);
        if node.is_virtual && node.dependents.is_empty() {
            self.nodes.remove(owner);
        }
    }

    /// The object of `uid` is gone, or was never there.
    pub fn remove(&mut self, uid: &Text, tasks: &mut Vec<Task>) {
        let Some(node) = self.nodes.get(uid).cloned() else { return };
        self.nodes.remove(uid);
        for owner in &node.owners {
            let owner_uid = owner.shared_text("uid");
            self.leave(&owner_uid, uid);
            if self.nodes.get(&owner_uid).is_some_and(|owner| owner.deletes_dependents) {
                tasks.push(Task::Delete(owner_uid));
            }
        }
        if !node.dependents.is_empty() {
            self.note_absent(uid);
            tasks.extend(node.dependents.keys().cloned().map(Task::Delete));
        }
    }
}
