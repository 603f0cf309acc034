//! What a member is started with: those of etcd's flags that an operator may want to change.
//!
//! Picture to hold in mind: the note beside the power switch. It is read when the switch is turned, and not again.

use super::ELECTION_TICKS;
use crate::api::time_format::{go_duration, parse_go_duration};
use crate::etcd::raft::{Config, Flaw};
use crate::message::raft::MemberId;
use crate::sim::Duration;

/// The defaults are etcd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// `--pre-vote`: it asks whether it could win before it stands for election in a new term.
    pub pre_vote: bool,
    /// `--snapshot-count`: entries applied between two snapshots of the member itself.
    pub snapshot_entries: u64,
    /// `--snapshot-catchup-entries`: what of the log is kept for members that lag a little.
    pub catch_up_entries: u64,
    /// `InitialCorruptCheck` of `--feature-gates`: it does not start with data that is not the others'.
    pub initial_corrupt_check: bool,
    /// `CompactHashCheck` of `--feature-gates`: a leader compares what every member held at a compaction.
    pub compact_hash_check: bool,
    /// `LeaseCheckpoint` of `--feature-gates`: a leader notes in the log what is left of long leases.
    pub lease_checkpoint: bool,
    /// `--corrupt-check-time`: how often a leader compares what all members hold; 0: never.
    pub corrupt_check_time: Duration,
    /// `--compact-hash-check-time`
    pub compact_hash_check_time: Duration,
    /// `--watch-progress-notify-interval`
    pub watch_progress_notify_interval: Duration,
    /// A rule of Raft that it breaks, for tests of the laws; no flag of etcd's.
    pub flaw: Option<Flaw>,
}

impl Default for Flags {
    fn default() -> Flags {
        Flags {
            pre_vote: true,
            snapshot_entries: 10_000,
            catch_up_entries: 5_000,
            initial_corrupt_check: false,
            compact_hash_check: false,
            lease_checkpoint: false,
            corrupt_check_time: Duration::ZERO,
            compact_hash_check_time: Duration::from_secs(60),
            watch_progress_notify_interval: Duration::from_secs(600),
            flaw: None,
        }
    }
}

/// What 3.5 called them; 3.6 still takes these.
const EXPERIMENTAL: [(&str, &str); 3] = [
    ("--experimental-initial-corrupt-check", "InitialCorruptCheck"),
    ("--experimental-compact-hash-check-enabled", "CompactHashCheck"),
    ("--experimental-enable-lease-checkpoint", "LeaseCheckpoint"),
];

