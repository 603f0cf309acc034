//! What etcd costs: `cargo bench --bench etcd`. Figures for people, not for assertions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Instant;

use clusterarium::api::{Text, Value};
use clusterarium::command::{Command, Scenario};
use clusterarium::etcd::store::Store;
use clusterarium::etcd::{Member, Peer};
use clusterarium::language::{Context, Input, Wire};
use clusterarium::message::Message;
use clusterarium::message::etcd::{Change, Compare, Operation, Range, Request, Txn};
use clusterarium::message::raft::MemberId;
use clusterarium::object;
use clusterarium::sim::actor::ActorId;
use clusterarium::sim::{Control, Duration, Engine, HostId, Network, Time, Trace, World};

#[allow(dead_code, unused_imports)]
#[path = "../tests/etcd/faults.rs"]
mod faults;
#[path = "../tests/etcd/laws.rs"]
mod laws;
#[allow(dead_code)]
#[path = "../tests/etcd/world.rs"]
mod world;

/// Counts what is allocated.
struct Counting;
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);
// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}
#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PODS: usize = 1_000;
const WRITES_PER_POD: usize = 15;

fn key(pod: usize) -> Text {
    format!("/registry/pods/default/web-7c5ddbdf54-{pod:05}").into()
}
/// What the API server writes: if the key is as I know it, put.
fn update(key: &Text, revision: u64, value: &Value) -> Txn {
    Txn {
        compare: vec![Compare::ModRevision { key: key.clone(), revision }],
        success: vec![Change::Put { key: key.clone(), value: value.clone(), lease: 0 }],
        failure: vec![Change::Range(Range { key: key.clone(), ..Range::default() })],
    }
}
/// The processor's time where the system tells it, or the wall's: on a busy machine the latter says little.
struct Stopwatch(f64, Instant);

fn processor_nanos() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

impl Stopwatch {
    fn now() -> Stopwatch {
        Stopwatch(processor_nanos().unwrap_or_default(), Instant::now())
    }
    fn nanos(&self) -> f64 {
        processor_nanos().map_or(self.1.elapsed().as_nanos() as f64, |now| now - self.0)
    }
    fn millis(&self) -> f64 {
        self.nanos() / 1e6
    }
}
fn nanos(start: Stopwatch, count: usize) -> f64 {
    start.nanos() / count as f64
}

fn store(others: usize) {
    let mut store = Store::default();
    for number in 0..others {
        let key = format!("/registry/events/default/other-{number:06}").into();
        store.txn(&update(&key, 0, &Value::Null)).expect("possible");
    }
    let value = object! { "status" => "Running" };
    for checkpoints in [false, true] {
        let keys: Vec<Text> = (0..PODS).map(|pod| key(pod + usize::from(checkpoints) * PODS)).collect();
        let mut txns: Vec<Txn> = Vec::new();
        let mut revision = store.revision();
        for write in 0..WRITES_PER_POD {
            for key in &keys {
                let known = if write == 0 { 0 } else { revision + 1 - PODS as u64 };
                txns.push(update(key, known, &value));
                revision += 1;
            }
        }
        let mut kept = Vec::new();
        let (start, before) = (Stopwatch::now(), LIVE_BYTES.load(Ordering::Relaxed));
        for (number, txn) in txns.iter().enumerate() {
            let (succeeded, _) = store.txn(txn).expect("possible");
            assert!(succeeded);
            if checkpoints && number % 1_000 == 0 {
                kept.push(store.clone());
            }
        }
        let bytes = (LIVE_BYTES.load(Ordering::Relaxed) - before) / txns.len() as isize;
        println!(
            "store, {others} other keys, {} checkpoints: {:.0} ns an update, {bytes} bytes a revision",
            kept.len(),
            nanos(start, txns.len())
        );
    }
    let range =
        Range { key: "/registry/pods/".into(), range_end: "/registry/pods0".into(), ..Range::default() };
    let start = Stopwatch::now();
    let count = (0..100).map(|_| store.range(&range).expect("possible").pairs.len()).sum::<usize>();
    println!("store: {:.0} ns a key listed", nanos(start, count));
    let start = Stopwatch::now();
    store.compact(store.revision() - 100).expect("possible");
    println!("store: compaction of {} revisions {:.1} ms", store.revision(), start.millis());
}

/// Three members and one client that writes as soon as it is answered.
#[derive(Clone)]
struct Trio {
    members: Vec<Member>,
    written: u64,
    wanted: u64,
    value: Value,
}

impl Trio {
    fn write(&mut self, context: &mut Context) {
        let key = key(self.written as usize % PODS);
        let put = Change::Put { key, value: self.value.clone(), lease: 0 };
        let operation = Operation::Txn(Txn { success: vec![put], ..Txn::default() });
        let request = Request { id: self.written + 2, operation };
        context.send(ActorId(0), Message::EtcdRequest(Arc::new(request)));
    }
}

