//! CoreDNS of one node: watches Services, EndpointSlices and Namespaces, and answers what is asked on port 53.
//!
//! Picture to hold in mind: directory inquiries. The operator keeps a copy of the telephone book that is brought up to
//! date all day long, and reads numbers out of it; before the first copy has come he can only say that he does not know.
//! How he answers stands in a rule book (the Corefile), which he opens again now and then to see whether it has changed.
//!
//! As with [`crate::kube_proxy`], it lives in its containers: it begins with the first one that runs on the node, and
//! ends with the last. Of several on one node one copy of the telephone book serves all; each has its own rules.
//!
//! Follows CoreDNS' plugins kubernetes (`controller.go`: which objects are watched; SERVFAIL until they are there),
//! reload, loop, cache, loadbalance, log and errors, in their words.

use std::sync::Arc;

use crate::api::sha256::sha256;
use crate::api::{Text, Value, meta};
use crate::client::daemon::{Daemon, Event};
use crate::client::{Selection, Store};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::Resource;
use crate::network::corefile::{self, Cache, Corefile, Pods, is_in, normal};
use crate::network::dns::{self, Answer, Failure, Kind, Record, Zone};
use crate::network::proxy::services_of_slice;
use crate::sim::{ActorId, Duration, Time};
use crate::sorted::SortedMap;
use crate::timer::{ClientTimer, Timer};

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct CoreDns {
    daemon: Arc<Daemon>,
    /// By container.
    instances: SortedMap<Text, Arc<Instance>>,
    /// By which the question at hand is answered.
    rules: Arc<Corefile>,
}

/// One process.
#[derive(Clone)]
struct Instance {
    rules: Arc<Corefile>,
    /// The file as it was last looked at.
    text: Text,
    /// The file as it is now, where it has changed, and when that is seen.
    pending: Option<(Text, Time)>,
    cache: SortedMap<(Kind, Text), (Answer, Time)>,
}

/// Places of the informers.
const SERVICES: usize = 0;
const SLICES: usize = 1;
const NAMESPACES: usize = 2;
/// Only while somebody wants `pods verified`.
const PODS: usize = 3;

/// Until an answer is out: the magnitude of an idle machine.
const LATENCY: Duration = Duration(250);
/// Until a server that was asked is given up (`defaultTimeout` of forward is 5 s, reads have 2 s each).
const FORWARD_TIMEOUT: Duration = Duration::from_secs(4);
/// Answers that are kept (`cache`'s capacity is 9984 of each kind).
const CACHED: usize = 9984;

impl CoreDns {
    pub fn new(servers: Vec<ActorId>, engine: ActorId) -> CoreDns {
        let kinds = [("", "services"), ("discovery.k8s.io", "endpointslices"), ("", "namespaces")];
        let selections = Selection::all_of(&kinds);
        let mut daemon = Daemon::new(servers, engine, "coredns", selections);
        daemon.add_index(SLICES, "service", services_of_slice);
        CoreDns { daemon: Arc::new(daemon), instances: SortedMap::new(), rules: Arc::default() }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        let mut begun = None;
        match &input {
            Input::Start => self.instances.clear(),
            Input::Message { message: Message::Node(message), .. } => match &**message {
                NodeMessage::Exec { container, config, .. } => {
                    begun = Some((container.clone(), config.clone()))
                }
                NodeMessage::Exit { container } => drop(self.instances.remove(container)),
                _ => {}
            },
            Input::Timer(Timer::Client(ClientTimer::Retry)) => return self.look_again(context),
            _ => {}
        }
        let event = Arc::make_mut(&mut self.daemon).handle(input, context);
        if let Some((container, config)) = begun {
            self.file_is(container, config, context);
        }
        if let Event::Other(Input::Message { message: Message::Node(message), .. }) = event
            && let NodeMessage::Query { id, container, kind, name, client, server } = &*message
        {
            let (answer, after) = self.answer(container, (*kind, name), client, server, context);
            let records = NodeMessage::Records { id: *id, answer };
            context.send_after(after, self.daemon.engine(), Message::node(records));
        }
    }
    /// A container of it runs.
    pub fn is_running(&self) -> bool {
        self.daemon.is_running()
    }
    /// What it answers from; `None` until it has heard of the whole cluster.
    pub fn zone(&self) -> Option<&dyn Zone> {
        let zone: &dyn Zone = self;
        Some(zone).filter(|_| self.is_running() && self.daemon.informers().have_synced())
    }
    fn store(&self, informer: usize) -> &Store {
        self.daemon.informers().store(informer)
    }

