//! What etcd's members do among themselves, told sentence by sentence: who asks for votes and who gives them and why, who
//! leads, how far an entry has come.
//!
//! Picture to hold in mind: the commentator of a chess game. The moves are all in the record; the commentator looks back a
//! few lines and says what the last one means. Heartbeats, and entries that only renew leases, are silence.

use crate::cluster::{Cluster, Role};
use crate::etcd::member::view;
use crate::language::Wire;
use crate::message::Message;
use crate::message::etcd::Replicated;
use crate::message::raft::{Body, Entry, Message as Raft, Payload};
use crate::note::Note;
use crate::sim::trace::What;
use crate::sim::{ActorId, History, Record, RecordId, Time};

use super::flow::is_breathing;
use super::narration::{Sentence, Teller};

/// Lines that are looked back over at most.
const LINES: u64 = 8_000;
/// No election timer is shorter, in microseconds: who asks earlier was made to.
const SHORTEST_TIMEOUT_US: u64 = 900_000;

/// A sentence with gaps: `{a}` and `{b}` for two members, `{n}` for a word, `{t}` for the term.
struct Told {
    text: &'static str,
    a: ActorId,
    b: ActorId,
    word: String,
    term: u64,
}

/// A line of the record as told to who looks at etcd alone; `None` where there is nothing to say.
pub fn tell_etcd(history: &History<Cluster>, id: RecordId) -> Option<Sentence> {
    let record = history.trace.get(id)?;
    let look = Look { history, id, now: record.time };
    let told = match &record.what {
        What::Note { actor, note: Note::Role { role, term } } => look.role(record, *actor, role, *term),
        // A vote that is not even answered leaves no message.
        What::Note { actor, note: Note::Log { line } } if line.contains("lease is not expired") => {
            let (from, message) = look.cause(record)?;
            let text = "{a} does not answer {b}: it has heard a leader, so it takes part in no election";
            Some(Told { text, a: *actor, b: from, word: String::new(), term: message.term })
        }
        What::Sent { from, to, message: Message::Raft(message), .. } => look.sent(*from, *to, message),
        _ => None,
    }?;
    let mut text = String::new();
    let (a, b, term) = (call(history.world(), told.a), call(history.world(), told.b), told.term.to_string());
    for (place, part) in told.text.split(['{', '}']).enumerate() {
        text.push_str(match part {
            _ if place % 2 == 0 => part,
            "a" => &a,
            "b" => &b,
            "t" => &term,
            _ => &told.word,
        });
    }
    Some(Sentence { record: id.0, time_us: record.time.0, teller: Teller::Etcd, text, is_failure: false })
}

/// Whether a line is of an election that all should hear of: who stands, who leads, who no longer does.
pub(super) fn is_news(history: &History<Cluster>, id: RecordId, actor: ActorId, role: &str) -> bool {
    let was = Look { history, id, now: Time::ZERO }.last_role(actor);
    matches!(role, "candidate" | "leader")
        || role == "follower" && was.is_some_and(|(was, _)| was == "leader")
}

/// `m1`: a member as the lens calls it, by its place.
fn call(cluster: &Cluster, actor: ActorId) -> String {
    let members = cluster.processes().iter().filter(|process| matches!(&*process.role, Role::Etcd(_)));
    let before = members.take_while(|process| process.actor != actor).count();
    let mut name = String::from("m");
    name.push_str(&(before + 1).to_string());
    name
}

/// The record as it was when line `id` was written.
#[derive(Clone, Copy)]
struct Look<'a> {
    history: &'a History<Cluster>,
    id: RecordId,
    now: Time,
}

