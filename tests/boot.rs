//! A fresh cluster comes up by itself.

use clusterarium::cluster;
use clusterarium::command::{Command, Scenario};
use clusterarium::note::Note;
use clusterarium::picture;
use clusterarium::sim::Time;
use clusterarium::sim::trace::What;

#[test]
fn a_fresh_cluster_has_a_leader_ready_nodes_and_its_own_pods() {
    let mut history = cluster::boot(1, Scenario::default());
    history.run_until(Time::from_secs(60));
    let picture = picture::build(&history);
    for record in history.trace.iter() {
        if let What::Note { note: Note::Log { line }, actor } = &record.1.what {
            println!("{} {} {line}", record.1.time, history.world().processes()[actor.0 as usize].name);
        }
    }
    println!("events {}, records {}", history.engine().events(), history.trace.range().end);
    for host in &picture.hosts { println!("{host:?}"); }
    for member in &picture.etcd { println!("{} {} term {} commit {}", member.name, member.role, member.term, member.commit_index); }
    for pod in &picture.pods { println!("{}/{} {} {} {:?}", pod.namespace, pod.name, pod.node, pod.status, pod.sandbox); }
    assert_eq!(picture.etcd.iter().filter(|member| member.role == "Leader").count(), 1);
    let ready = picture.hosts.iter().filter(|host| host.node.as_ref().is_some_and(|node| node.status == "Ready"));
    assert_eq!(ready.count(), 4);
    let _ = Command::HealNetwork;
}
