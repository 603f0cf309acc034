//! Compares the simulated cluster with what a real Kubernetes 1.36.2 answered (`conformance/README.md`).
//!
//! Picture to hold in mind: an examiner with the model answers. Every case is marked by itself; the list of
//! expected failures says which are known to be wrong and why, and a listed case that turns out right is a mistake
//! in the list.
//!
//! - `cargo test --test conformance` marks all cases and prints the counts;
//! - `CASE=valid/040 cargo test --test conformance -- --nocapture` shows the differences of the cases whose names
//!   begin so (`REPORT=1` for all);
//! - `CLUSTERARIUM_UPDATE=1` writes the list of expected failures anew, keeping the reasons there are.

#[path = "conformance/runner/cases.rs"]
mod cases;
#[path = "conformance/runner/etcdctl.rs"]
mod etcdctl;
#[path = "conformance/runner/flow.rs"]
mod flow;
#[path = "conformance/runner/list.rs"]
mod list;
#[path = "conformance/runner/normalize.rs"]
mod normalize;
#[path = "conformance/runner/objects.rs"]
mod objects;
#[path = "conformance/runner/text.rs"]
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the model answers are.
pub fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// How one case went.
pub struct Mark {
    pub name: String,
    /// What differs, for people; empty: nothing.
    pub differences: Vec<String>,
    /// Fields (or lines, or requests) that agree, of how many.
    pub agreed: usize,
    pub of: usize,
}

impl Mark {
    pub fn is_exact(&self) -> bool {
        self.differences.is_empty()
    }
}

#[test]
fn the_cluster_answers_as_the_real_one() {
    let wanted = std::env::var("CASE").unwrap_or_default();
    let jobs = cases::all();
    let jobs: Vec<cases::Job> = jobs
        .into_iter()
        .filter(|job| {
            let name = job.name();
            // The requests of a manifest are recorded under the same name.
            let other = name.replacen("valid/", "flow/", 1);
            [name, other].iter().any(|name| name.starts_with(&wanted) || wanted.starts_with(name.as_str()))
        })
        .collect();
    let (next, marks) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run()));
                    let mut result = result.unwrap_or_else(|_| {
                        vec![Mark {
                            name: job.name(),
                            differences: vec!["it panicked".into()],
                            agreed: 0,
                            of: 1,
                        }]
                    });
                    marks.lock().expect("nobody panics with the lock").append(&mut result);
                }
            });
        }
    });
    let mut marks = marks.into_inner().expect("nobody panics with the lock");
    marks.retain(|mark| mark.name.starts_with(&wanted));
    marks.sort_by(|a, b| a.name.cmp(&b.name));
    if !wanted.is_empty() || std::env::var_os("REPORT").is_some() {
        for mark in marks.iter().filter(|mark| !mark.is_exact()) {
            println!("== {} ({} of {} agree)", mark.name, mark.agreed, mark.of);
            for difference in &mark.differences {
                println!("{difference}");
            }
        }
    }
    summary(&marks);
    if wanted.is_empty() {
        list::check(&marks);
    }
}

/// Counts and shares by kind of case.
fn summary(marks: &[Mark]) {
    let mut kinds: BTreeMap<&str, (usize, usize, usize, usize)> = BTreeMap::new();
    for mark in marks {
        let kind = mark.name.split('/').next().unwrap_or("");
        let entry = kinds.entry(kind).or_default();
        entry.0 += usize::from(mark.is_exact());
        entry.1 += 1;
        entry.2 += mark.agreed;
        entry.3 += mark.of;
    }
    println!("{:<10} {:>6} {:>6}   of fields, lines or requests", "kind", "exact", "of");
    for (kind, (exact, of, agreed, fields)) in kinds {
        let per_mille = (agreed * 1000).checked_div(fields).unwrap_or(0);
        println!(
            "{kind:<10} {exact:>6} {of:>6}   {agreed} of {fields} ({}.{} %)",
            per_mille / 10,
            per_mille % 10
        );
    }
}
