//! What a member is started with: those of etcd's flags that an operator may want to change.
//!
//! Picture to hold in mind: the note beside the power switch. It is read when the switch is turned, and not again.

use super::ELECTION_TICKS;
use crate::etcd::raft::{Config, Flaw};
use crate::message::raft::MemberId;

/// The defaults are etcd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// `--pre-vote`: it asks whether it could win before it stands for election in a new term.
    pub pre_vote: bool,
    /// `--snapshot-count`: entries applied between two snapshots of the member itself.
    pub snapshot_entries: u64,
    /// `--snapshot-catchup-entries`: what of the log is kept for members that lag a little.
    pub catch_up_entries: u64,
    /// A rule of Raft that it breaks, for tests of the laws; no flag of etcd's.
    pub flaw: Option<Flaw>,
}

impl Default for Flags {
    fn default() -> Flags {
        Flags { pre_vote: true, snapshot_entries: 10_000, catch_up_entries: 5_000, flaw: None }
    }
}

impl Flags {
    /// Reads flags as they stand on a command line, one each. What is not given is as ever; in a sentence, which of them
    /// is not understood.
    pub fn read(given: &[String]) -> Result<Flags, String> {
        let mut flags = Flags::default();
        for flag in given {
            let number = |text: &str| text.parse().ok();
            let read = match flag.split_once('=') {
                Some(("--pre-vote", value)) => value.parse().ok().map(|value| flags.pre_vote = value),
                Some(("--snapshot-count", value)) => {
                    number(value).map(|value| flags.snapshot_entries = value)
                }
                Some(("--snapshot-catchup-entries", value)) => {
                    number(value).map(|value| flags.catch_up_entries = value)
                }
                _ => None,
            };
            read.ok_or_else(|| {
                format!("{flag:?} is none of --pre-vote=, --snapshot-count= and --snapshot-catchup-entries=")
            })?;
        }
        Ok(flags)
    }

    /// Those that are not as ever, as on a command line.
    pub fn text(&self) -> String {
        let (usual, mut text) = (Flags::default(), Vec::new());
        if self.pre_vote != usual.pre_vote {
            text.push(format!("--pre-vote={}", self.pre_vote));
        }
        if self.snapshot_entries != usual.snapshot_entries {
            text.push(format!("--snapshot-count={}", self.snapshot_entries));
        }
        if self.catch_up_entries != usual.catch_up_entries {
            text.push(format!("--snapshot-catchup-entries={}", self.catch_up_entries));
        }
        text.join(" ")
    }

    pub(super) fn raft(&self, id: MemberId) -> Config {
        Config { election_ticks: ELECTION_TICKS, pre_vote: self.pre_vote, flaw: self.flaw, ..Config::new(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_they_are_written_and_others_refused() {
        for line in ["", "--pre-vote=false", "--snapshot-count=5 --snapshot-catchup-entries=2"] {
            let given: Vec<String> = line.split_whitespace().map(String::from).collect();
            assert_eq!(Flags::read(&given).map(|flags| flags.text()), Ok(line.to_string()));
        }
        for flag in ["", "--pre-vote", "--pre-vote=no", "--snapshot-count=-1", "--name=x"] {
            assert!(Flags::read(&[flag.to_string()]).is_err(), "{flag}");
        }
    }
}
