//! What a kubelet is told when it starts: its flags and its configuration file.
//!
//! Picture to hold in mind: the papers in the glove compartment: whose car this is, what it may carry, where to
//! report.

use crate::api::{Text, Value};
use crate::sim::{ActorId, Duration};
use crate::sorted::SortedMap;

/// `v1.36.2`.
pub const VERSION: &str = "v1.36.2";

#[derive(Clone, Debug)]
pub struct KubeletConfig {
    pub node_name: Text,
    /// Of the node, the primary one first.
    pub host_ips: Vec<Text>,
    /// The API servers that its balancer puts it through to, the first one first.
    pub servers: Vec<ActorId>,
    pub engine: ActorId,
    /// One of Kubernetes' hollow nodes: fake engine, fake probes, no events.
    pub hollow: bool,
    /// `--node-labels`, besides those that every node has.
    pub labels: Vec<(Text, Text)>,
    /// `--register-with-taints`.
    pub taints: Vec<Value>,
    pub provider_id: Text,
    /// `capacity`, which is allocatable as a whole: cpu, memory, pods, ephemeral-storage.
    pub capacity: Vec<(Text, Text)>,
    pub max_pods: usize,
    pub cluster_dns: Vec<Text>,
    pub cluster_domain: Text,
    /// `/etc/kubernetes/manifests`: file name to pod, not yet defaulted.
    pub manifests: SortedMap<Text, Value>,
    /// `serializeImagePulls`: one pull at a time.
    pub serialize_image_pulls: bool,
    /// `crashLoopBackOff.maxContainerRestartPeriod`.
    pub max_restart_back_off: Duration,
    /// Between two looks at a pod that nothing happens to (`syncFrequency`).
    pub sync_frequency: Duration,
}

impl KubeletConfig {
    /// A worker as in the reference cluster: 4 CPU, 8Gi, 110 pods.
    pub fn new(
        node_name: &str,
        host_ip: &str,
        servers: Vec<ActorId>,
        engine: ActorId,
        hollow: bool,
    ) -> KubeletConfig {
        let storage = if hollow { "0" } else { "81106868Ki" };
        let capacity = [("cpu", "4"), ("ephemeral-storage", storage), ("memory", "8Gi"), ("pods", "110")];
        KubeletConfig {
            node_name: node_name.into(),
            host_ips: vec![host_ip.into()],
            servers,
            engine,
            hollow,
            labels: Vec::new(),
            taints: Vec::new(),
            provider_id: if hollow { arcstr::format!("kubemark://{node_name}") } else { Text::new() },
            capacity: capacity
                .iter()
                .map(|(name, amount)| (Text::from(*name), Text::from(*amount)))
                .collect(),
            max_pods: 110,
            cluster_dns: vec!["10.96.0.10".into()],
            cluster_domain: "cluster.local".into(),
            manifests: SortedMap::new(),
            serialize_image_pulls: true,
            max_restart_back_off: Duration::from_secs(300),
            sync_frequency: Duration::from_secs(60),
        }
    }
}
