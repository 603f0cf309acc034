//! Each plugin on small clusters: which nodes pass, with which words; which is liked best.

use super::PLUGINS;
use super::balanced_allocation::balance;
use crate::api::Value;
use crate::client::Store;
use crate::client::store::key_of;
use crate::scheduler::cache::Cache;
use crate::scheduler::framework::{Lists, Plugin, PreFilter, View};
use crate::scheduler::node_info::NodeInfo;
use crate::scheduler::pod_info::PodInfo;
use crate::{array, object};

fn node(name: &str, zone: &str) -> Value {
    object! {
        "metadata" => object! { "name" => name, "labels" => object! {
            "kubernetes.io/hostname" => name, "topology.kubernetes.io/zone" => zone, "cores" => "4",
        } },
        "status" => object! {
            "allocatable" => object! { "cpu" => "4", "memory" => "8Gi", "pods" => "3" },
            "images" => array![object! { "names" => array!["big:1"], "sizeBytes" => 1_000_000_000_i64 }],
        },
    }
}
fn pod(name: &str, labels: Value, spec: Value) -> Value {
    object! {
        "metadata" => object! { "name" => name, "namespace" => "a", "uid" => name, "labels" => labels },
        "spec" => spec,
    }
}
fn asking(cpu: &str, memory: &str) -> Value {
    let requests = object! { "cpu" => cpu, "memory" => memory };
    object! { "containers" => array![object! { "resources" => object! { "requests" => requests } }] }
}

struct Fixture {
    cache: Cache,
    stores: Vec<Store>,
    lists: Lists,
}

impl Fixture {
    fn new(nodes: Vec<Value>, placed: Vec<(Value, &str)>) -> Fixture {
        let lists = Lists {
            pods: 0,
            nodes: 1,
            namespaces: 2,
            services: 3,
            replication_controllers: 4,
            replica_sets: 5,
            stateful_sets: 6,
            claims: 7,
            volumes: 8,
            storage_classes: 9,
            disruption_budgets: 10,
        };
        let mut cache = Cache::default();
        for node in &nodes {
            cache.set_node(node);
        }
        for (pod, node) in placed {
            let info = cache.grouped(PodInfo::new(&pod));
            cache.set_pod(info, &node.into());
        }
        cache.refresh();
        Fixture { cache, stores: vec![Store::default(); 11], lists }
    }
    fn with(mut self, list: usize, objects: Vec<Value>) -> Fixture {
        for object in objects {
            self.stores[list].insert(key_of(&object), object);
        }
        self
    }
    fn plugin(name: &str) -> &'static dyn Plugin {
        *PLUGINS.iter().find(|plugin| plugin.name() == name).unwrap()
    }
    /// The reasons by node, `""` for those that pass; one reason where the pod is rejected outright.
    fn verdicts(&self, plugin: &str, pod: &Value) -> Vec<String> {
        let view = View { cache: &self.cache, stores: &self.stores, informers: &self.lists };
        let pod = PodInfo::new(pod);
        match Fixture::plugin(plugin).pre_filter(&pod, &view) {
            PreFilter::Skip => view.nodes().iter().map(|_| String::new()).collect(),
            PreFilter::Reject(rejection) => vec![rejection.reasons.join(", ")],
            PreFilter::Filter(filter) | PreFilter::Only(_, filter) => view
                .nodes()
                .iter()
                .map(|node| filter.check(node).err().map_or(String::new(), |no| no.reasons.join(", ")))
                .collect(),
        }
    }
    /// The marks by node; none if the plugin gives none.
    fn scores(&self, plugin: &str, pod: &Value) -> Vec<i64> {
        let view = View { cache: &self.cache, stores: &self.stores, informers: &self.lists };
        let pod = PodInfo::new(pod);
        let nodes: Vec<&NodeInfo> = view.nodes().iter().map(|node| &**node).collect();
        let Some(scorer) = Fixture::plugin(plugin).pre_score(&pod, &view, &nodes) else { return Vec::new() };
        let mut scores: Vec<i64> = nodes.iter().map(|node| scorer.score(node)).collect();
        scorer.normalize(&nodes, &mut scores);
        scores
    }
}

