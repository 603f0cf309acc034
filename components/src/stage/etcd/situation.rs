//! The state of the group in two sentences: what is so, and what it means.
//!
//! Picture to hold in mind: a teacher at the board, who looks at the ring and says the one thing that matters now.

use clusterarium::picture::{EtcdMember, Picture};

/// What is so, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    pub headline: String,
    pub meaning: String,
    /// Nothing can be written now.
    pub is_trouble: bool,
}

pub fn of(picture: &Picture) -> Situation {
    let members = &picture.etcd;
    let name = |index: usize| format!("m{}", index + 1);
    let voters: Vec<usize> = (0..members.len()).filter(|index| !members[*index].is_learner).collect();
    let majority = voters.len() / 2 + 1;
    let running = voters.iter().filter(|index| members[**index].is_running).count();
    // After a partition an old leader may not know yet that it is none: the highest term counts.
    let leader = running_with_role(members, "Leader").max_by_key(|index| members[*index].term);
    let candidate = running_with_role(members, "Candidate").max_by_key(|index| members[*index].term);
    let asking = running_with_role(members, "PreCandidate").next();
    if let Some(candidate) = candidate {
        let member = &members[candidate];
        return Situation {
            headline: format!("{} stands for election in term {}", name(candidate), member.term),
            meaning: format!(
                "It has {} of the {majority} votes that it needs. Each member votes once in a term, and only for \
                 a log that is as far as its own.",
                granted(member)
            ),
            is_trouble: true,
        };
    }
    if let (Some(asking), Some(leader)) = (asking, leader) {
        return Situation {
            headline: format!(
                "{} leads term {}; {} hears no leader",
                name(leader),
                members[leader].term,
                name(asking)
            ),
            meaning: format!(
                "{} asks whether it could win an election (pre-vote): {} of {majority} say yes. Until they do its term \
                 stays, and it disturbs nobody.",
                name(asking),
                granted(&members[asking])
            ),
            is_trouble: false,
        };
    }
    if let Some(asking) = asking {
        return Situation {
            headline: format!("{} has heard no leader in time", name(asking)),
            meaning: format!(
                "Before it disturbs anybody with a new term it asks whether it could win (pre-vote): {} of {majority} \
                 say yes.",
                granted(&members[asking])
            ),
            is_trouble: true,
        };
    }
    let Some(leader) = leader else {
        let (headline, meaning) = if running < majority {
            (
                format!("Quorum is lost: {running} of {} members run, {majority} are needed", voters.len()),
                "Nothing can be written until a majority is back. Pods that run go on running.".to_string(),
            )
        } else {
            (
                "There is no leader".to_string(),
                "Whose timer runs out first asks the others for their votes.".to_string(),
            )
        };
        return Situation { headline, meaning, is_trouble: true };
    };
    let member = &members[leader];
    if member.last_index > member.commit_index {
        let open = member.commit_index + 1;
        let has_it = |index: &&usize| {
            let peer = member.peers.iter().find(|peer| peer.name == members[**index].name);
            if **index == leader {
                member.persisted_index >= open
            } else {
                peer.is_some_and(|peer| peer.match_index >= open)
            }
        };
        let disks = voters.iter().filter(has_it).count();
        return Situation {
            headline: format!("Entry {open} is known to be on {disks} of {} disks", voters.len()),
            meaning: format!(
                "A majority is {majority}. Until then {} may not answer: the API server, and whoever asked it, waits.",
                name(leader)
            ),
            is_trouble: false,
        };
    }
    Situation {
        headline: format!("{} leads term {}; all {} entries are committed", name(leader), member.term, member.commit_index),
        meaning: "Each heartbeat refills the followers' timers. If it stays away, the first timer that runs out calls \
                  an election."
            .to_string(),
        is_trouble: false,
    }
}

