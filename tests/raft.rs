//! Plays every script of `tests/raft/` and compares what it prints with what it printed before.
//! `REWRITE=1 cargo test --test raft` writes what they print now; read the difference before committing it.

use std::path::Path;

#[test]
fn every_story_goes_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raft");
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/raft is part of the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    let mut wrong = Vec::new();
    for path in scripts {
        let told = std::fs::read_to_string(&path).expect("a readable script");
        let now = clusterarium::etcd::raft::script::run(&told);
        if told == now {
            continue;
        }
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&path, now).expect("a writable script");
            continue;
        }
        let line = told.lines().zip(now.lines()).take_while(|(a, b)| a == b).count();
        let of = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_string();
        wrong.push(format!("{}:{}\n  told: {}\n  now:  {}", path.display(), line + 1, of(&told), of(&now)));
    }
    assert!(wrong.is_empty(), "stories that go otherwise:\n{}", wrong.join("\n"));
}