#[test]
fn filters_say_why_in_upstreams_words() {
    let two = || vec![node("n1", "z1"), node("n2", "z2")];
    let tainted = || {
        let taint = object! { "key" => "k", "value" => "v", "effect" => "NoSchedule" };
        vec![node("n1", "z1").with("spec.taints", array![taint]), node("n2", "z2")]
    };
    let web = || object! { "app" => "web" };
    let port =
        || object! { "containers" => array![object! { "ports" => array![object! { "hostPort" => 80 }] }] };
    let anti = |key: &str| {
        let term = object! {
            "labelSelector" => object! { "matchLabels" => web() }, "topologyKey" => key,
        };
        object! { "affinity" => object! { "podAntiAffinity" => object! {
            "requiredDuringSchedulingIgnoredDuringExecution" => array![term],
        } } }
    };
    let with = |key: &str| {
        let term = object! {
            "labelSelector" => object! { "matchLabels" => web() }, "topologyKey" => key,
        };
        object! { "affinity" => object! { "podAffinity" => object! {
            "requiredDuringSchedulingIgnoredDuringExecution" => array![term],
        } } }
    };
    let spread = |when: &str| {
        object! { "topologySpreadConstraints" => array![object! {
            "maxSkew" => 1, "topologyKey" => "topology.kubernetes.io/zone", "whenUnsatisfiable" => when,
            "labelSelector" => object! { "matchLabels" => web() },
        }] }
    };
    let needs = |terms: Value| {
        object! { "affinity" => object! { "nodeAffinity" => object! {
            "requiredDuringSchedulingIgnoredDuringExecution" => object! { "nodeSelectorTerms" => terms },
        } } }
    };
    let expression = |key: &str, operator: &str, value: &str| {
        array![object! { "matchExpressions" => array![
            object! { "key" => key, "operator" => operator, "values" => array![value] },
        ] }]
    };
    let none: Value = object! {};
    let full = || -> Vec<(Value, &'static str)> {
        ["a", "b", "c"].into_iter().map(|name| (pod(name, object! {}, object! {}), "n1")).collect()
    };
    let no = |text: &str| vec![text.to_owned(), String::new()];
    let both = |text: &str| vec![text.to_owned(), text.to_owned()];
    for (plugin, nodes, placed, labels, spec, expected) in [
        (
            "NodeUnschedulable",
            vec![node("n1", "z").with("spec.unschedulable", true), node("n2", "z")],
            vec![],
            none.clone(),
            none.clone(),
            no("node(s) were unschedulable"),
        ),
        (
            "NodeName",
            two(),
            vec![],
            none.clone(),
            object! { "nodeName" => "n2" },
            no("node(s) didn't match the requested node name"),
        ),
        (
            "TaintToleration",
            tainted(),
            vec![],
            none.clone(),
            none.clone(),
            no("node(s) had untolerated taint(s)"),
        ),
        (
            "TaintToleration",
            tainted(),
            vec![],
            none.clone(),
            object! { "tolerations" => array![object! { "operator" => "Exists" }] },
            both(""),
        ),
        (
            "NodeAffinity",
            two(),
            vec![],
            none.clone(),
            object! { "nodeSelector" => object! { "topology.kubernetes.io/zone" => "z2" } },
            no("node(s) didn't match Pod's node affinity/selector"),
        ),
        (
            "NodeAffinity",
            two(),
            vec![],
            none.clone(),
            needs(expression("cores", "Gt", "4")),
            both("node(s) didn't match Pod's node affinity/selector"),
        ),
        (
            "NodeAffinity",
            two(),
            vec![],
            none.clone(),
            needs(expression("topology.kubernetes.io/zone", "NotIn", "z1")),
            no("node(s) didn't match Pod's node affinity/selector"),
        ),
        (
            "NodePorts",
            two(),
            vec![(pod("p", object! {}, port()), "n1")],
            none.clone(),
            port(),
            no("node(s) didn't have free ports for the requested pod ports"),
        ),
        (
            "NodeResourcesFit",
            two(),
            vec![(pod("p", object! {}, asking("3", "7Gi")), "n1")],
            none.clone(),
            asking("2", "2Gi"),
            no("Insufficient cpu, Insufficient memory"),
        ),
        ("NodeResourcesFit", two(), full(), none.clone(), none.clone(), no("Too many pods")),
        (
            "NodeResourcesFit",
            two(),
            vec![],
            none.clone(),
            object! { "containers" => array![object! { "resources" => object! { "requests" => object! { "example.com/gpu" => 1 } } }] },
            both("Insufficient example.com/gpu"),
        ),
        (
            "InterPodAffinity",
            two(),
            vec![(pod("p", web(), object! {}), "n1")],
            none.clone(),
            anti("kubernetes.io/hostname"),
            no("node(s) didn't match pod anti-affinity rules"),
        ),
        (
            "InterPodAffinity",
            two(),
            vec![(pod("p", object! {}, anti("kubernetes.io/hostname")), "n1")],
            web(),
            none.clone(),
            no("node(s) didn't satisfy existing pods anti-affinity rules"),
        ),
        (
            "InterPodAffinity",
            two(),
            vec![(pod("p", web(), object! {}), "n2")],
            none.clone(),
            with("kubernetes.io/hostname"),
            no("node(s) didn't match pod affinity rules"),
        ),
        (
            "InterPodAffinity",
            two(),
            vec![],
            none.clone(),
            with("kubernetes.io/hostname"),
            both("node(s) didn't match pod affinity rules"),
        ),
        ("InterPodAffinity", two(), vec![], web(), with("kubernetes.io/hostname"), both("")),
        (
            "PodTopologySpread",
            two(),
            vec![(pod("p", web(), object! {}), "n1")],
            web(),
            spread("DoNotSchedule"),
            no("node(s) didn't match pod topology spread constraints"),
        ),
        (
            "PodTopologySpread",
            two(),
            vec![(pod("p", web(), object! {}), "n1")],
            web(),
            spread("ScheduleAnyway"),
            both(""),
        ),
    ] {
        let fixture = Fixture::new(nodes, placed);
        let pod = pod("new", labels, spec);
        assert_eq!(fixture.verdicts(plugin, &pod), expected, "{plugin}: {pod}");
    }
}