/// Who voted for whom in the highest term: `Votes in term 4: m1 for m2, m2 for itself, m3 for m2`.
pub fn votes(picture: &Picture) -> String {
    let members = &picture.etcd;
    let term = members.iter().filter(|member| member.is_running).map(|member| member.term).max().unwrap_or(0);
    let mut text = format!("Votes in term {term}: ");
    for (index, member) in members.iter().enumerate().filter(|(_, member)| !member.is_learner) {
        if !text.ends_with(": ") {
            text.push_str(", ");
        }
        text.push_str(&format!("m{} ", index + 1));
        let vote = member.vote.as_ref().filter(|_| member.term == term);
        match vote.and_then(|vote| members.iter().position(|other| other.name == *vote)) {
            Some(to) if to == index => text.push_str("for itself"),
            Some(to) => text.push_str(&format!("for m{}", to + 1)),
            None => text.push_str("for nobody"),
        }
    }
    text
}

fn running_with_role<'a>(members: &'a [EtcdMember], role: &'a str) -> impl Iterator<Item = usize> + 'a {
    (0..members.len()).filter(move |index| members[*index].is_running && members[*index].role == role)
}

fn granted(member: &EtcdMember) -> usize {
    member.votes.iter().filter(|vote| vote.is_granted).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterarium::picture::{PeerProgress, Vote};

    fn member(name: &str, role: &str) -> EtcdMember {
        EtcdMember {
            name: name.into(),
            role: role.into(),
            is_running: true,
            term: 2,
            ..EtcdMember::default()
        }
    }

    #[test]
    fn the_votes_of_the_highest_term_are_told() {
        let of = |name, term, vote: &str| EtcdMember {
            vote: Some(vote.to_string()).filter(|vote| !vote.is_empty()),
            term,
            ..member(name, "Follower")
        };
        let learner = EtcdMember { is_learner: true, ..of("d", 4, "") };
        let etcd = vec![of("a", 3, "a"), of("b", 4, "b"), of("c", 4, "b"), learner];
        let text = votes(&Picture { etcd, ..Picture::default() });
        assert_eq!(text, "Votes in term 4: m1 for nobody, m2 for itself, m3 for m2");
    }

    #[test]
    fn the_headline_fits_the_state() {
        let stopped = |name: &str| EtcdMember { is_running: false, ..member(name, "Stopped") };
        let leader = |last, commit| EtcdMember {
            last_index: last,
            persisted_index: last,
            commit_index: commit,
            peers: vec![PeerProgress { name: "b".into(), match_index: commit, ..PeerProgress::default() }],
            ..member("a", "Leader")
        };
        let candidate = EtcdMember {
            votes: vec![Vote { from: "a".into(), is_granted: true }],
            ..member("a", "Candidate")
        };
        let follower = |name| member(name, "Follower");
        let learner = EtcdMember { is_learner: true, ..member("d", "Learner") };
        let cases: Vec<(Vec<EtcdMember>, &str, bool)> = vec![
            (vec![leader(7, 7), follower("b"), follower("c")], "m1 leads term 2; all 7", false),
            (vec![leader(8, 7), follower("b"), follower("c")], "Entry 8 is known to be on 1 of 3", false),
            (vec![leader(7, 7), follower("b"), follower("c"), learner], "m1 leads", false),
            (vec![candidate, follower("b"), follower("c")], "m1 stands for election in term 2", true),
            (vec![follower("a"), follower("b"), stopped("c")], "There is no leader", true),
            (vec![follower("a"), stopped("b"), stopped("c")], "Quorum is lost: 1 of 3 members run, 2", true),
            (
                vec![member("a", "PreCandidate"), leader(7, 7), follower("c")],
                "m2 leads term 2; m1 hears no leader",
                false,
            ),
            (vec![member("a", "PreCandidate"), follower("b"), follower("c")], "m1 has heard no leader", true),
        ];
        for (etcd, headline, is_trouble) in cases {
            let situation = of(&Picture { etcd, ..Picture::default() });
            assert!(situation.headline.starts_with(headline), "{situation:?}");
            assert_eq!(situation.is_trouble, is_trouble, "{situation:?}");
        }
    }
}
