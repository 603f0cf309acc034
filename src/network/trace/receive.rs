//! The end of the way: somebody takes the packet, or nobody does.
//!
//! Picture to hold in mind: a front door with a name plate. The letter carrier rings; either somebody opens, or the
//! house itself says that nobody of that name lives there.

use super::Spot;
use super::follow::{End, Follower};
use super::report::{HopStage, HopVerdict};
use crate::network::packet::{ConnectionState, Packet, Protocol};

impl Follower<'_> {
    /// It is where it should be: does anybody take it?
    pub(super) fn receive(&mut self, spot: Spot, packet: &mut Packet) -> End {
        let at = packet.clone();
        let (node, pod) = match spot {
            Spot::Pod(node, pod) => (node, Some(pod)),
            Spot::Node(node) => (node, None),
            Spot::Outside => {
                let words = "It is back with the one outside who asked.";
                self.hop(
                    spot,
                    "",
                    HopStage::Receive,
                    "received",
                    words,
                    vec![],
                    &at,
                    &at,
                    HopVerdict::Delivered,
                );
                return End::Delivered { at: spot, program: String::new() };
            }
        };
        let world = self.world;
        let here = &world.nodes()[node];
        let pod = pod.map(|pod| (here.pods[pod].namespace, here.pods[pod].name));
        let interface = if matches!(spot, Spot::Pod(..)) { "eth0" } else { "" };
        let is_answer = packet.state == ConnectionState::Established;
        let program = match packet.protocol {
            _ if is_answer => Some(String::new()),
            Protocol::Icmp => Some("kernel".to_string()),
            protocol => world.listener(here.name, pod, protocol, packet.destination_port),
        };
        let whose = pod.map_or(here.name.to_string(), |(namespace, name)| format!("{namespace}/{name}"));
        let Some(program) = program else {
            let port = packet.destination_port;
            let words = format!("Nobody in {whose} listens on {} port {port}.", packet.protocol.upper_name());
            self.hop(
                spot,
                interface,
                HopStage::Receive,
                "refused",
                words,
                vec![],
                &at,
                &at,
                HopVerdict::Refused,
            );
            return End::NobodyListens { at: spot };
        };
        let words = match (is_answer, program.as_str()) {
            (true, _) => format!("{whose} has its answer."),
            (_, "kernel") => format!("{whose} answers the echo request."),
            (_, program) => format!("{program} in {whose} listens on the port, and takes it."),
        };
        self.hop(
            spot,
            interface,
            HopStage::Receive,
            "received",
            words,
            vec![],
            &at,
            &at,
            HopVerdict::Delivered,
        );
        End::Delivered { at: spot, program }
    }
}
