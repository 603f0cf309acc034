//! The user's load on a service: who sends it, and when it cannot be sent.
//!
//! Picture to hold in mind: the starter of a race, who finds the runner by the number on the shirt.

use std::sync::Arc;

use crate::kubelet::runtime::load::Load;
use crate::language::Wire;
use crate::message::node::{LoadOrder, read_url};
use crate::sim::{Control, Duration};

use super::{Cluster, Role};

/// A request of the user's load that is not answered in so many seconds has failed.
const TIMEOUT_SECONDS: u32 = 2;
pub const MOST_REQUESTS_PER_SECOND: u32 = 100;

/// `pod/NAMESPACE/NAME` or `node/NAME`: the pod, or the node.
type Source<'a> = Result<(&'a str, &'a str), &'a str>;

fn read_source(source: &str) -> Option<Source<'_>> {
    match source.split_once('/')? {
        ("pod", pod) => Some(Ok(pod.split_once('/')?)),
        ("node", node) => Some(Err(node)),
        _ => None,
    }
}

impl Cluster {
    /// With the names of the machines whose kernels send them.
    pub fn loads(&self) -> impl Iterator<Item = (&str, &Load)> {
        self.processes.iter().flat_map(|process| {
            let engine = match &*process.role {
                Role::Engine(engine) => Some(engine),
                _ => None,
            };
            let machine = &self.machines[process.host.0 as usize].name;
            engine.into_iter().flat_map(|engine| engine.loads()).map(move |load| (machine.as_str(), load))
        })
    }

    /// The place among the processes of the engine that keeps the source.
    fn engine_of(&self, source: Source) -> Option<usize> {
        self.processes.iter().position(|process| match (&*process.role, source) {
            (Role::Engine(engine), Ok((namespace, name))) => engine.sandboxes().any(|sandbox| {
                let config = &sandbox.config;
                config.namespace == namespace && config.name == name && sandbox.is_ready()
            }),
            (Role::Engine(engine), Err(node)) => engine.config().node == node,
            _ => false,
        })
    }

    /// Why there can be no such load; `None`: there can.
    pub(super) fn load_refusal(&self, source: &str, url: &str, per_second: u32) -> Option<String> {
        if per_second == 0 || per_second > MOST_REQUESTS_PER_SECOND {
            return Some(format!("between 1 and {MOST_REQUESTS_PER_SECOND} requests a second are possible"));
        }
        if read_url(url).is_none() {
            return Some(format!("{url:?} is no address: http://NAME:PORT/PATH"));
        }
        let engine = read_source(source).and_then(|source| self.engine_of(source));
        engine.is_none().then(|| format!("{source} is not there, or has no network yet"))
    }

    pub(super) fn start_load(
        &mut self,
        source: &str,
        url: &str,
        per_second: u32,
        control: &mut Control<Wire>,
    ) {
        let (Some(source), Some((host, port, path))) = (read_source(source), read_url(url)) else { return };
        let Some(place) = self.engine_of(source) else { return };
        let per_second = per_second.clamp(1, MOST_REQUESTS_PER_SECOND);
        let order = LoadOrder {
            host: host.into(),
            port,
            path,
            interval: Duration(1_000_000 / u64::from(per_second)),
            workers: per_second * TIMEOUT_SECONDS + 1,
            timeout_seconds: TIMEOUT_SECONDS,
            requests: 0,
            duration: Duration::ZERO,
        };
        let process = &mut self.processes[place];
        if let Role::Engine(engine) = Arc::make_mut(&mut process.role)
            && let Some(alarm) = engine.start_load(source.ok(), order, control.now())
        {
            control.wake(process.actor, alarm);
        }
    }

    pub(super) fn stop_load(&mut self, control: &mut Control<Wire>) {
        for process in &mut self.processes {
            if let Role::Engine(engine) = &*process.role
                && engine.loads().any(|load| load.is_running() && load.is_by_command())
                && let Role::Engine(engine) = Arc::make_mut(&mut process.role)
            {
                engine.stop_load(control.now());
            }
        }
    }
}
