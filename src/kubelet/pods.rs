//! Where pods come from: the API server, and files in the manifest directory.
//!
//! Picture to hold in mind: two letter boxes. What comes through the first was written at the office; what lies
//! in the second was always here, and a copy of it (the mirror pod) is sent to the office, so that it can see
//! what runs.
//!
//! Follows `pkg/kubelet/kubelet.go` (`HandlePodAdditions` ...), `config/file.go`, `config/common.go`,
//! `pod/mirror_client.go`.

use std::sync::Arc;

use crate::api::{Text, Value, defaults, meta, time};
use crate::array;
use crate::client::informer::{Delta, DeltaType};
use crate::client::{Answer, request};
use crate::language::Context;
use crate::message::cri::Call;
use crate::object;
use crate::sim::Duration;
use crate::timer::{KubeletTimer, Timer};

use super::admission::{Refusal, admit};
use super::resources::Totals;
use super::status::generate::rejected;
use super::status::phase::is_terminal;
use super::steps::is_to_go;
use super::worker::{Stage, Wait, Worker};
use super::{CallPurpose, NODES, PODS, Purpose, State, resource, with_kind};

const MIRROR: &str = "kubernetes.io/config.mirror";
const SOURCE: &str = "kubernetes.io/config.source";
const HASH: &str = "kubernetes.io/config.hash";
const SEEN: &str = "kubernetes.io/config.seen";

