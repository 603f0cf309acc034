//! What is told of etcd's members, sentence by sentence, as transcripts: `REWRITE=1 cargo test --test hand` writes what is
//! told now; read the difference before committing it.
//!
//! Picture to hold in mind: the commentator's tape, played again beside the game.

use super::*;

fn compared(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hand/told").join(name);
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&path, text).expect("a writable transcript");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "{}", path.display());
}

/// A cluster in whose pods commands can be run.
fn real() -> History<Cluster> {
    let scenario = Scenario { etcd_members: 3, workers: 1, ..Scenario::default() };
    let mut history = cluster::boot(1, scenario);
    run(&mut history, Duration::from_secs(40));
    history
}

/// The names of a message's fields, indented as they stand; an object that is stored counts as one value.
fn names(yaml: &str) -> String {
    let (mut names, mut below) = (String::new(), None);
    for line in yaml.lines() {
        let depth = line.len() - line.trim_start_matches([' ', '-']).len();
        if below.is_some_and(|below| depth > below) {
            continue;
        }
        let name = line.split(':').next().unwrap_or_default();
        below = name.trim_start_matches([' ', '-']).starts_with("value").then_some(depth);
        names.push_str(&format!("  {name}\n"));
    }
    names
}

#[test]
fn every_field_of_every_message_is_on_its_card() {
    let mut history = real();
    let etcdctl = "kubectl -n kube-system exec etcd-cp-1 -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt \
                   --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key";
    let lines = [
        "put a 1",
        "put a 2 --prev-kv",
        "get a",
        "del a",
        "member list",
        "lease grant 100",
        "lease list",
        "alarm list",
        "compaction 5",
        "defrag",
        "endpoint status",
        "endpoint hashkv",
        "move-leader 1",
        "member add etcd-9 \
         --learner --peer-urls=http://10.0.0.9:2380",
        "user add root:secret",
        "user list",
        "role add reader",
        "role grant-permission reader read a",
        "role get reader",
        "snapshot save /tmp/a.db",
    ];
    for line in lines {
        let line = format!("{etcdctl} {line}");
        history.command(Command::Exec { session: 0, line, stdin: String::new() });
        run(&mut history, SECOND);
    }
    set_up(&mut history, "Leader alone");
    run(&mut history, Duration::from_secs(4));
    set_up(&mut history, "Mend all");
    run(&mut history, SECOND);
    let mut all = std::collections::BTreeMap::new();
    let ids: Vec<RecordId> = history.trace.iter().map(|(id, _)| id).collect();
    for id in ids {
        let Some(What::Sent { message, .. }) = history.trace.get(id).map(|record| &record.what) else {
            continue;
        };
        let kind = match message {
            Message::Raft(message) => message.body.name().to_string(),
            Message::EtcdRequest(request) => {
                let name = request.operation.to_string();
                format!(
                    "request {}",
                    name.split(' ')
                        .take(2)
                        .filter(|word| !word.contains(['/', '0', '1']))
                        .collect::<Vec<_>>()
                        .join(" ")
                )
            }
            Message::EtcdResponse(response) => match &response.result {
                Ok(outcome) => format!(
                    "response {}",
                    format!("{outcome:?}").split([' ', '(']).next().unwrap_or_default()
                ),
                Err(_) => "response error".into(),
            },
            Message::EtcdWatch(response) if !response.events.is_empty() => "watch response".into(),
            _ => continue,
        };
        let card = card(&history, Query::Message { record: id.0 });
        // The one with most to say stands for its kind.
        let text = names(&card.yaml);
        let kept: &mut String = all.entry(kind).or_default();
        if text.lines().count() > kept.lines().count() && kept.lines().count() < 12 {
            *kept = text;
        }
    }
    let text: Vec<String> = all.iter().map(|(kind, names)| format!("{kind}\n{names}")).collect();
    compared("fields.txt", &text.join("\n"));
}
