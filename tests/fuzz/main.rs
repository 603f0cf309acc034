//! The API server under requests that nobody would write: whatever comes in, it answers, it goes on, and what it took it
//! gives back.
//!
//! Picture to hold in mind: a monkey at the counter with the office's own forms. Most are filled in nearly right, some are
//! torn, some are no forms at all; a clerk stands beside and writes down each that is lost, kept too long, or filed
//! differently from what the receipt says.
//!
//! Forms are the manifests of `tests/conformance`, so every kind of them comes. Nobody checks what is accepted: that is
//! the business of the other tests. What is held here is that
//! - no request makes anything panic, the controllers that see the outcome included;
//! - each is answered within a minute of the cluster's time and a bounded number of events;
//! - nothing answers 500 but what a real API server answers so;
//! - an object in an answer to a write is what a read gives, and written back as it was read it changes nothing.
//!
//! A failing seed tells how to run it again. `FUZZ_SEED` and `FUZZ_REQUESTS` ask for another run, or a longer one:
//!
//! ```text
//! FUZZ_SEED=7 FUZZ_REQUESTS=1000000 cargo test --release --test fuzz -- --nocapture
//! ```

mod corpus;
mod monkey;
mod porter;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use clusterarium::api::meta;

use corpus::Corpus;
use monkey::{Monkey, Written};
use porter::Porter;

/// Requests of a run that is not asked to be longer: most of a minute for two slow processors.
const REQUESTS: u64 = 30_000;
/// A cluster is asked so many: what grows in one would slow the rest down.
const REQUESTS_A_CLUSTER: u64 = 600;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number")))
}

/// What a run came to.
#[derive(Default)]
struct Score {
    codes: BTreeMap<u16, u64>,
    read_back: u64,
    written_back: u64,
}

impl Score {
    fn add(&mut self, other: Score) {
        for (code, count) in other.codes {
            *self.codes.entry(code).or_default() += count;
        }
        self.read_back += other.read_back;
        self.written_back += other.written_back;
    }
}

/// Names the run when it ends by a panic, the simulation's included.
struct Confession {
    seed: u64,
    requests: u64,
}

impl Drop for Confession {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "to see it again: FUZZ_SEED={} FUZZ_REQUESTS={} cargo test --test fuzz -- --nocapture",
                self.seed, self.requests
            );
        }
    }
}

/// What a real server says with code 500: a patch or a field that its machinery chokes on, and what a component behind it
/// did not do.
fn may_be_500(message: &str) -> bool {
    const SAID: &[&str] = &[
        "unable to find api field in struct",
        "failed to create manager for existing fields",
        "failed to update managedFields",
        "failed to create typed patch object",
        "invalid type in patch",
        "delete list in patch",
        "map: map[",
        "expected value in form of pointer",
        "error dialing backend",
        "admission plugin",
        "The order in patch list",
        "list element types are not identical",
        "expected a []interface {}, but received a",
        "target.name: Required value",
        "duplicate nodePort: {",
    ];
    SAID.iter().any(|said| message.contains(said))
}

fn run(seed: u64, requests: u64, corpus: &Corpus, score: &mut Score) {
    let _confession = Confession { seed, requests };
    let mut porter = Porter::new(seed);
    let mut monkey = Monkey::new(seed);
    for _ in 0..requests {
        let act = monkey.act(corpus);
        let answer = porter.ask(&act.request);
        *score.codes.entry(answer.code).or_default() += 1;
        let told = || format!("{:?}\nanswered {} {}", act.request, answer.code, answer.body);
        assert!(
            answer.code < 500
                // Not implemented: what is left out on purpose.
                || matches!(answer.code, 501 | 503 | 504)
                || answer.code == 500 && may_be_500(answer.body.text("message")),
            "no answer of a real server's: {}",
            told()
        );
        let Some(Written { target }) = act.written(&answer) else { continue };
        monkey.remember(&target, &answer.body);
        let again = porter.ask(&monkey::read(&target));
        // Who is deleted at once is gone, and a controller may have been here in between.
        if again.code != 200 || meta::resource_version(&again.body) != meta::resource_version(&answer.body) {
            continue;
        }
        assert!(again.body == answer.body, "it reads back as {}\nafter {}", again.body, told());
        score.read_back += 1;
        let same = porter.ask(&monkey::write_back(&target, &again.body));
        if same.code == 200 {
            let is_same = meta::resource_version(&same.body) == meta::resource_version(&again.body);
            assert!(
                is_same,
                "written back as it was it became {}\nfrom {}\nafter {}",
                same.body,
                again.body,
                told()
            );
            score.written_back += 1;
        }
    }
}

#[test]
fn whatever_is_asked_is_answered_and_what_was_taken_is_given_back() {
    let corpus = Corpus::read();
    let (first, all) = (number("FUZZ_SEED", 1), number("FUZZ_REQUESTS", REQUESTS));
    let clusters = all.div_ceil(REQUESTS_A_CLUSTER);
    let next = AtomicU64::new(0);
    let work = || {
        let mut score = Score::default();
        loop {
            let cluster = next.fetch_add(1, Ordering::Relaxed);
            if cluster >= clusters {
                return score;
            }
            let requests = REQUESTS_A_CLUSTER.min(all - cluster * REQUESTS_A_CLUSTER);
            run(first + cluster, requests, &corpus, &mut score);
        }
    };
    let mut score = Score::default();
    std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            score.add(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    println!(
        "answers by code: {:?}; {} read back, {} written back",
        score.codes, score.read_back, score.written_back
    );
    // The monkey must be good at it, or nothing was tried.
    let count = |code| score.codes.get(&code).copied().unwrap_or(0);
    assert!(count(201) * 20 > all && count(422) * 20 > all && count(400) * 50 > all, "{:?}", score.codes);
    assert!(score.read_back * 10 > all && score.written_back * 20 > all);
}
