//! The plugin `bandwidth`: how fast a pod may receive and send.
//!
//! Picture to hold in mind: a turnstile at each end of a pod's cable. It lets so many through a second, and whoever comes
//! after a quiet time finds it open for a while (the burst).
//!
//! Follows `containernetworking/plugins` `plugins/meta/bandwidth` (token buckets: `tbf` on the node's end of the cable,
//! and for what the pod sends on a device `ifb` that it is led through), containerd for the annotations, and tc(8).
//! containerd asks for a burst of 512 MB with a rate that comes from an annotation: only what is beyond waits.

use crate::api::quantity::Quantity;
use crate::api::sha256::sha256;
use crate::api::{Text, Value};
use crate::sim::{Duration, Time};

use super::cni::{Attachment, Network};

/// A token bucket; with a rate of 0 there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    pub bits_per_second: u64,
    burst_bits: u64,
    /// When it will have let through all that has come.
    free_at: Time,
}

/// Of the pod's two directions: in, and out.
pub type Limits = [Limit; 2];
const DIRECTIONS: [(&str, &str, &str); 2] = [
    ("kubernetes.io/ingress-bandwidth", "ingressRate", "ingressBurst"),
    ("kubernetes.io/egress-bandwidth", "egressRate", "egressBurst"),
];

/// What containerd and the plugin make of a pod's annotations and the list's own settings. The error is theirs.
pub fn limits(network: &Network, annotations: &Value) -> Result<Limits, String> {
    let is_it = |plugin: &&Value| plugin.text("type") == "bandwidth";
    let plugin = network.config.items("plugins").iter().find(is_it);
    let mut limits = Limits::default();
    for (limit, (annotation, rate, burst)) in limits.iter_mut().zip(DIRECTIONS) {
        let failed = |words: &str| {
            Err(["get cni namespace options: reading pod bandwidth annotations: ", words].concat())
        };
        let asked = match annotations.get(annotation).and_then(Value::as_str) {
            None => 0,
            Some(text) => match Quantity::parse(text) {
                Err(error) => return failed(&error.to_string()),
                Ok(quantity) => match quantity.value() {
                    ..1000 => return failed("resource is unreasonably small (< 1kbit)"),
                    1_000_000_000_000_001.. => return failed("resource is unreasonably large (> 1Pbit)"),
                    bits => bits as u64,
                },
            },
        };
        let Some(plugin) = plugin else { continue };
        let setting =
            |name: &str| plugin.integer(name).and_then(|bits| u64::try_from(bits).ok()).unwrap_or(0);
        (limit.bits_per_second, limit.burst_bits) = match (setting(rate), setting(burst)) {
            (0, 0) if plugin.is_true("capabilities.bandwidth") && asked > 0 => (asked, u32::MAX.into()),
            (0, 1..) | (1.., 0) => {
                return Err(
                    "plugin type=\"bandwidth\" failed (add): if rate is set, burst must also be set".into()
                );
            }
            own => own,
        };
    }
    Ok(limits)
}

impl Limit {
    /// So many bytes come: how long they wait.
    pub fn pass(&mut self, bytes: usize, now: Time) -> Duration {
        if self.bits_per_second == 0 {
            return Duration::ZERO;
        }
        // At most thirty years, whatever rate and burst somebody writes.
        let micros = |bits: u64| {
            let time = u128::from(bits) * 1_000_000 / u128::from(self.bits_per_second);
            Duration(time.min(1_000_000_000_000_000) as u64)
        };
        let (took, burst) = (micros(bytes as u64 * 8), micros(self.burst_bits));
        self.free_at = self.free_at.max(now) + took;
        self.free_at.since(now + burst)
    }
    fn show(&self, device: &str) -> String {
        let (mut rate, mut unit) = (self.bits_per_second, 0);
        while unit < 4 && rate >= 1000 && (rate.is_multiple_of(1000) || rate >= 1_000_000) {
            (rate, unit) = (rate / 1000, unit + 1);
        }
        let bytes = self.burst_bits.div_ceil(8);
        let (burst, size) = match bytes {
            1_048_576.. if bytes.is_multiple_of(1_048_576) => (bytes >> 20, "Mb"),
            1024.. if bytes.is_multiple_of(1024) => (bytes >> 10, "Kb"),
            _ => (bytes, "b"),
        };
        let unit = ["", "K", "M", "G", "T"][unit];
        format!(
            "qdisc tbf 1: dev {device} root refcnt 2 rate {rate}{unit}bit burst {burst}{size} lat 25ms \n"
        )
    }
}

/// A device without a queue.
pub fn no_queue(device: &str) -> String {
    ["qdisc noqueue 0: dev ", device, " root refcnt 2 \n"].concat()
}

impl Attachment {
    /// The device that leads what the pod sends through its bucket.
    pub fn shaping_device(&self) -> Text {
        let sum = sha256(self.namespace.as_bytes());
        arcstr::format!(
            "bwp{:02x}{:02x}{:02x}{:02x}{:02x}{:02x}",
            sum[0],
            sum[1],
            sum[2],
            sum[3],
            sum[4],
            sum[5]
        )
    }
    /// `tc qdisc show`'s lines of the node's end of the cable.
    pub fn show_queues(&self, text: &mut String) {
        let [into, out] = &self.limits;
        let device = &self.host_interface;
        match into.bits_per_second {
            0 => text.push_str(&no_queue(device)),
            _ => text.push_str(&into.show(device)),
        }
        if out.bits_per_second > 0 {
            text.push_str(
                &["qdisc ingress ffff: dev ", device, " parent ffff:fff1 ---------------- \n"].concat(),
            );
            text.push_str(&out.show(&self.shaping_device()));
        }
    }
}