#[test]
fn volumes_decide_where_a_pod_can_be() {
    let uses = object! { "volumes" => array![object! {
        "name" => "v", "persistentVolumeClaim" => object! { "claimName" => "c" },
    }] };
    let claim = |volume: &str, class: &str| {
        let mut claim = object! {
            "metadata" => object! { "name" => "c", "namespace" => "a" },
            "spec" => object! { "storageClassName" => class, "volumeName" => volume, "resources" => object! {
                "requests" => object! { "storage" => "1Gi" } } },
        };
        if !volume.is_empty() {
            claim.set("metadata.annotations", object! { "pv.kubernetes.io/bind-completed" => "yes" });
        }
        claim
    };
    let required = object! { "nodeSelectorTerms" => array![object! { "matchExpressions" => array![
        object! { "key" => "kubernetes.io/hostname", "operator" => "In", "values" => array!["n2"] },
    ] }] };
    let volume = object! {
        "metadata" => object! { "name" => "pv" },
        "spec" => object! { "capacity" => object! { "storage" => "2Gi" }, "storageClassName" => "late",
            "nodeAffinity" => object! { "required" => required } },
    };
    let class = object! {
        "metadata" => object! { "name" => "late" }, "provisioner" => "kubernetes.io/no-provisioner",
        "volumeBindingMode" => "WaitForFirstConsumer",
    };
    for (claims, expected) in [
        (vec![], vec!["persistentvolumeclaim \"c\" not found"]),
        (vec![claim("", "now")], vec!["pod has unbound immediate PersistentVolumeClaims"]),
        (vec![claim("pv", "late")], vec!["node(s) didn't match PersistentVolume's node affinity", ""]),
        (vec![claim("", "late")], vec!["node(s) didn't find available persistent volumes to bind", ""]),
        (
            vec![claim("gone", "late")],
            vec!["node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"; 2],
        ),
    ] {
        let fixture = Fixture::new(vec![node("n1", "z1"), node("n2", "z2")], vec![])
            .with(7, claims.clone())
            .with(8, vec![volume.clone()])
            .with(9, vec![class.clone()]);
        let pod = pod("new", object! {}, uses.clone());
        assert_eq!(fixture.verdicts("VolumeBinding", &pod), expected, "{claims:?}");
    }
}

