//! The API server alone with an etcd that answers at once, driven by scripts whose transcripts are compared.
//!
//! A script is a list of requests; below each stand the lines of its answer. `CLUSTERARIUM_UPDATE=1 cargo test`
//! writes the transcripts anew.

mod conformance;
pub(crate) mod etcd;
mod load;
mod script;
mod table;

use std::sync::Arc;

use crate::command::Command;
use crate::language::{Context, Input, Wire};
use crate::message::Message;
use crate::sim::{ActorId, Control, Duration, Engine, HostId, Network, Time, Trace, World};

use super::{ApiServer, Config};
use etcd::TinyEtcd;

const ETCD: ActorId = ActorId(0);
const SERVER: ActorId = ActorId(1);
const CLIENT: ActorId = ActorId(2);

#[derive(Clone)]
pub struct Rig {
    pub etcd: TinyEtcd,
    pub server: ApiServer,
    /// What the client has received, and has not looked at.
    pub inbox: Vec<Message>,
    outbox: Vec<Message>,
}

impl World for Rig {
    type Language = Wire;
    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        match actor {
            ETCD => self.etcd.handle(input, context),
            SERVER => self.server.handle(input, context),
            _ => {
                if let Input::Message { message, .. } = input {
                    self.inbox.push(message);
                }
            }
        }
    }
    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        match command {
            Command::Boot(_) => {
                for host in 0..3 {
                    let actor = control.create(HostId(host));
                    control.start(actor);
                }
            }
            Command::StartProcess { process } if process == "etcd" => control.start(ETCD),
            Command::StopProcess { process } if process == "etcd" => control.stop(ETCD),
            Command::StartProcess { .. } => control.start(SERVER),
            Command::CutLink { .. } => control.network().set_cut(HostId(0), HostId(1), true),
            Command::JoinLink { .. } => control.network().set_cut(HostId(0), HostId(1), false),
            _ => {
                for message in std::mem::take(&mut self.outbox) {
                    control.send(CLIENT, SERVER, message);
                }
            }
        }
    }
}

pub struct Bench {
    pub engine: Engine<Rig>,
    pub trace: Trace<Wire>,
}

impl Bench {
    /// A server that has made its own objects.
    pub fn new(configure: impl FnOnce(&mut Config)) -> Bench {
        let mut config = Config::new("cp-1", "192.168.56.10", vec![ETCD]);
        configure(&mut config);
        let rig = Rig {
            etcd: TinyEtcd::default(),
            server: ApiServer::new(config),
            inbox: Vec::new(),
            outbox: Vec::new(),
        };
        let mut bench = Bench { engine: Engine::new(1, rig, Network::default()), trace: Trace::default() };
        bench.command(&Command::Boot(Default::default()));
        bench.pass(Duration::from_millis(500));
        bench
    }
    pub fn command(&mut self, command: &Command) {
        self.engine.command(command, &mut self.trace);
    }
    pub fn pass(&mut self, time: Duration) {
        let until = self.engine.now() + time;
        self.engine.run_until(until, &mut self.trace);
    }
    pub fn send(&mut self, message: Message) {
        self.engine.world.outbox.push(message);
        self.command(&Command::HealNetwork);
    }
    /// Runs until `found` finds something in the inbox, for half a minute at most.
    pub fn find<T>(&mut self, found: impl Fn(&Message) -> Option<T>) -> Option<T> {
        let end = self.engine.now() + Duration::from_secs(30);
        loop {
            if let Some(position) =
                self.engine.world.inbox.iter().position(|message| found(message).is_some())
            {
                return found(&self.engine.world.inbox.remove(position));
            }
            match self.engine.next_time() {
                Some(time) if time <= end => self.engine.step(&mut self.trace),
                _ => return None,
            };
        }
    }
    pub fn ask(
        &mut self,
        request: crate::message::rest::Request,
    ) -> Option<Arc<crate::message::rest::Response>> {
        let id = request.id;
        self.send(Message::Request(Arc::new(request)));
        self.find(|message| match message {
            Message::Response(response) if response.id == id => Some(response.clone()),
            _ => None,
        })
    }
}

#[test]
fn a_server_makes_its_own_objects() {
    let bench = Bench::new(|_| {});
    let keys: Vec<&str> = bench.engine.world.etcd.keys.keys().map(|key| key.as_str()).collect();
    for key in [
        "/registry/namespaces/default",
        "/registry/namespaces/kube-system",
        "/registry/namespaces/kube-public",
        "/registry/namespaces/kube-node-lease",
        "/registry/priorityclasses/system-node-critical",
        "/registry/services/specs/default/kubernetes",
        "/registry/services/endpoints/default/kubernetes",
        "/registry/endpointslices/default/kubernetes",
        "/registry/ipaddresses/10.96.0.1",
        "/registry/servicecidrs/kubernetes",
    ] {
        assert!(keys.contains(&key), "{key} is not among {keys:#?}");
    }
    assert_eq!(bench.engine.world.server.revision(), bench.engine.world.etcd.revision);
    assert!(bench.engine.now() > Time::ZERO);
}
