use super::*;
use crate::protocol::{Opening, decode, encode};

/// Ticks until a frame's wall time has passed `seconds` times, or `done` says so.
fn ticks(clerk: &mut Clerk, most: usize, done: impl Fn(&[FromWorker]) -> bool) -> Vec<FromWorker> {
    let mut out = Vec::new();
    for _ in 0..most {
        clerk.tick(16_000, &mut out);
        clerk.receive(ToWorker::Drawn, &mut out);
        if done(&out) {
            break;
        }
    }
    out
}
fn written(slips: &[FromWorker]) -> Vec<Written> {
    let all = slips.iter().filter_map(|slip| match slip {
        FromWorker::Terminal(written) => Some(written.clone()),
        _ => None,
    });
    all.flatten().collect()
}
fn session(slips: &[FromWorker]) -> Session {
    let last = slips.iter().rev().find_map(|slip| match slip {
        FromWorker::Session(kept) => Some(Session::read(&kept.text).expect("what is kept can be read")),
        _ => None,
    });
    last.expect("a session was told")
}
fn fresh(seed: u64) -> Opening {
    Opening::New { seed, topology: Default::default() }
}
fn open(clerk: &mut Clerk, opening: Opening) -> Vec<FromWorker> {
    let mut out = Vec::new();
    clerk.receive(ToWorker::Open(opening), &mut out);
    let is_there = |out: &[FromWorker]| {
        out.iter().any(|slip| matches!(slip, FromWorker::Opened | FromWorker::Refused { .. }))
    };
    if !is_there(&out) {
        out.extend(ticks(clerk, 1000, is_there));
    }
    out
}
fn exit(slips: &[FromWorker]) -> Option<i32> {
    written(slips).iter().find_map(|one| match one.what {
        Wrote::Exit(code) => Some(code),
        _ => None,
    })
}
fn stdout(written: &[Written]) -> String {
    let texts = written.iter().filter_map(|one| match &one.what {
        Wrote::Stdout(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Lines at the door, one after the other, each waited for.
fn door(clerk: &mut Clerk, lines: &[&str]) -> Vec<FromWorker> {
    let mut all = Vec::new();
    for line in lines {
        let command = Command::Exec { session: terminal::DOOR, line: line.to_string(), stdin: String::new() };
        let mut out = Vec::new();
        clerk.receive(ToWorker::Commands(vec![command.into()]), &mut out);
        out.extend(ticks(clerk, 1000, |out| exit(out).is_some()));
        assert!(exit(&out).is_some(), "'{line}' does not end: {:?}", written(&out));
        all.extend(out);
    }
    all
}

#[test]
fn what_is_entered_at_the_door_runs_without_being_watched() {
    let mut clerk = Clerk::default();
    open(&mut clerk, fresh(1));
    let out = door(&mut clerk, &["sleep 60", "kubectl get nodes"]);
    for slip in &out {
        assert_eq!(decode::<FromWorker>(&encode(slip)).as_ref(), Ok(slip));
    }
    let text = stdout(&written(&out));
    for node in ["cp-1", "worker-1", "worker-2", "worker-3"] {
        assert!(text.contains(node), "{text}");
    }
    assert!(!text.contains("NotReady"), "{text}");
}

#[test]
fn a_session_that_is_opened_again_shows_the_same_terminals() {
    let mut clerk = Clerk::default();
    open(&mut clerk, fresh(2));
    let first =
        door(&mut clerk, &["sleep 30", "kubectl create deployment web --image=nginx", "kubectl get pods -A"]);
    let kept = session(&first);
    let horizon_us = clerk.running.as_ref().map_or(0, |running| running.history.horizon().0);
    let mut again = Clerk::default();
    let text = Session { horizon_us, ..kept.clone() }.write();
    let slips = open(&mut again, Opening::Stored { text, without_last: false });
    assert_eq!(session(&slips).log, kept.log);
    assert_eq!(written(&slips), written(&first));
}

#[test]
fn a_session_without_its_last_command_ends_at_the_one_before() {
    let mut clerk = Clerk::default();
    open(&mut clerk, fresh(3));
    let first = door(&mut clerk, &["sleep 5", "echo one too many"]);
    let kept = session(&first);
    let slips = open(&mut clerk, Opening::Stored { text: kept.write(), without_last: true });
    assert_eq!(session(&slips).log, kept.log[..2]);
}

#[test]
fn what_is_no_session_is_refused_and_the_present_one_goes_on() {
    let mut clerk = Clerk::default();
    open(&mut clerk, fresh(4));
    let out = open(&mut clerk, Opening::Stored { text: "{\"version\":1}".into(), without_last: false });
    assert!(matches!(&out[..], [FromWorker::Refused { reason }] if reason.contains("damaged")), "{out:?}");
    assert!(stdout(&written(&door(&mut clerk, &["echo still here"]))).contains("still here"));
}

#[test]
fn who_waits_at_the_door_is_told_when_the_session_is_replaced() {
    let mut clerk = Clerk::default();
    open(&mut clerk, fresh(5));
    let line = "sleep 3000".to_string();
    let command = Command::Exec { session: terminal::DOOR, line, stdin: String::new() };
    clerk.receive(ToWorker::Commands(vec![command.into()]), &mut Vec::new());
    let out = open(&mut clerk, fresh(6));
    assert_eq!(exit(&out), Some(130));
}

#[test]
fn a_fresh_cluster_is_met_when_its_own_pods_run() {
    for seed in 10..16 {
        let mut clerk = Clerk::default();
        open(&mut clerk, fresh(seed));
        let lines = ["kubectl -n kube-system get pods --no-headers -l k8s-app=kube-dns"];
        let text = stdout(&written(&door(&mut clerk, &lines)));
        assert_eq!(text.matches(" 1/1 ").count(), 2, "seed {seed}: {text}");
    }
}

#[test]
fn what_is_asked_while_the_cluster_comes_up_is_done_then() {
    let mut clerk = Clerk::default();
    clerk.receive(ToWorker::Open(fresh(7)), &mut Vec::new());
    let line = "kubectl get --raw /readyz".to_string();
    let command = Command::Exec { session: terminal::DOOR, line, stdin: String::new() };
    clerk.receive(ToWorker::Commands(vec![command.into()]), &mut Vec::new());
    let out = ticks(&mut clerk, 1000, |out| exit(out).is_some());
    assert_eq!(exit(&out), Some(0), "{:?}", written(&out));
}

/// A card of each kind crosses, and what its buttons do can be read on the other side.
#[test]
fn cards_survive_the_crossing() {
    let mut clerk = Clerk::default();
    open(&mut clerk, fresh(8));
    door(&mut clerk, &["kubectl run web --image=nginx; sleep 20"]);
    let (namespace, pod) = (|| "default".to_string(), || "web".to_string());
    let mut buttons = 0;
    for query in [
        Query::Component { name: "etcd-cp-1".into() },
        Query::Component { name: "kube-scheduler-cp-1".into() },
        Query::Host { name: "worker-1".into() },
        Query::Pod { namespace: namespace(), name: pod() },
        Query::Container { namespace: namespace(), pod: pod(), container: pod() },
        Query::Object { kind: "Pod".into(), namespace: namespace(), name: pod() },
        Query::EtcdKeys { prefix: "/registry/".into(), from: String::new() },
    ] {
        let mut out = Vec::new();
        clerk.receive(ToWorker::Inspect(Some(query.clone())), &mut out);
        out.extend(ticks(&mut clerk, 100, |out| {
            out.iter().any(|slip| matches!(slip, FromWorker::Detail(_)))
        }));
        let card = out.iter().find(|slip| matches!(slip, FromWorker::Detail(_)));
        let Some(card @ FromWorker::Detail(Some(detail))) = card else { panic!("no card of {query:?}") };
        assert_eq!(decode::<FromWorker>(&encode(card)).as_ref(), Ok(card));
        for action in &detail.actions {
            assert!(action.commands.iter().all(|form| form.read().is_ok()), "{action:?}");
            buttons += 1;
        }
    }
    assert!(buttons > 5, "{buttons}");
}

#[test]
fn slips_that_come_too_early_are_answered_not_obeyed() {
    for (slip, answers) in [
        (ToWorker::Drawn, 0),
        (ToWorker::Play(true), 0),
        (ToWorker::Commands(vec![Command::HealNetwork.into()]), 1),
    ] {
        let mut out = Vec::new();
        Clerk::default().receive(slip, &mut out);
        assert_eq!(out.len(), answers);
        assert!(out.iter().all(|slip| matches!(slip, FromWorker::Failed { .. })));
    }
}
