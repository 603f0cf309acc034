//! The user's load on a service: who sends it, and when it cannot be sent.
//!
//! Picture to hold in mind: the starter of a race, who finds the runner by the number on the shirt.

use std::sync::Arc;

use crate::kubelet::runtime::load::Load;
use crate::language::Wire;
use crate::message::node::{LoadOrder, read_url};
use crate::network::trace::OUTSIDE;
use crate::sim::{Control, Duration};

use super::{Cluster, Role};

/// A request of the user's load that is not answered in so many seconds has failed.
const TIMEOUT_SECONDS: u32 = 2;
pub const MOST_REQUESTS_PER_SECOND: u32 = 100;
/// Of a load that keeps them: as many as a client in Go opens to one host under such a load, more or less.
const KEPT_CONNECTIONS: u32 = 10;

/// `pod/NAMESPACE/NAME`, `node/NAME` or `outside`: the pod, or the machine.
type Source<'a> = Result<(&'a str, &'a str), &'a str>;

fn read_source(source: &str) -> Option<Source<'_>> {
    match source.split_once('/') {
        Some(("pod", pod)) => Some(Ok(pod.split_once('/')?)),
        Some(("node", node)) => Some(Err(node)),
        None if source == "outside" => Some(Err(OUTSIDE)),
        _ => None,
    }
}

impl Cluster {
    /// With the names of the machines whose kernels send them.
    pub fn loads(&self) -> impl Iterator<Item = (&str, &Load)> {
        self.processes.iter().flat_map(|process| {
            let machine = &self.machines[process.host.0 as usize].name;
            process
                .role
                .engine()
                .into_iter()
                .flat_map(|engine| engine.loads())
                .map(move |load| (machine.as_str(), load))
        })
    }

    /// The place among the processes of the engine that keeps the source.
    fn engine_of(&self, source: Source) -> Option<usize> {
        self.processes.iter().position(|process| match (process.role.engine(), source) {
            (Some(engine), Ok((namespace, name))) => engine.sandboxes().any(|sandbox| {
                let config = &sandbox.config;
                config.namespace == namespace && config.name == name && sandbox.is_ready()
            }),
            (Some(engine), Err(node)) => engine.config().node == node,
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
        let source_read = read_source(source);
        let engine = source_read.and_then(|source| self.engine_of(source));
        (engine.is_none() && source_read != Some(Err(OUTSIDE)))
            .then(|| format!("{source} is not there, or has no network yet"))
    }

    pub(super) fn start_load(
        &mut self,
        source: &str,
        url: &str,
        host_header: &str,
        (per_second, keeps_connections): (u32, bool),
        control: &mut Control<Wire>,
    ) {
        let (Some(source), Some((host, port, path))) = (read_source(source), read_url(url)) else { return };
        if source == Err(OUTSIDE) && self.engine_of(source).is_none() {
            self.set_up_outside(control);
        }
        let Some(place) = self.engine_of(source) else { return };
        let per_second = per_second.clamp(1, MOST_REQUESTS_PER_SECOND);
        let order = LoadOrder {
            host: host.into(),
            port,
            path,
            host_header: host_header.into(),
            interval: Duration(1_000_000 / u64::from(per_second)),
            workers: per_second * TIMEOUT_SECONDS + 1,
            timeout_seconds: TIMEOUT_SECONDS,
            requests: 0,
            duration: Duration::ZERO,
            connections: if keeps_connections { KEPT_CONNECTIONS } else { 0 },
        };
        let process = &mut self.processes[place];
        if let Role::Engine(engine) | Role::Outside(engine) = Arc::make_mut(&mut process.role)
            && let Some(alarm) = engine.start_load(source.ok(), order, control.now())
        {
            control.wake(process.actor, alarm);
        }
    }

    pub(super) fn stop_load(&mut self, control: &mut Control<Wire>) {
        for process in &mut self.processes {
            if let Some(engine) = process.role.engine()
                && engine.loads().any(|load| load.is_running() && load.is_by_command())
                && let Role::Engine(engine) | Role::Outside(engine) = Arc::make_mut(&mut process.role)
            {
                engine.stop_load(control.now());
            }
        }
    }
}
