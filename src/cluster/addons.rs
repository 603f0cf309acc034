//! What `kubeadm init` brings besides the processes: the manifests of the static pods, and the objects of the add-ons.
//!
//! Picture to hold in mind: the folder `/etc/kubernetes/manifests` in which the kubelet of a control-plane node
//! finds the control plane itself (the processes are actors of their own; these pods are how the API shows them),
//! and a pad of filled-in forms that [`super::kubeadm`] hands to the API server.
//!
//! The objects are those of `cmd/kubeadm/app/phases` (uploadconfig, kubelet, bootstraptoken, addons) of 1.36.

use crate::api::{Text, Value, yaml};
use crate::arrange::Gather;
use crate::command::{PodNetwork, Scenario};
use crate::etcd::Peer;
use crate::sorted::SortedMap;
use crate::{array, object};

const REGISTRY: &str = "registry.k8s.io";
const VERSION: &str = "v1.36.2";
const ETCD_VERSION: &str = "3.6.8-0";
const COREDNS_VERSION: &str = "v1.14.2";
const PAUSE_VERSION: &str = "3.10.2";

/// The objects that `kubeadm init` creates, in its order; `ip` is where the API server listens.
pub(super) fn objects(ip: &str, network: PodNetwork) -> Vec<Value> {
    let mut files = vec![
        include_str!("addons/config.yaml"),
        include_str!("addons/coredns.yaml"),
        include_str!("addons/kube-proxy.yaml"),
    ];
    // What the administrator applies next.
    files.extend(match network {
        PodNetwork::Bridge => None,
        PodNetwork::Flannel => Some(include_str!("../../public/examples/kube-flannel.yaml")),
        PodNetwork::Calico => Some(include_str!("../../public/examples/calico.yaml")),
    });
    let text = files
        .join("---\n")
        .replace("ENDPOINT", &format!("{ip}:6443"))
        .replace("COREDNS", COREDNS_VERSION)
        .replace("VERSION", VERSION);
    yaml::read(&text).into_iter().flatten().map(|document| document.value).collect()
}

/// What is done about a control plane on `nodes` once it is up. Of a hollow one only the nodes are marked.
pub(super) fn forms(nodes: &[&str], ip: &str, scenario: &Scenario) -> Vec<Value> {
    let hollow = scenario.hollow;
    let marks = nodes.iter().map(|node| {
        let mut mark = object! {
            "apiVersion" => "v1",
            "kind" => "Node",
            "metadata" => object! { "name" => *node, "labels" => object! {
                "node-role.kubernetes.io/control-plane" => "",
            } },
        };
        if !hollow {
            let exclude = "node.kubernetes.io/exclude-from-external-load-balancers";
            mark.at_mut("metadata.labels").make_object().insert(exclude, "");
        }
        mark
    });
    let mut forms = if hollow { Vec::new() } else { objects(ip, scenario.network) };
    // The first after the configuration; the others when they join.
    let is_config = |form: &Value| form.text("metadata.name") != "kubeadm:get-nodes";
    let place = forms.iter().take_while(|form| is_config(form)).count();
    for (number, mark) in marks.enumerate() {
        forms.insert(if number == 0 { place } else { forms.len() }, mark);
    }
    forms
}

/// The file that `kubeadm init --config` was given: `ClusterConfiguration`.
pub(super) fn configuration(ip: &str) -> String {
    let is_it = |object: &Value| object.text("metadata.name") == "kubeadm-config";
    let found = objects(ip, PodNetwork::Bridge)
        .into_iter()
        .find(|object| object.has("data.ClusterConfiguration") && is_it(object));
    found.map_or(String::new(), |object| object.text("data.ClusterConfiguration").to_string())
}

/// What `kubeadm config images pull` has put on a machine before it joins.
pub(super) fn images(is_control_plane: bool) -> Vec<Text> {
    let mut images = vec![
        format!("coredns/coredns:{COREDNS_VERSION}"),
        format!("kube-proxy:{VERSION}"),
        format!("pause:{PAUSE_VERSION}"),
    ];
    if is_control_plane {
        for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            images.push(format!("{name}:{VERSION}"));
        }
        images.push(format!("etcd:{ETCD_VERSION}"));
    }
    images.into_iter().map(|image| arcstr::format!("{REGISTRY}/{image}")).collect()
}

/// The static pods of a node: file name to pod.
pub(super) type Manifests = SortedMap<Text, Value>;

