//! The bridge of a node as `bridge link` and `bridge fdb` print it.
//!
//! Picture to hold in mind: the patch panel behind the junction box: which cable is in which socket, and whose voice has
//! been heard on it.

use super::cni::Attachment;
use super::kernel::Kernel;
use super::show::tunnel_forwarding;

impl Kernel {
    /// `bridge link`.
    pub fn show_ports<'a>(&self, pods: impl Iterator<Item = &'a Attachment>) -> String {
        let Some(bridge) = &self.bridge else { return String::new() };
        let mut text = String::new();
        for pod in pods.filter(|pod| !pod.bridge.is_empty()) {
            text += &format!(
                "{}: {}@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu {} master {} state forwarding priority 32 cost 2 \n",
                pod.host_index, pod.host_interface, pod.mtu, bridge.name
            );
        }
        text
    }
    /// `bridge fdb`: what flanneld has written of its peers, and what the bridge has learned of the pods behind its ports.
    pub fn show_forwarding<'a>(&self, pods: impl Iterator<Item = &'a Attachment>) -> String {
        let mut text = String::new();
        for peer in self.tunnel.iter().flat_map(|tunnel| &tunnel.peers) {
            text.push_str(&tunnel_forwarding(peer));
            text.push('\n');
        }
        let Some(bridge) = &self.bridge else { return text };
        for pod in pods.filter(|pod| !pod.bridge.is_empty()) {
            text += &format!("{} dev {} master {} \n", pod.mac, pod.host_interface, bridge.name);
        }
        text
    }
}
