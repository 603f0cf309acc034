//! The container network interface: a configuration file on each node, and a plugin that acts on it.
//!
//! Picture to hold in mind: the engine reads the file on the wall (`/etc/cni/net.d`), calls the plugin that it
//! names with ADD when a sandbox is born and with DEL when it dies, and believes the JSON that comes back.
//!
//! Follows the CNI specification 1.0.0 and the `bridge` and `ptp` plugins of `containernetworking/plugins`:
//! one interface a sandbox, `eth0`, joined by a veth pair to the node. Two others are installed by their add-ons:
//! `flannel` hands over to `bridge`, with the range that flanneld has written down, and `calico` routes to each pod by
//! itself, and has it send everything to an address that the node's end of the cable answers for (proxy ARP).

use core::net::IpAddr;

use crate::api::{Text, Value};
use crate::object;

use super::bandwidth::Limits;
use super::ipam::{Cidr, HostLocal};
use super::kernel::{default_route, link_route};
use crate::api::sha256::sha256;

/// The gateway of pods behind the plugin `calico`: nobody's address.
pub const CALICO_GATEWAY: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(169, 254, 1, 1));
/// The same for IPv6: what the node's end of the cable calls itself.
pub const CALICO_GATEWAY_6: IpAddr =
    IpAddr::V6(core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee));
/// Where flanneld writes down the node's range.
pub const SUBNET_FILE: &str = "/run/flannel/subnet.env";
/// Where plugins are, and their configurations.
pub const PLUGINS: &str = "/opt/cni/bin";
pub const CONFIGURATIONS: &str = "/etc/cni/net.d";

/// The plugin's part of a network configuration (list) that was understood, and its address ledgers.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: Text,
    pub cni_version: Text,
    /// `bridge`, `ptp`, `flannel` or `calico`.
    pub plugin: Text,
    /// The bridge's name, `cni0` by default; empty for `ptp`.
    pub bridge: Text,
    pub ip_masquerade: bool,
    pub mtu: u32,
    /// Why it cannot connect anybody yet.
    trouble: Text,
    pub ipam: Vec<HostLocal>,
    pub config: Value,
    /// The same as a plugin reads it from its standard input.
    pub config_text: Text,
}

/// What ADD made: the CNI result, in the simulator's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `eth0`.
    pub interface: Text,
    /// The other end of the pair, on the node: `veth1a2b3c4d`.
    pub host_interface: Text,
    /// Its number there; 0 until the kernel has given it one.
    pub host_index: u32,
    pub mac: Text,
    pub addresses: Vec<IpAddr>,
    pub prefix_lengths: Vec<u8>,
    pub gateways: Vec<IpAddr>,
    pub bridge: Text,
    pub mtu: u32,
    /// `/var/run/netns/cni-...`.
    pub namespace: Text,
    pub limits: Limits,
}

/// The configuration that containerd writes from its template once it knows the node's pod ranges. The template
/// leaves masquerading to the node's routing agent: the plugin would hide a pod's address from pods of other nodes.
pub fn default_text(pod_cidrs: &[Text]) -> String {
    let (mut ranges, mut routes) = (String::new(), String::new());
    for cidr in pod_cidrs {
        let comma = if ranges.is_empty() { "" } else { ", " };
        let any = if cidr.contains(':') { "::/0" } else { "0.0.0.0/0" };
        ranges += &format!("{comma}[{{\"subnet\": \"{cidr}\"}}]");
        routes += &format!("{comma}{{\"dst\": \"{any}\"}}");
    }
    include_str!("cni/default.conflist").replace("RANGES", &ranges).replace("ROUTES", &routes)
}
/// The same as an object.
pub fn default_config(pod_cidrs: &[Text]) -> Value {
    serde_json::from_str(&default_text(pod_cidrs)).unwrap_or_default()
}