impl Flags {
    fn gates(&mut self) -> [(&'static str, &mut bool); 3] {
        [
            ("InitialCorruptCheck", &mut self.initial_corrupt_check),
            ("CompactHashCheck", &mut self.compact_hash_check),
            ("LeaseCheckpoint", &mut self.lease_checkpoint),
        ]
    }
    fn numbers(&mut self) -> [(&'static str, &mut u64); 2] {
        [
            ("--snapshot-count", &mut self.snapshot_entries),
            ("--snapshot-catchup-entries", &mut self.catch_up_entries),
        ]
    }
    fn durations(&mut self) -> [(&'static str, &mut Duration); 3] {
        [
            ("--corrupt-check-time", &mut self.corrupt_check_time),
            ("--compact-hash-check-time", &mut self.compact_hash_check_time),
            ("--watch-progress-notify-interval", &mut self.watch_progress_notify_interval),
        ]
    }

    /// Takes one flag; `None`: it is not understood.
    fn take(&mut self, flag: &str) -> Option<()> {
        let (name, value) = flag.split_once('=')?;
        if name == "--feature-gates" {
            return value.split(',').try_for_each(|gate| {
                let (name, value) = gate.split_once('=')?;
                self.open(name, value)
            });
        }
        if let Some((_, gate)) = EXPERIMENTAL.iter().find(|(old, _)| *old == name) {
            return self.open(gate, value);
        }
        if name == "--pre-vote" {
            self.pre_vote = value.parse().ok()?;
        } else if let Some((_, number)) = self.numbers().into_iter().find(|(other, _)| *other == name) {
            *number = value.parse().ok()?;
        } else {
            let rest = name.strip_prefix("--experimental-");
            let is_called = |other: &str| other == name || rest == other.strip_prefix("--");
            let (name, duration) = self.durations().into_iter().find(|(other, _)| is_called(other))?;
            let micros = u64::try_from(parse_go_duration(value)?).ok()?;
            // Only the first may be off.
            if micros == 0 && name != "--corrupt-check-time" {
                return None;
            }
            *duration = Duration(micros);
        }
        Some(())
    }
    fn open(&mut self, gate: &str, value: &str) -> Option<()> {
        let (_, is_open) = self.gates().into_iter().find(|(name, _)| *name == gate)?;
        *is_open = value.parse().ok()?;
        Some(())
    }

    /// Reads flags as they stand on a command line, one each, behind those that are `usual`; in a sentence, which of
    /// them is not understood.
    pub fn read(usual: &Flags, given: &[String]) -> Result<Flags, String> {
        let mut flags = usual.clone();
        for flag in given {
            flags.take(flag).ok_or_else(|| {
                format!("{flag:?} is none of --pre-vote=, --snapshot-count=, --snapshot-catchup-entries=, --corrupt-check-time=, --compact-hash-check-time=, --watch-progress-notify-interval= and --feature-gates= with InitialCorruptCheck, CompactHashCheck or LeaseCheckpoint")
            })?;
        }
        Ok(flags)
    }

    /// What kubeadm 1.36 starts a member with, but for `--watch-progress-notify-interval=5s`: every watch of every API
    /// server would be told every five seconds that nothing is new.
    pub fn of_kubeadm() -> Flags {
        Flags { initial_corrupt_check: true, ..Flags::default() }
    }

    /// Those that are not as is `usual`, as on a command line.
    pub fn text(&self, usual: &Flags) -> String {
        let (mut usual, mut all) = (usual.clone(), self.clone());
        let mut text = Vec::new();
        if self.pre_vote != usual.pre_vote {
            text.push(format!("--pre-vote={}", self.pre_vote));
        }
        for ((name, value), (_, usual)) in all.numbers().into_iter().zip(usual.numbers()) {
            if value != usual {
                text.push(format!("{name}={value}"));
            }
        }
        for ((name, value), (_, usual)) in all.durations().into_iter().zip(usual.durations()) {
            if value != usual {
                text.push(format!("{name}={}", go_duration(*value)));
            }
        }
        let gates =
            all.gates().into_iter().zip(usual.gates()).filter(|((_, is_open), (_, usual))| is_open != usual);
        let gates: Vec<String> = gates.map(|((name, is_open), _)| format!("{name}={is_open}")).collect();
        if !gates.is_empty() {
            text.push(format!("--feature-gates={}", gates.join(",")));
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
        let read = |line: &str| {
            let given: Vec<String> = line.split_whitespace().map(String::from).collect();
            Flags::read(&Flags::default(), &given).map(|flags| flags.text(&Flags::default()))
        };
        for line in [
            "",
            "--pre-vote=false",
            "--snapshot-count=5 --snapshot-catchup-entries=2",
            "--corrupt-check-time=1m0s --watch-progress-notify-interval=1s",
            "--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true",
        ] {
            assert_eq!(read(line), Ok(line.to_string()));
        }
        for (old, new) in [
            ("--experimental-initial-corrupt-check=true", "--feature-gates=InitialCorruptCheck=true"),
            ("--experimental-corrupt-check-time=90s", "--corrupt-check-time=1m30s"),
            ("--feature-gates=LeaseCheckpoint=false", ""),
            ("--corrupt-check-time=0s", ""),
        ] {
            assert_eq!(read(old), Ok(new.to_string()));
        }
        let usual = Flags::of_kubeadm();
        assert_eq!(usual.text(&usual), "");
        let off = "--feature-gates=InitialCorruptCheck=false";
        assert_eq!(Flags::read(&usual, &[off.into()]).map(|flags| flags.text(&usual)), Ok(off.into()));
        for flag in [
            "",
            "--pre-vote",
            "--pre-vote=no",
            "--snapshot-count=-1",
            "--name=x",
            "--feature-gates=Unheard=true",
            "--feature-gates=InitialCorruptCheck",
            "--corrupt-check-time=soon",
            "--compact-hash-check-time=0s",
        ] {
            assert!(Flags::read(&Flags::default(), &[flag.to_string()]).is_err(), "{flag}");
        }
    }
}