impl<'a> Look<'a> {
    /// The lines before, the newest first.
    fn before(self) -> impl Iterator<Item = &'a Record<Wire>> {
        let lines = (self.id.0.saturating_sub(LINES)..self.id.0).rev();
        lines.filter_map(move |id| self.history.trace.get(RecordId(id)))
    }

    /// The messages between members before, the newest first: from, to, when it arrives, what.
    fn letters(self) -> impl Iterator<Item = (ActorId, ActorId, Option<Time>, &'a Raft<Replicated>)> {
        self.before().filter_map(|record| match &record.what {
            What::Sent { from, to, arrives, message: Message::Raft(message) } => {
                Some((*from, *to, arrives.ok(), &**message))
            }
            _ => None,
        })
    }

    fn last_role(self, actor: ActorId) -> Option<(&'static str, u64)> {
        self.before().find_map(|record| match &record.what {
            What::Note { actor: other, note: Note::Role { role, term } } if *other == actor => {
                Some((*role, *term))
            }
            _ => None,
        })
    }

    /// The message between members that a line follows from.
    fn cause(self, record: &Record<Wire>) -> Option<(ActorId, &'a Raft<Replicated>)> {
        match &self.history.trace.get(record.cause()?)?.what {
            What::Sent { from, message: Message::Raft(message), .. } => Some((*from, message)),
            _ => None,
        }
    }

    fn role(self, record: &Record<Wire>, a: ActorId, role: &str, term: u64) -> Option<Told> {
        let was = self.last_role(a).map_or("", |(was, _)| was);
        let cause = self.cause(record);
        let mut told = Told { text: "", a, b: cause.map_or(a, |(from, _)| from), word: String::new(), term };
        told.text = match (role, was) {
            ("pre-candidate", "candidate") => {
                "{a} got no majority in term {t}, and asks anew whether the others would vote for it"
            }
            ("pre-candidate", "pre-candidate") => {
                "No majority answers {a}: it stays in term {t}, and asks again"
            }
            ("pre-candidate", _) => match self.silence(a) {
                Some(silence) if silence >= SHORTEST_TIMEOUT_US => {
                    told.word = (silence / 1_000_000).to_string();
                    told.word.push('.');
                    told.word.push_str(&(silence / 100_000 % 10).to_string());
                    "{a} has heard nothing of a leader for {n} s, and asks the others whether they would vote for it"
                }
                Some(_) => "{a}'s election timer rings: it asks the others whether they would vote for it",
                None => "{a} knows of no leader, and asks the others whether they would vote for it",
            },
            ("candidate", "candidate") => {
                "{a} got no majority, votes for itself again and stands in term {t}"
            }
            ("candidate", "pre-candidate") => {
                "A majority would vote for {a}: it votes for itself and stands for election in term {t}"
            }
            ("candidate", _)
                if cause.is_some_and(|(_, message)| matches!(message.body, Body::TimeoutNow)) =>
            {
                "{b} tells {a} to take over: it votes for itself and stands for election in term {t}"
            }
            ("candidate", _) => {
                "{a} has heard of no leader: it votes for itself and stands for election in term {t}"
            }
            ("leader", _) => {
                let votes = self.votes(a, term);
                told.word = votes.len().to_string();
                told.word.push_str(" of ");
                told.word.push_str(&self.voters(a).to_string());
                for (place, voter) in votes.iter().enumerate() {
                    told.word.push_str(if place == 0 { " votes (" } else { ", " });
                    told.word.push_str(&call(self.history.world(), *voter));
                }
                "{a} has {n}) and leads term {t}"
            }
            ("follower", "leader") => match cause {
                Some((_, message)) if message.term >= term => {
                    "{a} hears from {b} of term {t}, and leads no longer"
                }
                _ => "{a} has long heard from no majority, and leads no longer",
            },
            ("follower", "candidate" | "pre-candidate") => match cause.map(|(_, message)| &message.body) {
                Some(Body::PreVoteResp { .. }) => {
                    "{a} would get no majority: it does not stand, and stays in term {t}"
                }
                Some(Body::VoteResp { .. }) => {
                    "A majority refuses {a} its vote: it is not elected in term {t}"
                }
                Some(Body::App { .. } | Body::Heartbeat { .. } | Body::Snap { .. }) => {
                    "{a} hears from the leader {b}, and follows it in term {t}"
                }
                Some(_) => "{a} hears from {b} of term {t}, and no longer asks for votes itself",
                None => return None,
            },
            _ => return None,
        };
        Some(told)
    }

    /// For how long nothing of a leader has come, in microseconds.
    fn silence(self, actor: ActorId) -> Option<u64> {
        let arrivals = self.letters().filter_map(|(_, to, arrives, message)| {
            let is_leaders =
                matches!(message.body, Body::App { .. } | Body::Heartbeat { .. } | Body::Snap { .. });
            arrives.filter(|arrives| to == actor && is_leaders && *arrives <= self.now)
        });
        arrivals.map(|arrives| self.now.0 - arrives.0).next()
    }

    /// Whose votes have come in, its own first.
    fn votes(self, candidate: ActorId, term: u64) -> Vec<ActorId> {
        let mut votes = vec![candidate];
        for (from, to, arrives, message) in self.letters() {
            if to == candidate
                && message.term == term
                && matches!(message.body, Body::VoteResp { rejected: false })
                && arrives.is_some_and(|arrives| arrives <= self.now)
                && !votes.contains(&from)
            {
                votes.insert(1, from);
            }
        }
        votes
    }

    fn voters(self, actor: ActorId) -> usize {
        let process = self.history.world().processes().get(actor.0 as usize);
        match process.map(|process| &*process.role) {
            Some(Role::Etcd(member)) => member.view(self.now, 0).configuration.voters.members().len(),
            _ => 1,
        }
    }

    /// Whom a member has voted for in a term.
    fn vote(self, voter: ActorId, term: u64) -> Option<ActorId> {
        let given = self.letters().find_map(|(from, to, _, message)| {
            let is_it = from == voter
                && message.term == term
                && matches!(message.body, Body::VoteResp { rejected: false });
            is_it.then_some(to)
        });
        let stands = |(role, stood): (&str, u64)| stood == term && matches!(role, "candidate" | "leader");
        given.or_else(|| self.last_role(voter).filter(|last| stands(*last)).map(|_| voter))
    }

    fn sent(self, a: ActorId, b: ActorId, message: &Raft<Replicated>) -> Option<Told> {
        let mut told = Told { text: "", a, b, word: String::new(), term: message.term };
        told.text = match &message.body {
            Body::PreVoteResp { rejected: false } => {
                "{a} would vote for {b}: {b}'s log is at least as new as its own"
            }
            Body::VoteResp { rejected: false } => {
                "{a} votes for {b}: {b}'s log is at least as new as its own, and it has not voted in term {t} yet"
            }
            Body::PreVoteResp { rejected: true } | Body::VoteResp { rejected: true } => {
                let causes = self.history.trace.causes(self.id).skip(1).take(8);
                let asked = causes.into_iter().find_map(|(_, record)| match &record.what {
                    What::Sent { message: Message::Raft(message), .. } => match &message.body {
                        Body::PreVote { last } | Body::Vote { last, .. } => Some((message.term, last.index)),
                        _ => None,
                    },
                    _ => None,
                });
                match (self.vote(a, message.term), asked) {
                    (_, Some((term, _))) if term < message.term => {
                        "{a} refuses {b} its vote: it is in term {t} already"
                    }
                    (Some(other), _) if matches!(message.body, Body::VoteResp { .. }) => {
                        told.word =
                            if other == a { "itself".into() } else { call(self.history.world(), other) };
                        "{a} refuses {b} its vote: it has voted for {n} in term {t}"
                    }
                    (_, asked) => {
                        told.word = asked.map_or(0, |(_, index)| index).to_string();
                        "{a} refuses {b} its vote: {b}'s log ends with entry {n}, and its own is newer"
                    }
                }
            }
            Body::App { entries, commit, .. } => {
                let of_sender =
                    |(from, _, _, before): &(ActorId, ActorId, Option<Time>, &Raft<Replicated>)| {
                        *from == a && before.term == message.term && matches!(before.body, Body::App { .. })
                    };
                let before = self.letters().find(of_sender).map(|(_, _, _, before)| &before.body);
                let (sent, committed) = match before {
                    Some(Body::App { previous, entries, commit }) => {
                        (previous.index + entries.len() as u64, *commit)
                    }
                    _ => (0, *commit),
                };
                let is_settled = *commit > committed && !self.is_quiet(a, *commit);
                match entries.last() {
                    _ if is_settled => {
                        told.word = commit.to_string();
                        "Entry {n} is on a majority of the disks: committed"
                    }
                    Some(last) if last.index <= *commit && last.index < sent => {
                        told.word = last.index.to_string();
                        "{a} sends {b} what it lacks, up to entry {n}"
                    }
                    Some(last) if last.index > sent && !is_breath(last) => {
                        told.word = last.index.to_string();
                        told.word.push_str(" (");
                        match &last.payload {
                            Payload::Normal(proposal) => told.word.push_str(&proposal.to_string()),
                            Payload::Empty => told.word.push_str("empty: a new leader's first"),
                            Payload::ConfChange(_) => told.word.push_str("who is a member"),
                        }
                        "{a} writes entry {n}), and sends it to the others"
                    }
                    _ => return None,
                }
            }
            Body::AppResp { index, rejected: None } => {
                let before = self.letters().find_map(|(from, _, _, before)| match before.body {
                    Body::AppResp { index, rejected: None } if from == a => Some(index),
                    _ => None,
                });
                if before.is_none_or(|before| before >= *index) || self.is_quiet(b, *index) {
                    return None;
                }
                told.word = index.to_string();
                "{a} has entry {n} on its disk, and tells {b}"
            }
            Body::AppResp { rejected: Some(rejection), .. } => {
                told.word = rejection.hint.index.to_string();
                "{a} cannot join that to its log, which agrees up to entry {n} at most: {b} goes back there"
            }
            Body::Snap { snapshot } => {
                told.word = snapshot.last.index.to_string();
                "{a} sends {b} its whole store as of entry {n}: the log before that is gone"
            }
            _ => return None,
        };
        Some(told)
    }

    /// Whether an entry is none that anybody waits for.
    fn is_quiet(self, leader: ActorId, index: u64) -> bool {
        let process = self.history.world().processes().get(leader.0 as usize);
        match process.map(|process| &*process.role) {
            Some(Role::Etcd(member)) => member.entry(index).is_none_or(is_breath),
            _ => true,
        }
    }
}

fn is_breath(entry: &Entry<Replicated>) -> bool {
    is_breathing(&view::changed_key(entry))
}
