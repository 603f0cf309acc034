//! A session ends in the very same state on every target: natively and as WebAssembly in a browser.
//!
//! Picture to hold in mind: two laboratories that are sent the same recipe and compare what is in the pot. The native
//! one writes down what it found (`target/tmp/native-sessions.txt`); `cargo xtask test wasm` hands that note to the
//! one in the browser. No value is pinned here: what a run comes to may change, that the two agree may not.

use clusterarium::cluster;
use clusterarium::command::Command;
use clusterarium::note::Note;
use clusterarium::picture;
use clusterarium::sim::trace::What;
use clusterarium::sim::{History, Time};
use worker::protocol::{Session, json};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// Sessions as the page stores them.
const SESSIONS: &[(&str, &str)] = &[("faults", include_str!("../../../tests/sessions/faults.json"))];

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn open(text: &str) -> (History<cluster::Cluster>, Session) {
    let session = Session::read(text).expect("a stored session");
    let Some((_, Command::Boot(scenario))) = session.log.first() else { panic!("no set-up") };
    let mut history = cluster::boot(session.seed, scenario.clone());
    history.replace_log(session.log.iter().map(|(time, command)| (Time(*time), command.clone())).collect());
    (history, session)
}

/// What the history has come to: its events, what was sent and when, what can be seen, what terminals printed.
fn outcome(history: &History<cluster::Cluster>) -> String {
    let printed: String = history
        .trace
        .between(Time::ZERO..Time::MAX)
        .filter_map(|(_, record)| match &record.what {
            What::Note { note: Note::Terminal { stdout, stderr, .. }, .. } => {
                Some(format!("{stdout}{stderr}"))
            }
            _ => None,
        })
        .collect();
    format!(
        "{} events, trace {:016x}, picture {:016x}, {} bytes printed: {:016x}",
        history.engine().events(),
        history.engine().hash(),
        digest(&json(&picture::build(history))),
        printed.len(),
        digest(&printed)
    )
}

/// The outcomes of all sessions, a line each.
fn outcomes() -> String {
    let mut lines = String::new();
    for (name, text) in SESSIONS {
        let (mut history, session) = open(text);
        history.run_until(Time(session.horizon_us));
        lines += &format!("{name}: {}\n", outcome(&history));
    }
    lines
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn natively_the_outcome_is_written_down() {
    let found = outcomes();
    println!("{found}");
    let note = concat!(env!("CARGO_TARGET_TMPDIR"), "/native-sessions.txt");
    std::fs::write(note, found).unwrap_or_else(|error| panic!("{note}: {error}"));
}

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen_test::wasm_bindgen_test]
fn the_browser_comes_to_what_the_native_run_came_to() {
    let Some(native) = option_env!("NATIVE_SESSIONS") else {
        panic!("cargo xtask test wasm hands over the native outcome");
    };
    assert_eq!(outcomes(), native);
}

/// Otherwise equal outcomes would say little.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn the_sessions_are_long_and_eventful_and_a_seek_does_not_change_them() {
    for (name, text) in SESSIONS {
        let (mut history, session) = open(text);
        history.run_until(Time(session.horizon_us));
        let count = |what: fn(&What<_>) -> bool| {
            history.trace.between(Time::ZERO..Time::MAX).filter(|(_, record)| what(&record.what)).count()
        };
        assert!(history.engine().events() > 3000, "{name}: {}", history.engine().events());
        let lost =
            count(|what| matches!(what, What::Undelivered { .. } | What::Sent { arrives: Err(_), .. }));
        assert!(lost > 100, "{name}: {lost} messages lost");
        assert!(count(|what| matches!(what, What::Stopped(_))) >= 3, "{name}");
        let end = outcome(&history);
        history.seek(Time(session.horizon_us / 2));
        assert_ne!(outcome(&history), end);
        history.seek(Time(session.horizon_us));
        assert_eq!(outcome(&history), end, "{name}");
    }
}