#[test]
fn scores_prefer_as_upstream_does() {
    let two = || vec![node("n1", "z1"), node("n2", "z2")];
    let soft = |effect: &str| object! { "key" => "k", "effect" => effect };
    let preferred = object! { "affinity" => object! { "nodeAffinity" => object! {
        "preferredDuringSchedulingIgnoredDuringExecution" => array![object! { "weight" => 5, "preference" => object! {
            "matchExpressions" => array![object! {
                "key" => "topology.kubernetes.io/zone", "operator" => "In", "values" => array!["z1"],
            }] } }],
    } } };
    let web = || object! { "app" => "web" };
    let apart = object! { "affinity" => object! { "podAntiAffinity" => object! {
        "preferredDuringSchedulingIgnoredDuringExecution" => array![object! { "weight" => 100, "podAffinityTerm" => object! {
            "topologyKey" => "kubernetes.io/hostname",
            "labelSelector" => object! { "matchLabels" => web() },
        } }],
    } } };
    let image = object! { "containers" => array![object! { "image" => "big:1" }] };
    let with_images = || vec![node("n1", "z1"), node("n2", "z2").with("status.images", array![])];
    for (plugin, nodes, placed, labels, spec, expected) in [
        (
            "TaintToleration",
            vec![node("n1", "z").with("spec.taints", array![soft("PreferNoSchedule")]), node("n2", "z")],
            vec![],
            object! {},
            object! {},
            vec![0, 100],
        ),
        ("NodeAffinity", two(), vec![], object! {}, preferred, vec![100, 0]),
        // (4000-2000)/4000 and (8Gi-4Gi)/8Gi; (4000-1000)/4000 and (8Gi-1Gi)/8Gi.
        (
            "NodeResourcesFit",
            two(),
            vec![(pod("p", object! {}, asking("1", "3Gi")), "n1")],
            object! {},
            asking("1", "1Gi"),
            vec![50, 81],
        ),
        // Placed pods that ask nothing count with 100m and 200MB.
        (
            "NodeResourcesFit",
            two(),
            vec![],
            object! {},
            object! { "containers" => array![object! {}] },
            vec![97, 97],
        ),
        (
            "NodeResourcesBalancedAllocation",
            two(),
            vec![(pod("p", object! {}, asking("2", "0")), "n1")],
            object! {},
            asking("0", "4Gi"),
            vec![87, 62],
        ),
        ("NodeResourcesBalancedAllocation", two(), vec![], object! {}, object! {}, vec![]),
        // 1 GB on one node of two counts half: (500M - 23Mi) of (1000Mi - 23Mi).
        ("ImageLocality", with_images(), vec![], object! {}, image, vec![46, 0]),
        (
            "InterPodAffinity",
            two(),
            vec![(pod("p", web(), object! {}), "n1")],
            object! {},
            apart,
            vec![0, 100],
        ),
        ("InterPodAffinity", two(), vec![], object! {}, object! {}, vec![]),
        ("PodTopologySpread", two(), vec![], web(), object! {}, vec![]),
    ] {
        let fixture = Fixture::new(nodes, placed);
        let pod = pod("new", labels, spec);
        assert_eq!(fixture.scores(plugin, &pod), expected, "{plugin}: {pod}");
    }
}

#[test]
fn pods_of_one_replica_set_are_spread_by_default() {
    let web = || object! { "app" => "web" };
    let owner = object! { "kind" => "ReplicaSet", "name" => "rs", "uid" => "rs", "controller" => true };
    let member =
        |name: &str| pod(name, web(), object! {}).with("metadata.ownerReferences", array![owner.clone()]);
    let set = object! {
        "metadata" => object! { "name" => "rs", "namespace" => "a", "uid" => "rs" },
        "spec" => object! { "selector" => object! { "matchLabels" => web() } },
    };
    let fixture = Fixture::new(
        vec![node("n1", "z1"), node("n2", "z2"), node("n3", "z2")],
        vec![(member("a"), "n1"), (member("b"), "n1"), (member("c"), "n2")],
    )
    .with(5, vec![set]);
    let scores = fixture.scores("PodTopologySpread", &member("new"));
    // On n1 are two of the three, on n2 one, on n3 none.
    assert!(scores[0] < scores[1] && scores[1] < scores[2], "{scores:?}");
}

#[test]
fn balance_in_whole_numbers() {
    for (cpu, memory, expected) in [
        ((0, 4000), (0, 8 << 30), 100),
        ((4000, 4000), (0, 8 << 30), 50),
        ((2000, 4000), (4 << 30, 8 << 30), 100),
        ((1000, 4000), (4 << 30, 8 << 30), 87),
        ((1000, 0), (1, 8 << 30), 100),
        ((64_000, 128_000), (1 << 45, 1 << 46), 100),
    ] {
        assert_eq!(balance(cpu, memory), expected, "{cpu:?} {memory:?}");
    }
}
