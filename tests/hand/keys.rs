//! The cards of etcd's keys: down the tree, from an object to what it was and to its entries, and back.
//!
//! Picture to hold in mind: a reader in an archive who follows every reference on every card, and at the end asks the
//! archivist to burn what was marked, to see whether exactly that is gone.

use clusterarium::picture::{Detail, Reference};

use super::*;

fn list<'a>(detail: &'a Detail, heading: &str) -> &'a [Reference] {
    let found = detail.references.iter().find(|(other, _)| other == heading);
    found.map(|(_, all)| &all[..]).unwrap_or_else(|| panic!("no {heading} in {detail:?}"))
}

/// Follows the reference that begins so.
fn follow(history: &History<Cluster>, detail: &Detail, heading: &str, text: &str) -> Detail {
    let found = list(detail, heading).iter().find(|reference| reference.text.starts_with(text));
    let query = found.and_then(|reference| reference.query.clone());
    card(history, query.unwrap_or_else(|| panic!("no {text} in {:?}", list(detail, heading))))
}

#[test]
fn every_reference_leads_on_and_back() {
    let mut history = running(2, 3);
    history.command(Command::Exec {
        session: 0,
        line: "kubectl create deployment web --image=nginx --replicas=230".into(),
        stdin: String::new(),
    });
    run(&mut history, Duration::from_secs(40));
    let mut detail = card(&history, Query::Component { name: "etcd-2".into() });
    for (heading, text) in
        [("What it keeps", "all keys"), ("Keys", "/registry/"), ("Keys", "pods/"), ("Keys", "default/")]
    {
        detail = follow(&history, &detail, heading, text);
    }
    // A level with many names is opened piece by piece.
    assert_eq!(detail.title, "/registry/pods/default/");
    let pieces = list(&detail, "Keys").to_vec();
    assert_eq!(pieces.len(), 3, "{pieces:?}");
    assert!(
        pieces[1].about.starts_with("100 keys, ") && pieces[2].about.starts_with("30 keys, "),
        "{pieces:?}"
    );
    let piece = card(&history, pieces[1].query.clone().expect("it can be opened"));
    assert_eq!(list(&piece, "Keys").len(), 100);
    assert_eq!(follow(&history, &piece, "Above", "/registry/pods/default/").references, detail.references);
    // From a key to the object and back; to its entries and back.
    let key = follow(&history, &piece, "Keys", "web-");
    let pod = follow(&history, &key, "See", "Pod web-");
    assert_eq!((pod.kind.as_str(), &pod.yaml), ("Pod", &key.yaml));
    assert_eq!(follow(&history, &pod, "In etcd", "/registry/pods/default/web-").title, key.title);
    assert!(list(&key, "Revisions")[0].about.starts_with("created"), "{:?}", key.references);
    let entry = follow(&history, &key, "In the log", "entry ");
    assert_eq!(entry.kind, "Raft entry");
    assert_eq!(follow(&history, &entry, "Changes", &key.title).references, key.references);
    let node = card(&history, Query::Host { name: "worker-1".into() });
    let key = follow(&history, &node, "In etcd", "/registry/minions/worker-1");
    assert_eq!(follow(&history, &key, "See", "Node worker-1").title, "worker-1");
}

#[test]
fn a_compaction_takes_what_is_marked() {
    let mut history = running(3, 3);
    history.command(Command::Exec {
        session: 0,
        line: "kubectl create configmap gone; kubectl delete configmap gone".into(),
        stdin: String::new(),
    });
    // The API server notes a revision after five minutes and has etcd compacted to it after five more.
    for until in [30, 320] {
        history.run_until(Time::from_secs(until));
        let member = members(&history)[0];
        let (noted, newest) = (until > 300, member.store().revision());
        let keys = [
            "/registry/leases/kube-node-lease/worker-1",
            "/registry/configmaps/default/gone",
            "/registry/namespaces/default",
        ];
        for key in keys {
            let detail = card(&history, Query::EtcdKey { key: key.into() });
            let rows = list(&detail, "Revisions");
            let mut store = member.store().clone();
            let left = |store: &clusterarium::etcd::store::Store| {
                store.history(key).iter().map(|version| version.revision().to_string()).collect::<Vec<_>>()
            };
            let marked = |is_marked: &dyn Fn(&Reference) -> bool| {
                let kept = rows.iter().filter(|row| !is_marked(row));
                kept.map(|row| row.text.clone()).collect::<Vec<_>>()
            };
            if noted {
                let all = card(&history, Query::EtcdKeys { prefix: String::new(), from: String::new() });
                let (_, when) = all.summary.last().expect("it says so");
                let next = when.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a revision");
                store.compact(next).expect("it is to come");
                assert_eq!(
                    marked(&|row| row.about.contains("next compaction")),
                    left(&store),
                    "{key}: {when}"
                );
            }
            store.compact(newest).expect("it is to come");
            assert_eq!(marked(&|row| row.is_going), left(&store), "{key}: {rows:?}");
        }
    }
}
