//! A fresh cluster comes up by itself.

use clusterarium::cluster;
use clusterarium::command::Scenario;
use clusterarium::message::Message;
use clusterarium::picture;
use clusterarium::sim::Time;
use clusterarium::sim::trace::What;

#[test]
fn a_fresh_cluster_has_a_leader_ready_nodes_and_its_own_pods() {
    for seed in 1..=10 {
        let mut history = cluster::boot(seed, Scenario::default());
        history.run_until(Time::from_secs(60));
        let picture = picture::build(&history);
        let leaders = picture.etcd.iter().filter(|member| member.role == "Leader").count();
        assert_eq!(leaders, 1, "seed {seed}");
        let is_ready = |host: &&picture::Host| host.node.as_ref().is_some_and(|node| node.status == "Ready");
        assert_eq!(picture.hosts.iter().filter(is_ready).count(), 4, "seed {seed}");
        for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let name = format!("{component}-cp-1");
            let pod = picture.pods.iter().find(|pod| pod.namespace == "kube-system" && pod.name == name);
            assert_eq!(pod.map(|pod| pod.status.as_str()), Some("Running"), "seed {seed}: {name}");
        }
        let ready = |name: &str| {
            let pods = picture
                .pods
                .iter()
                .filter(|pod| pod.namespace == "kube-system" && pod.name.starts_with(name));
            pods.filter(|pod| pod.ready.used == pod.ready.of && pod.status == "Running").count()
        };
        assert_eq!((ready("kube-proxy-"), ready("coredns-")), (4, 2), "seed {seed}");
    }
}

/// What the API server refused anybody, of the cluster itself, in the words of the refusal.
fn refusals(history: &clusterarium::sim::History<cluster::Cluster>) -> Vec<String> {
    let refused = history.trace.iter().filter_map(|(_, record)| match &record.what {
        What::Sent { message: Message::Response(response), .. } if matches!(response.code, 401 | 403) => {
            Some(format!("{} {}", record.time, response.body.text("message")))
        }
        _ => None,
    });
    refused.collect()
}

#[test]
fn nobody_of_the_cluster_asks_for_what_he_may_not() {
    for scenario in [
        Scenario::default(),
        Scenario { hollow: true, ..Scenario::default() },
        Scenario { control_plane_nodes: 3, etcd_members: 3, ..Scenario::default() },
    ] {
        let mut history = cluster::boot(7, scenario);
        history.run_until(Time::from_secs(90));
        assert_eq!(refusals(&history), Vec::<String>::new());
    }
}