impl World for Trio {
    type Language = Wire;
    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        if let Some(member) = self.members.get_mut(actor.0 as usize) {
            member.handle(input, context);
        } else if let Input::Start = input {
            let operation = Operation::Watch {
                key: "/registry/".into(),
                range_end: "/registry0".into(),
                start_revision: 0,
                previous: true,
                progress: false,
            };
            context.send(ActorId(0), Message::EtcdRequest(Arc::new(Request { id: 1, operation })));
            self.write(context);
        } else if let Input::Message { message: Message::EtcdResponse(response), .. } = input
            && response.id > 1
        {
            response.result.as_ref().expect("written");
            self.written += 1;
            if self.written < self.wanted {
                self.write(context);
            }
        }
    }
    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        match command {
            Command::Boot(_) => {
                for number in 0..4 {
                    control.create(HostId(number));
                }
                (0..3).for_each(|number| control.start(ActorId(number)));
            }
            Command::StopProcess { process } => {
                let number: u32 = process.parse().expect("a number");
                control.stop(ActorId(number));
                self.members[number as usize].stopped();
            }
            _ => control.start(ActorId(3)),
        }
    }
}

fn trio(seed: u64, wanted: u64) -> (Engine<Trio>, Trace<Wire>) {
    let peer = |number: u32| Peer {
        id: MemberId(u64::from(number) + 1),
        name: format!("etcd-{number}").into(),
        peer_url: format!("https://10.0.0.{number}:2380").into(),
        client_url: format!("https://10.0.0.{number}:2379").into(),
        actor: ActorId(number),
    };
    let peers: Vec<Peer> = (0..3).map(peer).collect();
    let members = peers.iter().map(|me| Member::founding(me, &peers)).collect();
    let world = Trio { members, written: 0, wanted, value: object! { "status" => "Running" } };
    let mut engine = Engine::new(seed, world, Network::default());
    let mut trace = Trace::default();
    engine.command(&Command::Boot(Scenario::default()), &mut trace);
    engine.run_until(Time::from_secs(4), &mut trace);
    (engine, trace)
}

fn writes() {
    let wanted = (PODS * WRITES_PER_POD) as u64;
    let (mut engine, mut trace) = trio(1, wanted);
    engine.command(&Command::HealNetwork, &mut trace);
    let (start, began, events) = (Stopwatch::now(), engine.now(), engine.events());
    while engine.world.written < wanted {
        engine.step(&mut trace);
    }
    let simulated = engine.now().since(began);
    println!(
        "three members: {:.2} us a write ({:.1} events), {:.2} ms of simulated time; {:.0} ms for {wanted}",
        start.nanos() / wanted as f64 / 1000.0,
        (engine.events() - events) as f64 / wanted as f64,
        simulated.as_micros() as f64 / 1000.0 / wanted as f64,
        start.millis()
    );
    let start = Stopwatch::now();
    let copies: Vec<_> = (0..5_000).map(|_| engine.clone()).collect();
    println!("three members: {:.1} us a checkpoint", nanos(start, copies.len()) / 1000.0);
    drop(copies);
    let (start, events, until) =
        (Stopwatch::now(), engine.events(), engine.now() + Duration::from_secs(3600));
    engine.run_until(until, &mut trace);
    let events = engine.events() - events;
    println!("three members, idle for an hour: {events} events in {:.0} ms", start.millis());
}

fn elections() {
    let mut times = Vec::new();
    for seed in 0..200 {
        let (mut engine, mut trace) = trio(seed, 1);
        let leader = (0..3).find(|number| engine.world.members[*number].leads().is_some());
        let leader = leader.expect("a leader within four seconds");
        let began = engine.now();
        engine.command(&Command::StopProcess { process: leader.to_string() }, &mut trace);
        let committed = |engine: &Engine<Trio>| {
            engine.world.members.iter().any(|member| {
                member.leads().is_some_and(|term| {
                    member.entry(member.applied()).is_some_and(|entry| entry.term == term)
                })
            })
        };
        while !committed(&engine) {
            engine.step(&mut trace);
        }
        times.push(engine.now().since(began).as_millis());
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "from the leader's crash to the first commit of the next: {} ms at least, {} median, {} in 99 of 100, {} at most",
        at(0),
        at(50),
        at(99),
        at(100)
    );
    // A follower's timer rings 1 s to 2 s after it last heard the leader, which was up to 100 ms before the crash. The
    // first of two rings after 1.33 s in the mean; votes and the first entry take some milliseconds more.
    println!(
        "  etcd's timers (heartbeat 100 ms, timeout 1 s to 2 s) allow: 900 ms at least, 1290 in the mean, 2000 at most"
    );
}

/// How fast the swarm of `tests/etcd` goes: days of faults a second, laws included.
fn seeds() {
    let (start, count) = (Stopwatch::now(), 200);
    let answered: usize = (0..count).map(|seed| faults::play(seed, None).answered).sum();
    let a_second = count as f64 * 1e3 / start.millis();
    println!(
        "swarm: {a_second:.1} seeds a second, {:.0} an hour; {answered} requests answered",
        a_second * 3600.0
    );
}

fn main() {
    store(0);
    store(100_000);
    writes();
    elections();
    seeds();
}