/// 32 hexadecimal digits out of texts: FNV-1a, two lanes.
pub fn hash_hex(parts: &[&str]) -> String {
    let lane = |salt: u64| {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ salt;
        for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        (hash ^ (hash >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    format!("{:016x}{:016x}", lane(1), lane(0x9e37_79b9_7f4a_7c15))
}

/// The pod that a manifest file stands for on a node.
pub fn static_pod(file: &str, manifest: &Value, node_name: &str, seen: &Text) -> Value {
    let path = format!("/etc/kubernetes/manifests/{file}");
    let uid = hash_hex(&[&manifest.to_string(), node_name, &path]);
    let mut pod = manifest.clone();
    let name = format!("{}-{}", meta::name(&pod), node_name.to_ascii_lowercase());
    pod.set("metadata.name", name);
    pod.set_default("metadata.namespace", "default");
    pod.set("metadata.uid", &*uid);
    pod.set("spec.nodeName", node_name);
    meta::set_annotation(&mut pod, HASH, &*uid);
    meta::set_annotation(&mut pod, SEEN, seen);
    meta::set_annotation(&mut pod, SOURCE, "file");
    let toleration = object! { "effect" => "NoExecute", "operator" => "Exists" };
    if !pod.items("spec.tolerations").contains(&toleration) {
        pod.at_mut("spec.tolerations").make_array().push(toleration);
    }
    pod.set("status", object! { "phase" => "Pending" });
    defaults::apply("", "v1", "Pod", &mut pod);
    pod
}

impl State {
    /// An informer has seen its first list.
    pub(super) fn informer_synced(&mut self, index: usize, context: &mut Context) {
        if index == PODS {
            self.take_in_pods(context);
        }
    }

    /// Begins with the API server's pods, once both are known: which there should be, and which there are. A
    /// kubelet that began with one of them alone would start pods twice, or end those that it has not heard of.
    pub(super) fn take_in_pods(&mut self, context: &mut Context) {
        let have_synced = self.informers.iter().nth(PODS).is_some_and(|(informer, _)| informer.synced);
        if !have_synced || !self.node.is_runtime_known || self.node.has_pods {
            return;
        }
        self.node.has_pods = true;
        let pods: Vec<Value> = self.informers.store(PODS).values().cloned().collect();
        for object in pods {
            self.pod_changed(&Delta { informer: PODS, kind: DeltaType::Added, object, old: None }, context);
        }
        self.end_orphans(context);
    }

    /// Looks through the manifest directory: static pods need no API server. A file that has changed is another
    /// pod, with another UID.
    pub(super) fn read_manifests(&mut self, context: &mut Context) {
        let seen = time::micro_time(context.now());
        let config = self.config.clone();
        let mut wanted: Vec<Value> = config
            .manifests
            .iter()
            .map(|(file, manifest)| static_pod(file, manifest, &config.node_name, &seen))
            .collect();
        let is_wanted = |uid: &str| wanted.iter().any(|pod| meta::uid(pod) == uid);
        let gone: Vec<Text> = self
            .workers
            .iter()
            .filter(|(uid, worker)| worker.is_static && !is_wanted(uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            if let Some(mirror) = self.worker(&uid).and_then(|worker| worker.mirror.take()) {
                self.delete_mirror(&mirror, context);
            }
            self.remove_pod(&uid, context);
        }
        wanted.retain(|pod| !self.workers.contains_key(meta::uid(pod)));
        for pod in wanted {
            // The changed pod of a file waits until the former one has ended: both have one name.
            let (namespace, name) = (meta::namespace(&pod), meta::name(&pod));
            if self
                .workers
                .values()
                .any(|worker| worker.is_static && worker.name() == name && worker.namespace() == namespace)
            {
                context.timer(Duration::from_secs(1), Timer::Kubelet(KubeletTimer::Manifests));
                continue;
            }
            self.add_pod(&pod, true, context);
        }
    }

    /// The API server's pods of this node have changed.
    pub(super) fn pod_changed(&mut self, delta: &Delta, context: &mut Context) {
        let pod = &delta.object;
        if !self.node.has_pods {
            return;
        }
        if meta::annotation(pod, MIRROR).is_some() {
            self.mirror_changed(delta, context);
            return;
        }
        let uid = pod.shared_text("metadata.uid");
        match delta.kind {
            DeltaType::Deleted => self.remove_pod(&uid, context),
            _ if self.workers.contains_key(&uid) => self.update_pod(&uid, pod, context),
            _ => {
                // Deleted and made anew under the same name between two looks.
                if let Some(old) = &delta.old
                    && meta::uid(old) != meta::uid(pod)
                {
                    self.remove_pod(&old.shared_text("metadata.uid"), context);
                }
                self.add_pod(pod, false, context);
            }
        }
    }

    fn add_pod(&mut self, pod: &Value, is_static: bool, context: &mut Context) {
        let uid = pod.shared_text("metadata.uid");
        let mut worker = Worker::new(with_kind(pod, "Pod"), is_static, context.now());
        // What the runtime had when the kubelet started.
        for sandbox in &self.node.runtime_pods {
            if sandbox.config.uid == uid {
                worker.observe(&sandbox.id, Some(sandbox));
            }
        }
        self.node.runtime_pods.retain(|sandbox| sandbox.config.uid != uid);
        if is_static {
            let key = arcstr::format!("{}/{}", meta::namespace(pod), meta::name(pod));
            worker.mirror = self.informers.store(PODS).get(&key).cloned();
        }
        let is_new = worker.sandboxes.is_empty() && !is_terminal(pod.text("status.phase")) && !is_to_go(pod);
        let refusal = if is_new { self.refusal(pod, is_static, context) } else { None };
        if is_to_go(pod) || is_terminal(pod.text("status.phase")) {
            worker.stage = Stage::Terminating;
        }
        if is_new {
            self.forget_objects(pod);
        }
        self.workers.insert(uid.clone(), Arc::new(worker));
        match refusal {
            Some(refusal) => self.reject(&uid, &refusal, context),
            None => self.sync(&uid, context),
        }
    }

    fn refusal(&self, pod: &Value, is_static: bool, context: &mut Context) -> Option<Refusal> {
        let stored = self.informers.store(NODES).get(&self.config.node_name).cloned();
        let node = stored.unwrap_or_else(|| self.initial_node(context));
        let others = self
            .workers
            .values()
            .filter(|worker| !worker.is_rejected && worker.stage < Stage::Terminated)
            .map(|worker| &worker.totals.taken);
        admit(pod, &node, others, is_static)
    }

    fn reject(&mut self, uid: &Text, refusal: &Refusal, context: &mut Context) {
        self.event(uid, None, "Warning", &refusal.reason, refusal.message.clone(), context);
        let Some(worker) = self.worker(uid) else { return };
        worker.is_rejected = true;
        worker.stage = Stage::Finished;
        worker.status.is_finished = true;
        let status = rejected(&worker.pod, &refusal.reason, &refusal.message);
        self.set_status(uid, status, false, context);
    }

    fn update_pod(&mut self, uid: &Text, pod: &Value, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        let old = std::mem::replace(&mut worker.pod, with_kind(pod, "Pod"));
        if !old.at("spec").is_same(pod.at("spec")) {
            worker.totals = Totals::of(pod);
        }
        if old.at("status") != pod.at("status")
            && worker.status.written_revision != pod.text("metadata.resourceVersion")
        {
            worker.status.is_suspect = true;
        }
        let is_same = old.at("spec") == pod.at("spec")
            && old.at("metadata.labels") == pod.at("metadata.labels")
            && old.at("metadata.annotations") == pod.at("metadata.annotations")
            && old.at("metadata.deletionTimestamp") == pod.at("metadata.deletionTimestamp")
            && old.at("metadata.deletionGracePeriodSeconds") == pod.at("metadata.deletionGracePeriodSeconds");
        if is_same {
            // Only the status: the kubelet's own words come back. A condition of others may open a gate.
            let gates = pod.items("spec.readinessGates");
            let condition =
                |pod: &Value, gate: &Value| meta::condition(pod, gate.text("conditionType")).cloned();
            if gates.iter().any(|gate| condition(&old, gate) != condition(pod, gate)) {
                self.sync(uid, context);
            }
            return;
        }
        let is_finished = worker.stage == Stage::Finished;
        if is_to_go(pod) && !is_to_go(&old) {
            self.terminate(uid, context);
            if is_finished {
                // It ended before anybody asked: only its file is still open.
                self.terminate_status(uid, context);
            }
            return;
        }
        self.sync(uid, context);
    }

    /// The pod is to go.
    fn terminate(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        if worker.stage != Stage::Syncing {
            return;
        }
        match &worker.work {
            None => {
                worker.stage = Stage::Terminating;
                self.sync(uid, context);
            }
            // Waiting for volumes or for a turn is broken off; what has begun is brought to its end.
            Some(work) if matches!(work.wait, Wait::Volumes | Wait::Turn | Wait::Objects) => {
                self.forget_pull(uid, context);
                if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
                    work.steps.clear();
                    work.present = None;
                    work.wait = Wait::Nothing;
                }
                self.finish(uid, context);
            }
            Some(_) => worker.is_pending = true,
        }
    }

    /// The API server (or the directory) has it no more.
    fn remove_pod(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        worker.is_gone = true;
        worker.status.is_closed = true;
        if worker.stage == Stage::Finished && worker.work.is_none() {
            self.worker_ended(uid, context);
        } else {
            self.terminate(uid, context);
        }
    }

    /// A worker has nothing left to do.
    pub(super) fn worker_ended(&mut self, uid: &Text, context: &mut Context) {
        if !self.workers.get(uid).is_some_and(|worker| worker.is_gone) {
            return;
        }
        self.forget_pull(uid, context);
        let Some(worker) = self.workers.remove(uid) else { return };
        for sandbox in &worker.sandboxes {
            let call = Call::RemovePodSandbox { sandbox: sandbox.id.clone() };
            self.call(call, CallPurpose::Ignored, context);
        }
    }

    /// Sandboxes whose pods went while the kubelet was away are taken down.
    fn end_orphans(&mut self, context: &mut Context) {
        for sandbox in std::mem::take(&mut self.node.runtime_pods) {
            let calls = [
                Call::StopPodSandbox { sandbox: sandbox.id.clone() },
                Call::RemovePodSandbox { sandbox: sandbox.id },
            ];
            for call in calls {
                self.call(call, CallPurpose::Ignored, context);
            }
        }
    }

    fn static_uid_of(&self, mirror: &Value) -> Option<Text> {
        let is_it = |worker: &Worker| {
            worker.is_static
                && worker.name() == meta::name(mirror)
                && worker.namespace() == meta::namespace(mirror)
        };
        self.workers.iter().find(|(_, worker)| is_it(worker)).map(|(uid, _)| uid.clone())
    }

    fn mirror_changed(&mut self, delta: &Delta, context: &mut Context) {
        let Some(uid) = self.static_uid_of(&delta.object) else {
            // The image of a static pod that is not here any more.
            if delta.kind != DeltaType::Deleted {
                self.delete_mirror(&delta.object, context);
            }
            return;
        };
        let Some(worker) = self.worker(&uid) else { return };
        let was_absent = worker.mirror.is_none();
        worker.mirror = if delta.kind == DeltaType::Deleted { None } else { Some(delta.object.clone()) };
        worker.status.is_suspect = true;
        if worker.mirror.is_none() {
            worker.is_creating_mirror = false;
        }
        self.reconcile_mirror(&uid, context);
        if was_absent && self.workers.get(&uid).is_some_and(|worker| worker.mirror.is_some()) {
            self.queue_status(&uid, context);
        }
    }

    fn delete_mirror(&mut self, mirror: &Value, context: &mut Context) {
        let mut delete = request::delete(&resource("pods"), meta::namespace(mirror), meta::name(mirror));
        delete.body = object! {
            "apiVersion" => "v1", "kind" => "DeleteOptions", "gracePeriodSeconds" => 0,
            "preconditions" => object! { "uid" => mirror.at("metadata.uid") },
        };
        delete.options.grace_period_seconds = Some(0);
        delete.options.precondition_uid = mirror.shared_text("metadata.uid");
        self.send(delete, Purpose::Ignored, context);
    }

    /// Sees to it that the office has an image of a static pod, and the right one.
    pub(super) fn reconcile_mirror(&mut self, uid: &Text, context: &mut Context) {
        let Some(node) = self.informers.store(NODES).get(&self.config.node_name).cloned() else { return };
        let Some(worker) = self.worker(uid) else { return };
        if !worker.is_static || worker.is_creating_mirror || worker.stage != Stage::Syncing {
            return;
        }
        let hash = meta::annotation(&worker.pod, HASH).unwrap_or("").to_string();
        if let Some(mirror) = worker.mirror.clone() {
            let is_right = meta::annotation(&mirror, MIRROR) == Some(hash.as_str());
            if is_to_go(&mirror) || !is_right {
                self.delete_mirror(&mirror, context);
            }
            return;
        }
        worker.is_creating_mirror = true;
        let mut copy = worker.pod.clone();
        copy.remove("metadata.uid");
        copy.remove("status");
        meta::set_annotation(&mut copy, MIRROR, &*hash);
        let owner = object! {
            "apiVersion" => "v1", "kind" => "Node", "name" => &self.config.node_name,
            "uid" => node.at("metadata.uid"), "controller" => true,
        };
        copy.set("metadata.ownerReferences", array![owner]);
        let namespace = meta::namespace(&copy).to_string();
        self.send(
            request::create(&resource("pods"), &namespace, copy),
            Purpose::MirrorCreate { uid: uid.clone() },
            context,
        );
    }

    pub(super) fn mirror_created(&mut self, uid: &Text, answer: Answer, context: &mut Context) {
        let result = answer.into_result();
        let Some(worker) = self.worker(uid) else { return };
        worker.is_creating_mirror = false;
        match result {
            Ok(mirror) => {
                worker.mirror.get_or_insert(mirror);
                self.queue_status(uid, context);
            }
            // Tried again with the next sync of the pod.
            Err(_) => {
                if worker.work.is_none() {
                    worker.wake += 1;
                    let timer = KubeletTimer::Worker { uid: uid.clone(), wake: worker.wake };
                    context.timer(Duration::from_secs(2), Timer::Kubelet(timer));
                }
            }
        }
    }
}