    fn tell(&self, container: &Text, words: String, ports: Option<Vec<u16>>, context: &mut Context) {
        let say = NodeMessage::Say { container: container.clone(), words: words.into(), ports };
        context.send(self.daemon.engine(), Message::node(say));
    }

    /// The process of `container` has begun with this file, or the file has changed.
    fn file_is(&mut self, container: Text, text: Text, context: &mut Context) {
        let now = context.now();
        if let Some(instance) = self.instances.get_mut(&container) {
            let reload = instance.rules.servers.iter().find_map(|server| server.reload);
            if instance.text == text || instance.pending.as_ref().is_some_and(|(other, _)| *other == text) {
                return;
            }
            let Some((interval, jitter)) = reload else { return };
            let most = Duration::from_secs(interval + jitter / 2);
            let due = now + context.random().duration(Duration::from_millis(100), most);
            Arc::make_mut(instance).pending = Some((text, due));
            return context.timer(due.since(now), Timer::Client(ClientTimer::Retry));
        }
        match corefile::read(&text) {
            Err(error) => {
                let words = Text::from(error + "\n");
                let quit = NodeMessage::Quit { container, words };
                context.send(self.daemon.engine(), Message::node(quit));
            }
            Ok(rules) => {
                let mut words = String::new();
                for server in &rules.servers {
                    for zone in &server.zones {
                        words += &format!("{zone}:{}\n", server.port);
                    }
                }
                words += &running(&rules, &text);
                words += "CoreDNS-1.14.2\nlinux/amd64, go1.25.5, 1db4568\n";
                self.take_rules(&container, rules, text, words, context);
            }
        }
    }

    /// Goes by new rules.
    fn take_rules(
        &mut self,
        container: &Text,
        rules: Corefile,
        text: Text,
        words: String,
        context: &mut Context,
    ) {
        let mut ports: Vec<u16> = Vec::new();
        for server in &rules.servers {
            ports.push(server.port);
            ports.extend(&server.ports);
        }
        let is_loop = |target: &String| {
            target.parse().is_ok_and(|address: core::net::IpAddr| address.is_loopback())
                || self.store(SERVICES).values().any(|service| {
                    service.text("spec.clusterIP") == target && meta::name(service) == "kube-dns"
                })
        };
        let loops = rules.servers.iter().filter(|server| server.finds_loops).find(|server| {
            server.forward.iter().any(|forward| forward.from == "." && forward.to.iter().any(is_loop))
        });
        let rules_zone = loops.and_then(|server| server.zones.first().cloned());
        let wants_pods = rules
            .servers
            .iter()
            .any(|server| server.kubernetes.as_ref().is_some_and(|plugin| plugin.pods == Pods::Verified));
        if wants_pods {
            let pods = Selection::all(&Resource::new("", "v1", "pods"));
            Arc::make_mut(&mut self.daemon).follow(pods, context);
        }
        let rules = Arc::new(rules);
        self.rules = rules.clone();
        let instance = Instance { rules, text, pending: None, cache: SortedMap::new() };
        self.instances.insert(container.clone(), Arc::new(instance));
        self.tell(container, words, Some(ports), context);
        if let Some(zone) = rules_zone {
            let (port, first, second) =
                (context.random().between(32_768, 60_999), context.random().next(), context.random().next());
            let words = arcstr::format!(
                "[FATAL] plugin/loop: Loop (127.0.0.1:{port} -> :53) detected for zone \"{zone}\", see https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {first}.{second}.\"\n"
            );
            let quit = NodeMessage::Quit { container: container.clone(), words };
            context.send_after(Duration::from_millis(20), self.daemon.engine(), Message::node(quit));
        }
    }