impl Network {
    /// Reads a configuration (`type` at the top) or a configuration list (`plugins`). The error says what is
    /// wrong with it, in the words in which libcni or the plugin says it.
    pub fn read(config: &Value) -> Result<Network, String> {
        Network::read_on(config, &|_| None, &[])
    }
    /// The same on a node with files, by their paths, and ranges for its pods.
    pub fn read_on(
        config: &Value,
        file: &dyn Fn(&str) -> Option<Text>,
        ranges: &[Cidr],
    ) -> Result<Network, String> {
        let plugin = match config.items("plugins") {
            [] if config.has("plugins") => {
                return Err("error parsing configuration list: no plugins in list".into());
            }
            [] => config,
            [first, ..] => first,
        };
        let name = config.shared_text("name");
        if name.is_empty() {
            return Err("error parsing configuration: missing network name:".into());
        }
        let kind = plugin.shared_text("type");
        let is_flannel = kind == "flannel";
        let is_installed = match kind.as_str() {
            "bridge" | "ptp" => true,
            "flannel" | "calico" => file(&[PLUGINS, "/", &kind].concat()).is_some(),
            _ => false,
        };
        if !is_installed {
            return Err(if kind.is_empty() {
                "error parsing configuration: missing 'type'".into()
            } else {
                format!("failed to find plugin \"{kind}\" in path [/opt/cni/bin]")
            });
        }
        let ipam_kind = plugin.text("ipam.type");
        if ipam_kind != "host-local" && !is_flannel {
            return Err(format!("failed to find plugin \"{ipam_kind}\" in path [/opt/cni/bin]"));
        }
        // `KEY=VALUE`, a line each.
        let written = file(SUBNET_FILE).filter(|_| is_flannel);
        let setting = |name: &str| {
            let mut lines = written.as_ref()?.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        let mut subnets: Vec<&str> =
            ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"].into_iter().filter_map(setting).collect();
        let own: Vec<String> = ranges.iter().map(|range| range.to_string()).collect();
        match plugin.text("ipam.subnet") {
            _ if !plugin.has("ipam.subnet") => {}
            "usePodCidr" => subnets.extend(own.iter().map(String::as_str)),
            subnet => subnets.push(subnet),
        }
        for set in plugin.items("ipam.ranges") {
            subnets.extend(set.as_array().unwrap_or_default().iter().map(|range| range.text("subnet")));
        }
        let mut trouble = String::new();
        if subnets.is_empty() && is_flannel {
            trouble = format!("loadFlannelSubnetEnv failed: open {SUBNET_FILE}: no such file or directory");
        } else if subnets.is_empty() {
            return Err("no IP ranges specified".into());
        }
        let mtu = setting("FLANNEL_MTU").and_then(|mtu| mtu.parse().ok());
        let mtu = mtu.or_else(|| u32::try_from(plugin.integer("mtu")?).ok()).filter(|mtu| *mtu > 0);
        let mut ipam = Vec::new();
        for subnet in subnets {
            let range = Cidr::parse(subnet).ok_or_else(|| format!("invalid CIDR address: {subnet}"))?;
            ipam.push(HostLocal::new(range));
        }
        let bridge = match (kind.as_str(), plugin.text("bridge")) {
            ("ptp" | "calico", _) => Text::new(),
            (_, "") => "cni0".into(),
            (_, bridge) => bridge.into(),
        };
        let cni_version = match config.text("cniVersion") {
            "" => "0.1.0".into(),
            version => version.into(),
        };
        Ok(Network {
            name,
            cni_version,
            plugin: kind,
            bridge,
            ip_masquerade: plugin.is_true("ipMasq"),
            mtu: mtu.unwrap_or(1500),
            trouble: trouble.into(),
            ipam,
            config: config.clone(),
            config_text: config.to_string().into(),
        })
    }

    /// The part of the configuration that the interface plugin reads.
    pub fn plugin_config(&self) -> &Value {
        self.config.items("plugins").first().unwrap_or(&self.config)
    }
    /// ADD: an interface for the sandbox `container`. Nothing is kept of a failed one.
    pub fn add(&mut self, container: &Text, pod: &str) -> Result<Attachment, String> {
        if !self.trouble.is_empty() {
            return Err(format!("plugin type=\"{}\" failed (add): {}", self.plugin, self.trouble));
        }
        let is_calico = self.plugin == "calico";
        let mut addresses = Vec::new();
        for (number, ledger) in self.ipam.iter_mut().enumerate() {
            match ledger.allocate(container) {
                Ok(address) => addresses.push(address),
                Err(error) => {
                    for ledger in &mut self.ipam {
                        ledger.release(container);
                    }
                    return Err(format!(
                        "plugin type=\"{}\" failed (add): failed to allocate for range {number}: {error}",
                        self.plugin
                    ));
                }
            }
        }
        Ok(Attachment {
            interface: "eth0".into(),
            host_interface: self.host_interface(container, pod),
            host_index: 0,
            mac: mac_of(addresses.first()),
            prefix_lengths: self
                .ipam
                .iter()
                .map(|ledger| match (is_calico, ledger.range().is_ipv6()) {
                    (true, true) => 128,
                    (true, false) => 32,
                    _ => ledger.range().prefix_length(),
                })
                .collect(),
            gateways: self
                .ipam
                .iter()
                .map(|ledger| match (is_calico, ledger.range().is_ipv6()) {
                    (true, true) => CALICO_GATEWAY_6,
                    (true, false) => CALICO_GATEWAY,
                    _ => ledger.range().gateway(),
                })
                .collect(),
            mtu: self.mtu,
            addresses,
            bridge: self.bridge.clone(),
            limits: Limits::default(),
            namespace: arcstr::format!("/var/run/netns/cni-{}", container.get(8..24).unwrap_or(container)),
        })
    }
    /// The name of the node's end of the pair.
    pub fn host_interface(&self, container: &str, pod: &str) -> Text {
        match self.plugin.as_str() {
            "calico" => calico_interface(pod),
            _ => arcstr::format!("veth{}", container.get(..8).unwrap_or(container)),
        }
    }
    /// DEL: releases the addresses; doing it twice is no error.
    pub fn delete(&mut self, container: &str) {
        for ledger in &mut self.ipam {
            ledger.release(container);
        }
    }
}

/// What the plugin `calico` calls the node's end of the cable of a pod (`namespace/name`).
pub fn calico_interface(pod: &str) -> Text {
    let digest = sha256(pod.as_bytes());
    let letters: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    arcstr::format!("cali{}", &letters[..11])
}

/// The hardware address that goes with a pod's address: `0a:58:` and the four bytes of the address.
fn mac_of(address: Option<&IpAddr>) -> Text {
    let bytes = match address {
        Some(IpAddr::V4(v4)) => v4.octets(),
        Some(IpAddr::V6(v6)) => {
            let octets = v6.octets();
            [octets[12], octets[13], octets[14], octets[15]]
        }
        None => [0; 4],
    };
    arcstr::format!("0a:58:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3])
}

impl Attachment {
    /// `10.244.1.2/24`.
    pub fn address_texts(&self) -> Vec<String> {
        self.addresses.iter().zip(&self.prefix_lengths).map(|(ip, length)| format!("{ip}/{length}")).collect()
    }
    /// The routes inside of the sandbox, as `ip route` prints them.
    pub fn routes(&self) -> Vec<String> {
        let mut routes = Vec::new();
        for ((ip, length), gateway) in self.addresses.iter().zip(&self.prefix_lengths).zip(&self.gateways) {
            routes.push(default_route(*gateway, &self.interface));
            if *gateway == CALICO_GATEWAY {
                routes.push(format!("{gateway} dev {} scope link", self.interface));
            } else if let Some(network) = Cidr::parse(&format!("{ip}/{length}")) {
                routes.push(link_route(network, &self.interface, *ip));
            }
        }
        routes
    }
    /// The result that the plugin prints.
    pub fn result(&self, cni_version: &str) -> Value {
        let ips: Vec<Value> = self
            .address_texts()
            .into_iter()
            .zip(&self.gateways)
            .map(|(address, gateway)| {
                object! { "interface" => 2, "address" => address, "gateway" => gateway.to_string() }
            })
            .collect();
        let mut interfaces = Vec::new();
        if !self.bridge.is_empty() {
            interfaces.push(object! { "name" => &self.bridge });
        }
        interfaces.push(object! { "name" => &self.host_interface });
        interfaces.push(object! {
            "name" => &self.interface, "mac" => &self.mac, "sandbox" => &self.namespace,
        });
        object! { "cniVersion" => cni_version, "interfaces" => Value::from(interfaces), "ips" => Value::from(ips) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_read_or_refused() {
        let chapter = r#"{"cniVersion":"0.2.0","name":"mynet","type":"bridge","bridge":"cni0","isGateway":true,
            "ipMasq":true,"ipam":{"type":"host-local","subnet":"10.22.0.0/16","routes":[{"dst":"0.0.0.0/0"}]}}"#;
        let list = default_config(&["10.244.1.0/24".into(), "fd00:1::/64".into()]).to_string();
        let cases = [
            (chapter, Ok("10.22.0.0/16")),
            (list.as_str(), Ok("10.244.1.0/24 fd00:1::/64")),
            (r#"{"name":"x","plugins":[]}"#, Err("error parsing configuration list: no plugins in list")),
            (
                r#"{"name":"x","type":"calico"}"#,
                Err("failed to find plugin \"calico\" in path [/opt/cni/bin]"),
            ),
            (
                r#"{"name":"x","type":"bridge","ipam":{"type":"host-local","subnet":"10.22.0.0"}}"#,
                Err("invalid CIDR address: 10.22.0.0"),
            ),
            (r#"{"type":"bridge"}"#, Err("error parsing configuration: missing network name:")),
        ];
        for (text, expected) in cases {
            let network = Network::read(&serde_json::from_str(text).unwrap());
            let ranges = network.map(|network| {
                let ranges: Vec<String> = network.ipam.iter().map(|l| l.range().to_string()).collect();
                ranges.join(" ")
            });
            assert_eq!(ranges.as_deref().map_err(String::as_str), expected);
        }
    }

    #[test]
    fn add_tells_what_it_made_and_delete_takes_it_back() {
        let mut network = Network::read(&default_config(&["10.244.1.0/30".into()])).unwrap();
        let made = network.add(&"0123456789abcdef0123456789abcdef".into(), "a/b").unwrap();
        assert_eq!(
            made.result("1.0.0").to_string(),
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cni0"},{"name":"veth01234567"},{"mac":"0a:58:0a:f4:01:02","name":"eth0","sandbox":"/var/run/netns/cni-89abcdef01234567"}],"ips":[{"address":"10.244.1.2/30","gateway":"10.244.1.1","interface":2}]}"#
        );
        assert_eq!(made.routes()[0], "default via 10.244.1.1 dev eth0");
        assert_eq!(
            network.add(&"second".into(), "a/b").unwrap_err(),
            "plugin type=\"bridge\" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.244.1.1-10.244.1.2"
        );
        network.delete("0123456789abcdef0123456789abcdef");
        assert!(network.add(&"second".into(), "a/b").is_ok());
    }
}
