//! How a new member finds those that it belongs to (etcd's `GetClusterFromRemotePeers`).
//!
//! Picture to hold in mind: a new clerk with the others' addresses in his hand. He knocks at one door after the other
//! and asks for the list of members, until he reads his own address on it; then he knows his number, and sits down.

use std::sync::Arc;

use super::{Backend, Member, Peer};
use crate::etcd::raft::Disk;
use crate::language::Context;
use crate::message::Message;
use crate::message::etcd::{Image, Operation, Outcome, Request, Response};
use crate::message::raft::{EntryId, MemberId, Snapshot};
use crate::sim::{ActorId, Duration, Time};

/// One who does not answer is given up, and the next is asked.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Joining {
    others: Vec<ActorId>,
    /// Asks to be added, with a vote or without.
    wish: Option<bool>,
    /// How many questions were put, and when the last.
    asked: u64,
    last: Option<Time>,
    /// Whether the last question was to be added.
    is_not_listed: bool,
}

impl Joining {
    pub fn new(others: &[Peer], is_learner: Option<bool>) -> Joining {
        let others = others.iter().map(|peer| peer.actor).collect();
        Joining { others, wish: is_learner, asked: 0, last: None, is_not_listed: false }
    }
}

impl Member {
    /// This process as a member of a new cluster that begins with what a backup holds (`etcdutl snapshot restore`).
    /// `None`: the image is not one of etcd's.
    pub fn restored(&self, me: &Peer, founders: &[Peer], image: &Image) -> Option<Member> {
        let backend: &Backend = image.0.downcast_ref()?;
        let mut member = self.anew(Member::founding(me, founders));
        member.backend.store = backend.store.clone();
        member.backend.auth = backend.auth.clone();
        // Whoever joins later has to be sent it: no entry of the log says what is in it.
        let last = EntryId { term: 1, index: member.applied };
        let data = Image(Arc::new(member.backend.clone()));
        let snapshot = Snapshot { last, configuration: member.configuration.clone(), data };
        member.disk = Disk::restored(Arc::new(snapshot));
        member.database.open(&member.backend.store);
        Some(member)
    }

    /// `member` in place of this one: what belongs to the machine and the command line stays.
    pub fn anew(&self, member: Member) -> Member {
        Member {
            directory: self.directory.clone(),
            quota_bytes: self.quota_bytes,
            version: self.version.clone(),
            disk_latency: self.disk_latency,
            tick: self.tick,
            flags: self.flags.clone(),
            usual_flags: self.usual_flags.clone(),
            ..member
        }
    }

    pub(super) fn look_for_others(&mut self, context: &mut Context) {
        let Some(joining) = &mut self.joining else { return };
        let is_due = joining.last.is_none_or(|last| context.now().since(last) >= PATIENCE);
        if !is_due || joining.others.is_empty() {
            return;
        }
        let operation = match joining.wish {
            Some(is_learner) if joining.is_not_listed => {
                Operation::MemberAdd { peer_url: self.me.peer_url.clone(), is_learner }
            }
            _ => Operation::MemberList,
        };
        let to = joining.others[(joining.asked % joining.others.len() as u64) as usize];
        joining.asked += 1;
        joining.last = Some(context.now());
        let request = Request { id: joining.asked, operation };
        context.send(to, Message::EtcdRequest(Arc::new(request)));
    }

    /// Reads the list of members for the own address.
    pub(super) fn meet(&mut self, response: &Response, context: &mut Context) {
        let Some(joining) = &mut self.joining else { return };
        joining.last = Some(context.now());
        let Ok(Outcome::Members(members)) = &response.result else {
            // Perhaps it was added by another's hand, or nobody leads just now: the list is asked for again.
            joining.is_not_listed = false;
            return;
        };
        match members.iter().find(|member| member.peer_url == self.me.peer_url) {
            Some(me) => {
                self.me.id = MemberId(me.id);
                self.cluster = response.cluster;
                self.remotes = members.clone();
                self.joining = None;
                self.begin(context);
            }
            None => {
                joining.is_not_listed = true;
                joining.last = None;
            }
        }
    }
}