    /// Looks whether the file has changed (`reload`).
    fn look_again(&mut self, context: &mut Context) {
        let now = context.now();
        let is_due = |instance: &Instance| instance.pending.as_ref().is_some_and(|(_, due)| *due <= now);
        let due: Vec<Text> =
            self.instances.iter().filter(|(_, one)| is_due(one)).map(|(id, _)| id.clone()).collect();
        for container in due {
            let Some(instance) = self.instances.get_mut(&container).map(Arc::make_mut) else { continue };
            let Some((text, _)) = instance.pending.take() else { continue };
            match corefile::read(&text) {
                // What cannot even be cut into words does not count as changed.
                Err(error) if error.ends_with("Unexpected EOF") => {
                    let words = format!("[WARNING] plugin/reload: Corefile parse failed: {error}\n");
                    self.tell(&container, words, None, context);
                }
                Err(error) => {
                    // The same mistake is made once only.
                    instance.text = text;
                    let error = format!("starting with listener file descriptors: {error}");
                    let words = format!(
                        "[INFO] Reloading\n[ERROR] Restart failed: {error}\n[ERROR] plugin/reload: Corefile changed but reload failed: {error}\n"
                    );
                    self.tell(&container, words, None, context);
                }
                Ok(rules) => {
                    let words =
                        format!("[INFO] Reloading\n{}[INFO] Reloading complete\n", running(&rules, &text));
                    self.take_rules(&container, rules, text, words, context);
                }
            }
        }
    }

    fn answer(
        &mut self,
        container: &Text,
        (kind, name): (Kind, &Text),
        client: &Text,
        me: &Text,
        context: &mut Context,
    ) -> (Answer, Duration) {
        let now = context.now();
        let Some(instance) = self.instances.get(container).cloned() else {
            return (Err(Failure::ServerFailure), LATENCY);
        };
        self.rules = instance.rules.clone();
        let name = Text::from(normal(name));
        let Some(server) = dns::server(&instance.rules, &name) else {
            return (Err(Failure::Refused), LATENCY);
        };
        let key = (kind, name.clone());
        let kept = instance.cache.get(&key).filter(|(_, until)| *until > now && server.cache.is_some());
        let mut trouble = None;
        let mut answer = match (kept, self.zone()) {
            (Some((Ok((_, records)), until)), _) => Ok((until.since(now).as_secs() as u32, records.clone())),
            (Some((failure, _)), _) => failure.clone(),
            (None, None) => Err(Failure::ServerFailure),
            (None, Some(zone)) => {
                let (answer, asked) = dns::answer(zone, kind, &name);
                trouble = asked;
                if let Some(seconds) = server.cache.as_ref().and_then(|cache| lifetime(cache, &answer, &name))
                    && let Some(instance) = self.instances.get_mut(container)
                {
                    let cache = &mut Arc::make_mut(instance).cache;
                    if cache.len() >= CACHED {
                        cache.retain(|_, (_, until)| *until > now);
                    }
                    cache.insert(key, (answer.clone(), now + Duration::from_secs(seconds.into())));
                }
                answer
            }
        };
        if server.shuffles
            && let Ok((_, records)) = &mut answer
        {
            shuffle(records, context);
        }
        let mut words = String::new();
        if server.logs {
            words += &log_line(kind, &name, &answer, client, context);
        }
        if let Some(target) = trouble.as_ref().filter(|_| server.tells_errors) {
            let port = context.random().between(32_768, 60_999);
            words += &format!(
                "[ERROR] plugin/errors: 2 {name} {}: read udp {me}:{port}->{target}:53: i/o timeout\n",
                kind.name()
            );
        }
        if !words.is_empty() {
            self.tell(container, words, None, context);
        }
        (answer, if trouble.is_some() { FORWARD_TIMEOUT } else { LATENCY })
    }
}