/// `/etc/kubernetes/manifests` of the control-plane node `node` with address `ip`. Of etcd's `members` one may be its
/// own; `etcd_servers` are those that its API server knows.
pub(super) fn static_pods(
    node: &str,
    ip: &str,
    members: &[Peer],
    etcd_servers: &[Peer],
    is_dual: bool,
) -> Manifests {
    let own = format!("https://{ip}:2379");
    let is_stacked = members.iter().any(|member| member.client_url == own);
    let urls: Vec<&str> = etcd_servers
        .iter()
        .map(|peer| if peer.client_url == own { "https://127.0.0.1:2379" } else { &peer.client_url })
        .collect();
    let initial: Vec<String> =
        members.iter().map(|member| format!("{}={}", member.name, member.peer_url)).collect();
    let component = |name: &str, image: String, cpu: &str, flags: &[String]| -> (Text, Value) {
        let command: Vec<Value> = std::iter::once(Value::from(name))
            .chain(flags.iter().map(|flag| Value::from(flag.as_str())))
            .collect();
        let pod = object! {
            "apiVersion" => "v1",
            "kind" => "Pod",
            "metadata" => object! {
                "name" => name,
                "namespace" => "kube-system",
                "labels" => object! { "component" => name, "tier" => "control-plane" },
            },
            "spec" => object! {
                "containers" => array![object! {
                    "name" => name,
                    "image" => image,
                    "imagePullPolicy" => "IfNotPresent",
                    "command" => Value::from(command),
                    "resources" => object! { "requests" => object! { "cpu" => cpu } },
                }],
                "hostNetwork" => true,
                "priorityClassName" => "system-node-critical",
                "priority" => 2_000_001_000,
                "securityContext" => object! { "seccompProfile" => object! { "type" => "RuntimeDefault" } },
            },
        };
        (arcstr::format!("{name}.yaml"), pod)
    };
    let with_volumes = |(file, mut pod): (Text, Value), volumes: &[(&str, &str)]| {
        let mounts = volumes.iter().map(|(name, path)| object! { "mountPath" => *path, "name" => *name });
        pod.at_mut("spec.containers").make_array()[0].set("volumeMounts", Value::array(mounts));
        let volumes = volumes.iter().map(|(name, path)| {
            object! { "name" => *name, "hostPath" => object! { "path" => *path, "type" => "DirectoryOrCreate" } }
        });
        pod.set("spec.volumes", Value::array(volumes));
        (file, pod)
    };
    let image = |name: &str| format!("{REGISTRY}/{name}:{VERSION}");
    let kubeconfig = |name: &str| format!("--kubeconfig=/etc/kubernetes/{name}.conf");
    let etcd = with_volumes(
        component(
            "etcd",
            format!("{REGISTRY}/etcd:{ETCD_VERSION}"),
            "100m",
            &[
                format!("--advertise-client-urls=https://{ip}:2379"),
                "--cert-file=/etc/kubernetes/pki/etcd/server.crt".into(),
                "--client-cert-auth=true".into(),
                "--data-dir=/var/lib/etcd".into(),
                "--feature-gates=InitialCorruptCheck=true".into(),
                format!("--initial-advertise-peer-urls=https://{ip}:2380"),
                format!("--initial-cluster={}", initial.join(",")),
                "--key-file=/etc/kubernetes/pki/etcd/server.key".into(),
                format!("--listen-client-urls=https://127.0.0.1:2379,https://{ip}:2379"),
                "--listen-metrics-urls=http://127.0.0.1:2381".into(),
                format!("--listen-peer-urls=https://{ip}:2380"),
                format!("--name={node}"),
                "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt".into(),
                "--peer-client-cert-auth=true".into(),
                "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key".into(),
                "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt".into(),
                "--snapshot-count=10000".into(),
                "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt".into(),
                "--watch-progress-notify-interval=5s".into(),
            ],
        ),
        &[("etcd-data", "/var/lib/etcd"), ("etcd-certs", "/etc/kubernetes/pki/etcd")],
    );
    let mut manifests: Manifests = is_stacked.then_some(etcd).into_iter().gather();
    manifests.extend([
        component(
            "kube-apiserver",
            image("kube-apiserver"),
            "250m",
            &[
                format!("--advertise-address={ip}"),
                "--authorization-mode=Node,RBAC".into(),
                "--enable-admission-plugins=NodeRestriction".into(),
                format!("--etcd-servers={}", urls.join(",")),
                "--secure-port=6443".into(),
                "--service-cluster-ip-range=10.96.0.0/12".into(),
            ],
        ),
        component(
            "kube-controller-manager",
            image("kube-controller-manager"),
            "200m",
            &[
                "--allocate-node-cidrs=true".into(),
                ["--cluster-cidr=10.244.0.0/16", if is_dual { ",fd00:10:244::/56" } else { "" }].concat(),
                kubeconfig("controller-manager"),
                "--leader-elect=true".into(),
                "--use-service-account-credentials=true".into(),
            ],
        ),
        component(
            "kube-scheduler",
            image("kube-scheduler"),
            "100m",
            &[kubeconfig("scheduler"), "--leader-elect=true".into()],
        ),
    ]);
    manifests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::meta;

    #[test]
    fn every_form_is_filled_in() {
        let objects = objects("192.168.56.10", PodNetwork::Calico);
        let names: Vec<String> =
            objects.iter().map(|object| format!("{} {}", meta::kind(object), meta::name(object))).collect();
        for wanted in
            ["ConfigMap kubeadm-config", "Deployment coredns", "Service kube-dns", "DaemonSet kube-proxy"]
        {
            assert!(names.iter().any(|name| name == wanted), "{wanted} of {names:?}");
        }
        assert!(
            objects
                .iter()
                .all(|object| !meta::name(object).is_empty() && !meta::api_version(object).is_empty())
        );
        let text: String = objects.iter().map(|object| object.to_string()).collect();
        for placeholder in ["ENDPOINT", "COREDNS", "VERSION\""] {
            assert!(!text.contains(placeholder), "{placeholder}");
        }
    }
}
