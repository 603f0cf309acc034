//! What is told of etcd's members, sentence by sentence, as transcripts: `REWRITE=1 cargo test --test hand` writes what is
//! told now; read the difference before committing it.
//!
//! Picture to hold in mind: the commentator's tape, played again beside the game.

use clusterarium::picture::{tell, tell_etcd};

use super::*;

fn compared(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hand/told").join(name);
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&path, text).expect("a writable transcript");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "{}", path.display());
}

/// What is told from an instant on: `-` to all, `.` to who looks at etcd alone.
fn told(history: &History<Cluster>, since: Time) -> String {
    let mut text = String::new();
    for (id, _) in history.trace.between(since..Time::MAX) {
        if let Some(sentence) = tell_etcd(history, id) {
            let mark = if tell(history, id).is_some() { '-' } else { '.' };
            text.push_str(&format!("{mark} {}\n", sentence.text));
        }
    }
    text
}

#[test]
fn elections_and_entries_are_told() {
    let plays: [(&str, &str, u64); 5] = [
        ("first-election.txt", "", 0),
        ("split-vote.txt", "Split vote", 6),
        ("leader-cut-off.txt", "Leader alone", 4),
        ("minority-cut-off.txt", "Minority alone", 3),
        ("an-entry.txt", "kubectl create configmap news", 1),
    ];
    for (name, play, seconds) in plays {
        let mut history = running(1, 3);
        let mut since = history.now();
        match play {
            "" => since = Time::ZERO,
            play if play.starts_with("kubectl") => {
                history.command(Command::Exec { session: 0, line: play.into(), stdin: String::new() });
            }
            play => {
                set_up(&mut history, play);
            }
        }
        run(&mut history, Duration::from_secs(seconds));
        let mut text = told(&history, since);
        if play == "Leader alone" {
            let begun = history.now();
            set_up(&mut history, "Mend all");
            run(&mut history, SECOND);
            text.push_str("\nMend all\n");
            text.push_str(&told(&history, begun));
        }
        if play.is_empty() {
            // The first leader is what this is about, and its first entry.
            text = text.lines().take(16).fold(String::new(), |text, line| text + line + "\n");
        }
        compared(name, &text);
    }
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

/// The card that a reference with this heading leads to.
fn led(history: &History<Cluster>, detail: &picture::Detail, heading: &str) -> Option<picture::Detail> {
    let (_, all) = detail.references.iter().find(|(other, _)| other == heading)?;
    Some(card(history, all.first()?.query.clone()?))
}

#[test]
fn an_entry_leads_to_the_request_that_made_it_and_back() {
    let mut history = real();
    let lines = [
        "kubectl create configmap news",
        "kubectl label configmap news a=b",
        "kubectl -n kube-system exec \
        etcd-cp-1 -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/server.crt --key \
        /etc/kubernetes/pki/etcd/server.key put a 1",
    ];
    for line in lines {
        history.command(Command::Exec { session: 0, line: line.into(), stdin: String::new() });
        run(&mut history, Duration::from_secs(2));
    }
    // A run that is played again has made all anew.
    let now = history.now();
    history.seek(Time(now.0 / 2));
    history.seek(now);
    let (mut text, mut back) = (String::new(), 0);
    let first = members(&history)[0];
    let view = first.view(now, 0);
    for index in view.first_index..=view.last_index {
        let entry = card(&history, Query::EtcdEntry { member: "etcd-cp-1".into(), index });
        let fact = |name: &str| {
            let found = entry.summary.iter().find(|(other, _)| other == name);
            found.map_or(String::new(), |(_, value)| value.clone())
        };
        let request = led(&history, &entry, "Kubernetes request");
        if let Some(request) = &request {
            let (_, all) = request
                .references
                .iter()
                .find(|(heading, _)| heading == "In etcd's log")
                .expect("it leads back");
            let own = Query::EtcdEntry { member: "etcd-cp-1".into(), index };
            let is_it = |query: &Query| *query == own || card(&history, query.clone()).yaml == entry.yaml;
            assert!(all.iter().filter_map(|one| one.query.as_ref()).any(is_it), "{}: {all:?}", entry.title);
            back += 1;
        }
        let request = entry.references.iter().find(|(heading, _)| heading == "Kubernetes request");
        let line = request.map_or(String::new(), |(_, all)| format!(": {} ({})", all[0].text, all[0].about));
        let what = fact("What") + &fact("Membership change");
        let is_of_interest = index < 8
            || what.contains("news")
            || what.ends_with(" a")
            || (request.is_none() && !what.contains("role"));
        if is_of_interest && text.lines().count() < 60 {
            text.push_str(&format!("{what} <- {}{line}\n", fact("Asked by")));
        }
    }
    assert!(back > 100, "{back} entries lead to a request and back");
    compared("entries.txt", &text);
}

#[test]
fn a_request_says_as_whom_and_by_which_right_it_came_in() {
    let mut history = real();
    for line in ["kubectl run web --image=nginx", "kubectl get nodes --as=ann"] {
        history.command(Command::Exec { session: 0, line: line.into(), stdin: String::new() });
        run(&mut history, Duration::from_secs(5));
    }
    let mut text = String::new();
    let ids: Vec<RecordId> = history.trace.iter().map(|(id, _)| id).collect();
    for id in ids {
        let Some(What::Sent { message: Message::Request(request), .. }) =
            history.trace.get(id).map(|record| &record.what)
        else {
            continue;
        };
        let line = format!("{} {}", request.verb.http_method(), request.url_path());
        let detail = card(&history, Query::Message { record: id.0 });
        let fact = |name: &str| {
            let found = detail.summary.iter().find(|(other, _)| other == name);
            found.map_or(String::new(), |(_, value)| value.clone())
        };
        let told = format!("{}: {}\n", fact("Authentication"), fact("Authorization"));
        // Each way of being let in once.
        let is_new = told != ": \n" && !text.contains(&told);
        if is_new && !told.starts_with("system:serviceaccount") {
            text.push_str(&format!("{line}\n  {told}"));
        }
    }
    compared("judged.txt", &text);
}

/// The requests of a few lines, and what each stage before storage made of their objects.
#[test]
fn a_request_shows_what_each_plugin_changed_and_who_refused_it() {
    let mut history = real();
    history.checkpoint_every(2_000);
    let begin = history.now();
    let lines = [
        "kubectl run web --image=nginx",
        "kubectl create ingress way --rule=example.com/=web:80",
        "kubectl create quota few --hard=pods=1",
        "kubectl run more --image=nginx",
        "kubectl label pod web tier=front",
        "kubectl patch pod web -p '{\"spec\":{\"restartPolicy\":\"Never\"}}'",
        "kubectl delete pod web --now",
    ];
    for line in lines {
        history.command(Command::Exec { session: 0, line: line.into(), stdin: String::new() });
        run(&mut history, Duration::from_secs(3));
    }
    let mut text = String::new();
    for (id, record) in history.trace.iter() {
        let What::Sent { message: Message::Request(request), .. } = &record.what else { continue };
        let is_ours = request.user.name == "kubernetes-admin" || request.namespace == "default";
        let is_routine = matches!(request.resource.plural.as_str(), "leases" | "events");
        if request.verb.is_read() || !is_ours || is_routine || record.time < begin {
            continue;
        }
        let hash = history.engine().hash();
        let Some(changes) = picture::admitted(&history, id.0) else { continue };
        assert_eq!(history.engine().hash(), hash);
        text.push_str(&format!("{} {}\n", request.verb.http_method(), request.url_path()));
        let facts = card(&history, Query::Message { record: id.0 }).summary;
        for (name, value) in
            facts.iter().filter(|(name, _)| matches!(name.as_str(), "Storage" | "Watchers told"))
        {
            text.push_str(&format!("  {name}: {value}\n"));
        }
        for (stage, diff) in changes {
            text.push_str(&format!("  {stage}\n"));
            for line in diff.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    compared("admitted.txt", &text);
}

/// Where an object has its fields from: what was added to what was applied, who manages which, and what each revision
/// changed.
#[test]
fn a_card_tells_where_an_object_has_its_fields_from() {
    let mut history = real();
    for line in [
        "printf 'apiVersion: v1\\nkind: Service\\nmetadata: {name: web}\\nspec: {clusterIP: 10.96.1.2, ports: [{port: 80}]}\\n' | kubectl apply -f -",
        "kubectl label service web tier=front",
        "kubectl patch service web -p '{\"spec\":{\"ports\":[{\"port\":80,\"name\":\"http\"}]}}'",
    ] {
        history.command(Command::Exec { session: 0, line: line.into(), stdin: String::new() });
        run(&mut history, Duration::from_secs(2));
    }
    let detail = card(&history, Query::EtcdKey { key: "/registry/services/specs/default/web".into() });
    let mut text = String::new();
    for (_, all) in detail.references.iter().filter(|(heading, _)| heading.starts_with("Who manages")) {
        for one in all {
            text.push_str(&format!("{}: {}\n", one.text, one.about));
        }
    }
    for (heading, diff) in &detail.changes {
        text.push_str(&format!("{heading}\n{diff}"));
    }
    let uid = detail.yaml.lines().find_map(|line| line.strip_prefix("  uid: ")).unwrap_or_default();
    compared("fields-from.txt", &text.replace(uid, "<uid>"));
}

#[test]
fn an_api_server_tells_who_watches_what_and_who_is_behind() {
    let mut history = real();
    let line = "kubectl create deployment web --image=nginx --replicas=3".into();
    history.command(Command::Exec { session: 0, line, stdin: String::new() });
    let (mut rows, mut behind) = (0, 0);
    for _ in 0..2_000 {
        run(&mut history, Duration::from_micros(500));
        let detail = card(&history, Query::Component { name: "kube-apiserver-cp-1".into() });
        let (_, all) =
            detail.references.iter().find(|(heading, _)| heading.starts_with("Watchers")).expect("rows");
        rows = all.len();
        behind += all.iter().filter(|one| one.about.contains(" behind")).count();
    }
    // Manager and scheduler, on each of two nodes kubelet and kube-proxy, and CoreDNS twice.
    assert!(rows == 8 && behind > 5, "{rows} rows, {behind} times behind");
}
