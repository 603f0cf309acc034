//! The cluster, run at the pace of the clock on the wall.
//!
//! Picture to hold in mind: gears. One wheel is the wall clock, the other the simulation's; between two teeth the
//! machine takes letters out of the box, and after each turn it throws out what has been answered.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration as WallDuration, Instant, SystemTime, UNIX_EPOCH};

use clusterarium::api::time;
use clusterarium::cluster::Cluster;
use clusterarium::command::{Command, Scenario};
use clusterarium::console::Console;
use clusterarium::message::http::{Part, Request};
use clusterarium::note::Note;
use clusterarium::sim::trace::What;
use clusterarium::sim::{Duration, History, RecordId, Time};
use tokio::sync::mpsc::Sender;

use super::signer::Signer;

/// What the listener asks of the simulation.
pub enum Order {
    Request { exchange: u64, request: Request, parts: Sender<Part> },
    HangUp { exchange: u64 },
    Stop,
}

/// A cluster that comes up is that much older than the clients' clock when it begins, and as old when it is up.
const HEAD_START: Duration = Duration::from_secs(120);
/// The box is looked into at least this often.
const LOOK: WallDuration = WallDuration::from_millis(20);
/// A machine that is too slow for its speed lets its clock fall behind by no more than this.
const LAG: WallDuration = WallDuration::from_millis(200);
/// Lines of the record that are kept: only the newest are read here.
const TRACE: usize = 65_536;
/// Commands that are kept.
const LOG: usize = 4096;

/// The gear between two clocks.
struct Gear {
    wall: Instant,
    simulated: Time,
    speed_per_mille: u64,
}

impl Gear {
    fn due(&self, now: Instant) -> Time {
        let wall_us = now.duration_since(self.wall).as_micros();
        let us = wall_us * u128::from(self.speed_per_mille) / 1000;
        self.simulated + Duration(u64::try_from(us).unwrap_or(u64::MAX))
    }
    /// How long until `time` is due.
    fn wait(&self, time: Time, now: Instant) -> WallDuration {
        let us = time.since(self.due(now)).as_micros().saturating_mul(1000) / self.speed_per_mille;
        WallDuration::from_micros(us)
    }
    fn set(&mut self, wall: Instant, simulated: Time) {
        (self.wall, self.simulated) = (wall, simulated);
    }
}

/// Runs until it is told to stop, or nobody can tell it any more.
pub fn run(
    seed: u64,
    scenario: Scenario,
    speed_per_mille: u64,
    inbox: &Receiver<Order>,
    mut signer: Option<Signer>,
) {
    let mut console = Console::boot_at(seed, scenario, instant_now(HEAD_START));
    if !console.settle(|_| ()) {
        eprintln!("clusterarium serve: the cluster did not come up; it is served as it is");
    }
    // What clients reckon by their own clock, ages above all, is then as it should be.
    let rest = instant_now(Duration::ZERO).since(console.now());
    console.pass(rest, &mut |_| ());
    let mut railway = Railway::new(console.history);
    let mut gear = Gear { wall: Instant::now(), simulated: railway.history.now(), speed_per_mille };
    loop {
        let next = railway.history.engine().next_time().unwrap_or(Time::MAX);
        let wait = gear.wait(next, Instant::now()).min(LOOK);
        let mut order = match inbox.recv_timeout(wait) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        while let Some(taken) = order {
            if !railway.take(taken) {
                return;
            }
            order = inbox.try_recv().ok();
        }
        let begun = Instant::now();
        let due = gear.due(begun);
        while railway.history.step(due).is_some() {
            if begun.elapsed() >= LOOK {
                break;
            }
        }
        railway.deliver();
        let signed = signer.as_mut().map(|signer| signer.look(&railway.history));
        for command in signed.into_iter().flatten() {
            railway.history.command(command);
        }
        let now = Instant::now();
        if railway.history.engine().next_time().is_some_and(|next| next <= due) {
            // Behind: the clock is set to where the machine is, unless it can still catch up.
            if gear.due(now).since(railway.history.now()).as_micros() * 1000
                > LAG.as_micros() as u64 * speed_per_mille
            {
                gear.set(now, railway.history.now());
            }
        } else {
            railway.history.run_until(due);
        }
    }
}

/// The wall clock as an instant of the simulation, less `less`.
pub(super) fn instant_now(less: Duration) -> Time {
    let unix_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let instant = i64::try_from(unix_us).ok().and_then(time::from_unix_us).unwrap_or(Time::ZERO);
    Time(instant.0.saturating_sub(less.0))
}

/// The running simulation, and who waits for what.
struct Railway {
    history: History<Cluster>,
    waiting: BTreeMap<u64, Sender<Part>>,
    /// The next line of the record to be looked at.
    next: u64,
}

impl Railway {
    fn new(mut history: History<Cluster>) -> Railway {
        history.trace.capacity = TRACE;
        history.forget();
        let next = history.trace.range().end;
        Railway { history, waiting: BTreeMap::new(), next }
    }

    /// Carries out an order; false when it is the last.
    fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Request { exchange, request, parts } => {
                self.waiting.insert(exchange, parts);
                self.history.command(Command::Http { exchange, request });
            }
            Order::HangUp { exchange } => {
                if self.waiting.remove(&exchange).is_some() {
                    self.history.command(Command::HangUp { exchange });
                }
            }
            Order::Stop => return false,
        }
        true
    }

    /// Hands out what has been answered since the last time.
    fn deliver(&mut self) {
        let mut gone = Vec::new();
        let end = self.history.trace.range().end;
        for id in self.next..end {
            let Some(record) = self.history.trace.get(RecordId(id)) else { continue };
            let What::Note { note: Note::Http { exchange, part }, .. } = &record.what else { continue };
            let Some(parts) = self.waiting.get(exchange) else { continue };
            // A client that does not read its watch loses it, as upstream's slow watchers do.
            let is_taken = parts.try_send(part.clone()).is_ok();
            let is_last = matches!(part, Part::Whole(_) | Part::End | Part::Broken);
            if is_last || !is_taken {
                self.waiting.remove(exchange);
            }
            if !is_taken && !is_last {
                gone.push(*exchange);
            }
        }
        self.next = end;
        for exchange in gone {
            self.history.command(Command::HangUp { exchange });
        }
        // Nobody goes back here: what has been is let go, so that a long run does not grow.
        if self.history.log().len() >= LOG {
            self.history.forget();
        }
    }
}
