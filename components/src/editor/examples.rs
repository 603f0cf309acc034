//! Manifests to begin with; the files lie in public/examples.

pub struct Example {
    pub file: &'static str,
    pub title: &'static str,
    /// What there is to see, in one line.
    pub note: &'static str,
    pub text: &'static str,
}

macro_rules! examples {
    ($($file:literal $title:literal $note:literal)*) => {
        /// In the order of the menu; the first is what a first visit shows.
        pub const EXAMPLES: &[Example] = &[$(Example {
            file: $file,
            title: $title,
            note: $note,
            text: include_str!(concat!("../../../public/examples/", $file)),
        }),*];
    };
}

examples! {
    "shop.yaml" "A shop" "A Deployment: three pods, two containers each"
    "nginx.yaml" "nginx" "The smallest Deployment there is"
    "rolling-update-v1.yaml" "Rolling update, before" "Apply this, then version 2"
    "rolling-update-v2.yaml" "Rolling update, after" "A new image, pod by pod"
    "daemonset.yaml" "DaemonSet" "One pod on every node, the control plane's too"
    "init-container.yaml" "Init container" "From the chapter: a pod that waits for its database"
    "sidecar.yaml" "App and Logger" "Two containers, one address, one shared volume"
    "crash-loop.yaml" "Crash loop" "A container that fails, and the growing back-off"
    "unschedulable.yaml" "Unschedulable" "More than any node has: why is it Pending?"
    "resource-limits.yaml" "Resource limits" "Lab 4.2: a hog with requests and limits"
    "network-policy.yaml" "NetworkPolicy" "A wall around a database; kube-router enforces it"
    "kube-router.yaml" "kube-router" "The add-on that enforces NetworkPolicies"
    "cloud-controller-manager.yaml" "Cloud controller" "An address for every Service of type LoadBalancer"
    "ingress-nginx.yaml" "Ingress controller" "One door for many Services, by host and path"
    "kube-flannel.yaml" "Flannel" "A VXLAN overlay between the nodes"
    "calico.yaml" "Calico" "Felix and BIRD: a route to every pod, by BGP"
    "limit-range.yaml" "Limits for a namespace" "Lab 4.3: what pods get that do not ask"
}
