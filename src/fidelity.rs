//! What is simplified or absent, on purpose: the words of error messages and of the fidelity cards.
//!
//! Picture to hold in mind: the list at a museum's door of what is a replica. Nothing is left out silently:
//! who asks for it is told, in one sentence, and what to use instead.

/// One entry: the part of the cluster, what was asked for, and what is told.
pub struct Entry {
    /// The component whose card shows it: `kubectl`, `shell`, `container engine` ...
    pub component: &'static str,
    pub what: &'static str,
    pub message: &'static str,
}

pub const REGISTRY: &[Entry] = &[
    Entry {
        component: "kubectl",
        what: "apply edit-last-applied",
        message: "write what \"kubectl apply view-last-applied\" prints into a file, change it, and hand it to \"kubectl apply set-last-applied\"",
    },
    Entry {
        component: "kubectl",
        what: "edit without an editor",
        message: "the object is laid into the editor panel, and the one that is changed is applied from there; KUBE_EDITOR names a command that changes the file at once; after a mistake the file is not opened again",
    },
    Entry {
        component: "kubectl",
        what: "proxy",
        message: "no port can be opened in the simulation: use \"kubectl get --raw\", or \"clusterarium serve\" outside of it",
    },
    Entry {
        component: "kubectl",
        what: "plugin",
        message: "plugins are programs of the machine that kubectl runs on, and there is none here",
    },
    Entry {
        component: "kubectl",
        what: "kustomize",
        message: "kustomizations are not built here: apply the manifests that they make",
    },
    Entry {
        component: "kubectl",
        what: "completion",
        message: "the terminal completes by itself: press Tab",
    },
    Entry { component: "kubectl", what: "kuberc", message: "there is no preference file in this terminal" },
    Entry {
        component: "kubectl",
        what: "apply --prune",
        message: "pruning is not simulated: delete what is no longer wanted with \"kubectl delete\"",
    },
    Entry {
        component: "kubectl",
        what: "-f URL",
        message: "there is no network beyond the cluster: write the manifest to a file first",
    },
    Entry {
        component: "kubectl",
        what: "--raw",
        message: "of the commands only \"kubectl get\" takes --raw here",
    },
    Entry {
        component: "kubectl",
        what: "debug -it",
        message: "custom profiles are not read, and --target shows no other container's processes",
    },
    Entry {
        component: "kubectl",
        what: "exec -it SHELL, attach -it, run -it",
        message: "lines go to the shell in the container one by one, until exit; there is no line editing over there",
    },
    Entry { component: "kubectl", what: "port-forward", message: "no port can be opened in the simulation" },
    Entry {
        component: "kubectl",
        what: "reconcile",
        message: "auth reconcile is not simulated: use \"kubectl apply\"",
    },
    Entry {
        component: "kubectl",
        what: "top with another add-on",
        message: "the metrics of an add-on of your own are not read: use \"kubectl get --raw\"",
    },
    Entry {
        component: "kubectl",
        what: "explain, OpenAPI: descriptions",
        message: "the descriptions of built-in kinds are our own, shorter ones; some rarely used fields have none",
    },
    Entry {
        component: "serve",
        what: "exec, attach",
        message: "text goes in and out, line by line, and bytes that are no UTF-8 are lost; attach shows what the container says from then on, and whole lines to a program that reads nothing are lost",
    },
    Entry {
        component: "serve",
        what: "port-forward, proxy",
        message: "a container that serves HTTP answers, whatever the method, with what a GET gets; other protocols are not spoken; the kubelet of the pod's node dials, so routes and policies have no say",
    },
    Entry {
        component: "serve",
        what: "TLS and client certificates",
        message: "without --cert-dir plain HTTP is served, and whoever connects is the administrator, as with \"kubectl proxy\"; with it TLS 1.3 is spoken, and approved signing requests are signed with ca.key as long as this runs",
    },
    Entry {
        component: "serve",
        what: "protobuf, CBOR and gzip",
        message: "objects go out as JSON or YAML only; bodies in protobuf are read, but for definitions of custom resources",
    },
    Entry {
        component: "serve",
        what: "logs --follow",
        message: "a followed log is read every half second of simulated time instead of being pushed",
    },
    Entry {
        component: "serve",
        what: "signatures of tokens",
        message: "a token of a service account carries a checksum instead of a signature: damage is noticed, forgery is not",
    },
    Entry {
        component: "kube-apiserver",
        what: "CEL",
        message: "an operator on an int-or-string field costs what the value there costs; of the time zones UTC and offsets such as \"+02:00\" are known, but none by its name (America/New_York), and format strings are not checked beforehand",
    },
    Entry {
        component: "kube-apiserver",
        what: "admission policies",
        message: "policies see creates, updates and deletions, but no CONNECT, and MutatingAdmissionPolicies no scale subresource; what is wrong with the types of a policy is shown with numbers left out of the names of types",
    },
    Entry {
        component: "kube-apiserver",
        what: "NodeRestriction",
        message: "how a claim differs whose status a node may not write so is not spelled out",
    },
    Entry {
        component: "kube-controller-manager",
        what: "signed certificates",
        message: "the cluster's authority has no key here: what stands for its signature under a certificate is made up, and that of a request counts as good; \"clusterarium serve --cert-dir\" signs in earnest",
    },
    Entry {
        component: "kube-apiserver",
        what: "PodSecurity of old",
        message: "the standards before v1.19 looked at annotations for seccomp: here the fields count for all versions",
    },
    Entry {
        component: "kube-apiserver",
        what: "devices: CEL",
        message: "the expressions of device classes and claims are compiled, but not evaluated: nothing here allocates devices",
    },
    Entry {
        component: "kube-apiserver",
        what: "admission webhooks",
        message: "no program here serves a webhook: who is configured answers as one that cannot be reached, by its failurePolicy",
    },
    Entry {
        component: "kube-scheduler",
        what: "NodeDeclaredFeatures",
        message: "what a node declares that it knows how to do (status.declaredFeatures) counts when a pod is resized, but not when it is placed",
    },
    Entry {
        component: "kube-controller-manager",
        what: "controllers that are missing",
        message: "no horizontal-pod-autoscaler, persistentvolume-attach-detach, persistentvolume-expander, resourceclaim, service-cidr, volumeattributesclass-protection, bootstrap-signer or token-cleaner runs here; secrets of type kubernetes.io/service-account-token stay without a token: use \"kubectl create token\"",
    },
    Entry {
        component: "kube-apiserver",
        what: "conversion webhooks",
        message: "no program here serves a webhook: a definition that asks one to convert its objects gives them out in the version in which they are stored, and in no other",
    },
    Entry {
        component: "kube-proxy",
        what: "modes",
        message: "iptables, nftables and ipvs mode are there, for IPv4; of the configuration file only mode, masqueradeAll and ipvs.scheduler are read",
    },
    Entry {
        component: "kube-proxy",
        what: "IPVS schedulers",
        message: "rr and wrr take turns and sh and mh go by the source; the others draw lots",
    },
    Entry {
        component: "network",
        what: "NetworkPolicy",
        message: "as with the bridge plugin alone nothing enforces policies until kube-router is installed (the example kube-router.yaml), as a firewall only; it takes its time to write rules, and a pod is open until then; Calico's Felix writes its own chains (cali-*) of the filter for IPv4, without groups of policies, a tree of dispatch chains, endpoint marks (in ipvs mode what a virtual server puts through is judged as if it were forwarded) and the chains of nat, raw and mangle; Calico's own policies are not read",
    },
    Entry {
        component: "network",
        what: "load balancers",
        message: "Services of type LoadBalancer wait for an address until the example cloud-controller-manager.yaml is installed; then one node takes in all that is sent to an address, until it is NotReady (policy Local: until it has no endpoint); there are no events, no probes of health check node ports and no leader election",
    },
    Entry {
        component: "network",
        what: "Ingress",
        message: "Ingresses do nothing until a controller is installed (the example ingress-nginx.yaml, which goes by its own Service and class whatever its flags say); it passes HTTP on by host and path; a host in a section tls is answered on port 443 alone (308 on port 80), but certificates are not looked at by anybody; left out are annotations (rewriting, canary, authentication, sticky sessions ...), its ConfigMap, backends that are resources or ExternalName Services, TCP and UDP services, its access log, metrics, webhook, events and leader election; what is asked in its own pod (localhost, port-forward, probes of port 80) is not passed on",
    },
    Entry {
        component: "kube-controller-manager",
        what: "topology-mode",
        message: "endpoints get hints where spec.trafficDistribution asks for them; the annotation service.kubernetes.io/topology-mode (by processors and zones) gives none",
    },
    Entry {
        component: "network",
        what: "routes between nodes",
        message: "in a cluster of both families (New cluster …, or --dual-stack) pods have addresses of both, machines but link-local ones of IPv6, and Services IPv4 alone; with Calico a node itself has no way to such addresses elsewhere; there is no cluster of IPv6 alone; each machine's own routing agent tells the others its pod ranges, until Flannel or Calico is installed (their examples, or a new cluster with them)",
    },
    Entry {
        component: "network",
        what: "Flannel",
        message: "flanneld tells the others' flanneld itself which range and which device are here, instead of by annotations of Nodes; VXLAN is the only backend; masquerading is left to the machine; nothing is too large for a tunnel's MTU",
    },
    Entry {
        component: "network",
        what: "Calico",
        message: "addresses come from the node's podCIDR (host-local), so there are no blocks, and an IPPool, the one custom resource, is made and shown but changes nothing: calicoctl reads it, nodes and pods; BIRD's mesh cannot be configured, and a session ends by silence only (240 s), without graceful restart; no IPIP, VXLAN or eBPF; the names of cali interfaces are made by another hash",
    },
    Entry {
        component: "network",
        what: "the rest of the world",
        message: "public names have an address of TEST-NET-3 (RFC 5737) for the packet tracer, and nobody there answers",
    },
    Entry {
        component: "network",
        what: "plugins of a network configuration",
        message: "the plugin portmap writes rules of iptables, for IPv4; bandwidth sets token buckets (tbf), in which answers over HTTP wait at the pod that gives them; firewall and tuning are passed over",
    },
    Entry {
        component: "CoreDNS",
        what: "Corefile",
        message: "errors, health, ready, kubernetes, hosts (without a file), forward, cache, loop, reload, loadbalance, rewrite name, template (records A, AAAA, CNAME and PTR, gaps without functions) and log are followed; other plugins (acl, autopath, dns64, file, whoami ...) are read and do nothing; answers have no owner that a rewrite would turn back; forward finds the world's name servers only, and questions come over UDP",
    },
    Entry {
        component: "container engine",
        what: "connections",
        message: "one packet there and one back stand for a whole connection; there is no bandwidth but what the plugin of this name sets, and no retransmission",
    },
    Entry {
        component: "container engine",
        what: "IPC",
        message: "containers of a pod share /dev/shm, and ipcs, ipcmk and ipcrm show, make and remove the memory, queues and semaphores of their IPC namespace; no program here attaches to them, and there are no POSIX queues",
    },
    Entry {
        component: "network",
        what: "load, hey",
        message: "a hundred requests a second at most; connections that are kept are used in turn, and a request that meets one closed by the other side goes over a new one at once; the name is looked up once a second; what hey prints has no times for dialling, writing and reading",
    },
    Entry {
        component: "container engine",
        what: "iptables, nft, ipset, ipvsadm",
        message: "rules, sets and virtual servers can be read on a node, or in a container with its network (iptables-save, iptables -S, nft list ruleset, ipset list, ipvsadm -Ln), and are written by kube-proxy and kube-router only; nft lists kube-proxy's table without sources that session affinity remembers",
    },
    Entry {
        component: "node",
        what: "shell",
        message: "who comes by ssh is root and finds bash with the tools that containers have, and ip, bridge, ss, ps, crictl, systemctl and journalctl; kubectl is not there, and machines of etcd alone let nobody in",
    },
    Entry {
        component: "node",
        what: "services",
        message: "systemd knows kubelet and containerd; its journal has their starts and ends",
    },
    Entry {
        component: "node",
        what: "files",
        message: "of the files of a node those in /etc/cni/net.d and /etc/kubernetes/manifests are followed; others can be read and written, and change nothing",
    },
    Entry {
        component: "container engine",
        what: "crictl",
        message: "pods and containers are not made by hand here: let the kubelet do it (runp, create, start and port-forward are missing); -o go-template is, too; events are looked for once a second, and carry no statuses",
    },
    Entry {
        component: "shell",
        what: "vi",
        message: "there is no editor in this terminal: use the editor panel, or a here-document (cat > FILE <<EOF)",
    },
    Entry {
        component: "shell",
        what: "vim",
        message: "there is no editor in this terminal: use the editor panel, or a here-document (cat > FILE <<EOF)",
    },
    Entry {
        component: "shell",
        what: "nano",
        message: "there is no editor in this terminal: use the editor panel, or a here-document (cat > FILE <<EOF)",
    },
    Entry {
        component: "shell",
        what: "helm",
        message: "charts are not rendered here: apply the manifests that they make",
    },
    Entry {
        component: "shell",
        what: "docker",
        message: "nodes run containerd, through the CRI; there is no Docker daemon",
    },
    Entry {
        component: "etcdctl",
        what: "protobuf",
        message: "protobuf is not written here: use -w json or -w fields",
    },
    Entry {
        component: "etcdctl",
        what: "watch -- COMMAND",
        message: "commands for events are not run: watch in the background and read its output",
    },
    Entry {
        component: "etcdctl",
        what: "lock NAME COMMAND",
        message: "commands under a lock are not run: take the lock in the background (etcdctl lock NAME &)",
    },
    Entry {
        component: "etcdctl",
        what: "snapshot status and restore",
        message: "3.6 has dropped these in favour of etcdutl; here they are kept, with the hint that 3.5 gave",
    },
    Entry {
        component: "etcdctl",
        what: "make-mirror",
        message: "there is no second cluster here to mirror the keys to: save a snapshot and restore it",
    },
    Entry {
        component: "etcdctl",
        what: "downgrade",
        message: "all members run one release here: there is none to go back to",
    },
    Entry {
        component: "etcdutl",
        what: "defrag",
        message: "the files of a stopped member are not at hand here: use etcdctl defrag while it runs",
    },
    Entry {
        component: "kube-apiserver",
        what: "several API servers",
        message: "the balancer in front of them is no machine here: each client is put through to one of them, and to the next when that one cannot be reached",
    },
    Entry {
        component: "etcd",
        what: "auth enable",
        message: "users and roles are kept, but nobody is asked for a password",
    },
    Entry {
        component: "etcd",
        what: "flags",
        message: "of a member that is stopped --pre-vote, --snapshot-count, --snapshot-catchup-entries, the checks for corruption, --watch-progress-notify-interval and LeaseCheckpoint can be changed",
    },
    Entry {
        component: "etcd",
        what: "too many requests",
        message: "to apply an entry takes no time, so a member is never 5000 entries behind with it",
    },
    Entry {
        component: "etcd",
        what: "restored members",
        message: "a member that starts with a restored backup is not told apart from the old cluster's: stop the others first",
    },
    Entry {
        component: "etcd",
        what: "certificates",
        message: "certificates are not signed: who issued one is all that a handshake looks at",
    },
    Entry {
        component: "etcdctl",
        what: "values of Kubernetes' keys",
        message: "objects are kept as trees and read as JSON, as with --storage-media-type=application/json",
    },
    Entry {
        component: "shell",
        what: "kubeadm",
        message: "the cluster was set up before you came; kubeadm is not simulated yet",
    },
    Entry { component: "shell", what: "apt", message: "nodes have no packages in the simulation yet" },
    Entry { component: "shell", what: "apt-get", message: "nodes have no packages in the simulation yet" },
    Entry {
        component: "shell",
        what: "jq",
        message: "there is no jq here: use \"kubectl get -o jsonpath=...\"",
    },
    Entry {
        component: "shell",
        what: "watch",
        message: "use \"kubectl get --watch\", or: while true; do COMMAND; sleep 2; done",
    },
];

/// What is told when `what` is asked of `component`.
pub fn message(component: &str, what: &str) -> Option<&'static str> {
    REGISTRY
        .iter()
        .find(|entry| entry.component == component && entry.what == what)
        .map(|entry| entry.message)
}

/// Why a well-known program is not there.
pub fn missing_command(name: &str) -> Option<&'static str> {
    message("shell", name)
}