/// What is said of the rules that are gone by now. The sum is one, but not the one that the real program would print.
fn running(rules: &Corefile, text: &str) -> String {
    if rules.servers.iter().all(|server| server.reload.is_none()) {
        return String::new();
    }
    let mut words = String::from("[INFO] plugin/reload: Running configuration SHA512 = ");
    for half in [sha256(text.as_bytes()), sha256(words.as_bytes())] {
        half.iter().for_each(|byte| words += &format!("{byte:02x}"));
    }
    words.push('\n');
    words
}

/// Seconds for which an answer is kept; `None`: it is not.
fn lifetime(cache: &Cache, answer: &Answer, name: &str) -> Option<u32> {
    let is_within = |zones: &[String]| zones.iter().any(|zone| is_in(name, zone));
    let seconds = match answer {
        Ok((ttl, records)) if !records.is_empty() => {
            (*ttl).min(cache.success) * u32::from(!is_within(&cache.not_success))
        }
        Ok((ttl, _)) => (*ttl).min(cache.denial) * u32::from(!is_within(&cache.not_denial)),
        Err(Failure::NoSuchName) => 30.min(cache.denial) * u32::from(!is_within(&cache.not_denial)),
        Err(_) => 0,
    };
    Some(seconds).filter(|seconds| *seconds > 0)
}

/// Puts addresses into another order (`loadbalance`); aliases stay in front of them.
fn shuffle(records: &mut [Record], context: &mut Context) {
    let first = records.iter().take_while(|record| !matches!(record, Record::Address(_))).count();
    let addresses = &mut records[first..];
    for last in (1..addresses.len()).rev() {
        let other = context.random().below(last as u64 + 1) as usize;
        addresses.swap(last, other);
    }
}

/// `{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}`
fn log_line(kind: Kind, name: &str, answer: &Answer, client: &str, context: &mut Context) -> String {
    // Names in a message are as long as in a file, and a byte.
    let wire = |name: &str| if name == "." { 1 } else { name.len() + 1 };
    let question = 12 + wire(name) + 4;
    let mut size = question;
    let mut owner = wire(name);
    for record in answer.iter().flat_map(|(_, records)| records) {
        size += owner + 10;
        size += match record {
            Record::Address(address) => {
                if address.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            Record::Alias(target) => {
                owner = wire(target);
                owner
            }
            Record::Pointer(target) => wire(target),
            Record::Service { target, .. } => 6 + wire(target),
        };
    }
    if size == question && !matches!(answer, Err(Failure::ServerFailure | Failure::Refused)) {
        // The zone's SOA record.
        size += 93;
    }
    let code = answer.as_ref().err().map_or("NOERROR", |failure| failure.name());
    let flags = match answer {
        Err(Failure::ServerFailure | Failure::Refused) => "qr,rd,ra",
        _ => "qr,aa,rd",
    };
    let (id, microseconds) = (context.random().between(1, 65_535), context.random().between(60, 400));
    format!(
        "[INFO] {client} - {id} \"{} IN {name} udp {question} false 512\" {code} {flags} {size} 0.000{microseconds:03}217s\n",
        kind.name()
    )
}

impl Zone for CoreDns {
    fn corefile(&self) -> &Corefile {
        &self.rules
    }
    fn service(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.store(SERVICES).get_by_name(namespace, name)
    }
    fn slices(&self, namespace: &str, name: &str) -> Vec<&Value> {
        self.store(SLICES).by_index("service", &crate::client::store::key(namespace, name)).collect()
    }
    fn has_namespace(&self, name: &str) -> bool {
        self.store(NAMESPACES).values().any(|namespace| meta::name(namespace) == name)
    }
    fn services(&self) -> Vec<&Value> {
        self.store(SERVICES).values().collect()
    }
    fn all_slices(&self) -> Vec<&Value> {
        self.store(SLICES).values().collect()
    }
    fn has_pod(&self, namespace: &str, address: core::net::IpAddr) -> bool {
        let address = address.to_string();
        let is_it = |pod: &Value| {
            meta::namespace(pod) == namespace
                && pod.items("status.podIPs").iter().any(|ip| ip.text("ip") == address)
        };
        self.daemon.informers().iter().count() > PODS && self.store(PODS).values().any(is_it)
    }
}
