//! Volumes: what must be on the node's disk before a container may start.
//!
//! Picture to hold in mind: a quartermaster who reads each pod's list, fetches what must be fetched (ConfigMaps,
//! Secrets, tokens), lays it out, and comes back later for what could not be had, a little later each time.
//!
//! Follows `pkg/kubelet/volumemanager` (populator and reconciler every 100 ms, back-off from 500 ms to 2 m 2 s)
//! and the plugins `configmap`, `secret`, `projected`, `downwardapi`. Objects are read as with
//! `configMapAndSecretChangeDetectionStrategy: Cache`: once, and again when a minute has passed.

use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::client::{Answer, request};
use crate::language::Context;
use crate::message::cri::Call;
use crate::object;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;
use crate::timer::{KubeletTimer, Timer};

use super::environment::{self, data};
use super::worker::Wait;
use super::{CallPurpose, Purpose, State, resource};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    ConfigMap,
    Secret,
}

impl ObjectKind {
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "ConfigMap",
            ObjectKind::Secret => "Secret",
        }
    }
    fn plural(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "configmaps",
            ObjectKind::Secret => "secrets",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: ObjectKind,
    pub namespace: Text,
    pub name: Text,
}

/// A ConfigMap or Secret as it was last read.
#[derive(Clone, Debug, Default)]
pub struct CachedObject {
    /// The object, or the Status of the refusal; `None`: not read yet.
    pub result: Option<Result<Value, Value>>,
    pub read_at: Time,
    is_reading: bool,
}

/// The volumes of one pod.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    /// Somebody waits for them.
    is_wanted: bool,
    is_mounted: bool,
    /// Tokens, by volume: `None` while they are asked for.
    tokens: SortedMap<Text, Option<Text>>,
    failures: SortedMap<Text, u32>,
    retry_at: Option<Time>,
    /// Revisions of what is laid out, to see when it is old.
    revisions: SortedMap<ObjectKey, Text>,
}

impl Volumes {
    pub fn are_mounted(&self) -> bool {
        self.is_mounted
    }
}

/// `ttl` of the cache.
const TTL: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(122);

/// The cluster's own certificate does not change.
const UNCHANGING: &str = "kube-root-ca.crt";

/// ConfigMaps and Secrets that a pod's volumes name.
fn volume_objects(pod: &Value) -> Vec<ObjectKey> {
    let namespace = pod.shared_text("metadata.namespace");
    let mut keys = Vec::new();
    let mut add =
        |kind: ObjectKind, name: Text| keys.push(ObjectKey { kind, namespace: namespace.clone(), name });
    for volume in pod.items("spec.volumes") {
        if volume.has("configMap") {
            add(ObjectKind::ConfigMap, volume.shared_text("configMap.name"));
        } else if volume.has("secret") {
            add(ObjectKind::Secret, volume.shared_text("secret.secretName"));
        }
        for source in volume.items("projected.sources") {
            if source.has("configMap") {
                add(ObjectKind::ConfigMap, source.shared_text("configMap.name"));
            } else if source.has("secret") {
                add(ObjectKind::Secret, source.shared_text("secret.name"));
            }
        }
    }
    keys
}

/// Why a volume cannot be laid out yet.
enum Setback {
    /// Something has been asked for.
    Waiting,
    Failed(String),
}

impl State {
    /// Sees to a pod's volumes. True: they are mounted.
    pub(super) fn begin_volumes(&mut self, uid: &Text, context: &mut Context) -> bool {
        let is_hollow = self.config.hollow;
        let Some(worker) = self.worker(uid) else { return true };
        if worker.volumes.is_mounted || worker.pod.items("spec.volumes").is_empty() {
            worker.volumes.is_mounted = true;
            if !is_hollow && !worker.volumes.revisions.is_empty() {
                self.refresh_objects(uid, context);
            }
            return true;
        }
        if !worker.volumes.is_wanted {
            worker.volumes.is_wanted = true;
            // The populator and the reconciler come by every 100 ms each.
            let after = context.random().duration(Duration::from_millis(110), Duration::from_millis(240));
            context.timer(after, Timer::Kubelet(KubeletTimer::Volumes { uid: uid.clone() }));
        }
        false
    }

    /// The reconciler comes by: lays out what it can.
    pub(super) fn mount_volumes(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let Some(worker) = self.workers.get(uid) else { return };
        let is_early = worker.volumes.retry_at.is_some_and(|at| now < at);
        if worker.volumes.is_mounted || worker.is_terminating() || is_early {
            return;
        }
        let pod = worker.pod.clone();
        let (mut is_waiting, mut failures, mut laid_out) = (false, Vec::new(), Vec::new());
        for volume in pod.items("spec.volumes") {
            match self.contents(uid, volume, context) {
                Ok(Some(files)) => laid_out.push((volume.shared_text("name"), files)),
                Ok(None) => {}
                Err(Setback::Waiting) => is_waiting = true,
                Err(Setback::Failed(error)) => failures.push((volume.shared_text("name"), error)),
            }
        }
        if !failures.is_empty() {
            let mut attempts = 0;
            for (volume, error) in &failures {
                let words = arcstr::format!("MountVolume.SetUp failed for volume \"{volume}\" : {error}");
                self.event(uid, None, "Warning", "FailedMount", words, context);
                if let Some(worker) = self.worker(uid) {
                    let count = worker.volumes.failures.entry(volume.clone()).or_default();
                    *count += 1;
                    attempts = attempts.max(*count);
                }
            }
            let after = Duration(FIRST_RETRY.0 << (attempts - 1).min(10)).min(LONGEST_RETRY);
            // What was not there is looked for again.
            self.objects.retain(|_, cached| !matches!(cached.result, Some(Err(_))));
            if let Some(worker) = self.worker(uid) {
                worker.volumes.retry_at = Some(now + after);
            }
            context.timer(after, Timer::Kubelet(KubeletTimer::Volumes { uid: uid.clone() }));
            return;
        }
        if is_waiting {
            return;
        }
        for (volume, files) in laid_out {
            let call = Call::WriteVolume { pod_uid: uid.clone(), volume, files: Arc::new(files) };
            if !self.config.hollow {
                self.call(call, CallPurpose::Ignored, context);
            }
        }
        let revisions = self.revisions(&pod);
        if let Some(worker) = self.worker(uid) {
            worker.volumes.is_mounted = true;
            worker.volumes.retry_at = None;
            worker.volumes.revisions = revisions;
        }
    }

    /// What a volume holds; `None`: nothing that the kubelet writes.
    fn contents(
        &mut self,
        uid: &Text,
        volume: &Value,
        context: &mut Context,
    ) -> Result<Option<Vec<(Text, Text)>>, Setback> {
        let name = volume.shared_text("name");
        if volume.has("configMap") {
            let source = volume.at("configMap");
            return self.files_of(uid, ObjectKind::ConfigMap, source, source.text("name"), context).map(Some);
        }
        if volume.has("secret") {
            let source = volume.at("secret");
            return self
                .files_of(uid, ObjectKind::Secret, source, source.text("secretName"), context)
                .map(Some);
        }
        if volume.has("downwardAPI") {
            return Ok(Some(self.downward(uid, volume.items("downwardAPI.items"))));
        }
        if !volume.has("projected") {
            return Ok(None);
        }
        let mut files = Vec::new();
        // All that must be fetched is asked for at once.
        let mut setback = None;
        for source in volume.items("projected.sources") {
            let part = if source.has("configMap") {
                let part = source.at("configMap");
                self.files_of(uid, ObjectKind::ConfigMap, part, part.text("name"), context)
            } else if source.has("secret") {
                let part = source.at("secret");
                self.files_of(uid, ObjectKind::Secret, part, part.text("name"), context)
            } else if source.has("downwardAPI") {
                Ok(self.downward(uid, source.items("downwardAPI.items")))
            } else if source.has("serviceAccountToken") {
                self.token(uid, &name, source.at("serviceAccountToken"), context)
            } else {
                Ok(Vec::new())
            };
            match part {
                Ok(part) => files.extend(part),
                Err(Setback::Waiting) if setback.is_none() => setback = Some(Setback::Waiting),
                Err(Setback::Waiting) => {}
                Err(failed) => setback = Some(failed),
            }
        }
        match setback {
            Some(setback) => Err(setback),
            None => Ok(Some(files)),
        }
    }

    /// The files that a ConfigMap or Secret becomes.
    fn files_of(
        &mut self,
        uid: &str,
        kind: ObjectKind,
        source: &Value,
        name: &str,
        context: &mut Context,
    ) -> Result<Vec<(Text, Text)>, Setback> {
        let Some(worker) = self.workers.get(uid) else { return Err(Setback::Waiting) };
        let key = ObjectKey { kind, namespace: worker.namespace().into(), name: name.into() };
        let object = match self.object(&key, context) {
            None => return Err(Setback::Waiting),
            Some(Ok(object)) => object,
            Some(Err(status)) => {
                let is_absent = status.text("reason") == "NotFound";
                if is_absent && source.is_true("optional") {
                    return Ok(Vec::new());
                }
                return Err(Setback::Failed(status.text("message").to_string()));
            }
        };
        let all = data(kind, &object);
        if source.items("items").is_empty() {
            return Ok(all);
        }
        let mut files = Vec::new();
        for item in source.items("items") {
            let key = item.text("key");
            match all.iter().find(|(k, _)| k == key) {
                Some((_, value)) => files.push((item.shared_text("path"), value.clone())),
                None if source.is_true("optional") => {}
                None => {
                    return Err(Setback::Failed(match kind {
                        ObjectKind::ConfigMap => {
                            format!("configmap references non-existent config key: {key}")
                        }
                        ObjectKind::Secret => format!("references non-existent secret key: {key}"),
                    }));
                }
            }
        }
        Ok(files)
    }

    fn downward(&self, uid: &str, items: &[Value]) -> Vec<(Text, Text)> {
        let Some(worker) = self.workers.get(uid) else { return Vec::new() };
        let source = self.environment_source();
        items
            .iter()
            .map(|item| {
                let value = if item.has("fieldRef") {
                    environment::field(&source, worker, item.text("fieldRef.fieldPath"))
                } else {
                    environment::resource_field(
                        &source,
                        &worker.pod,
                        &Value::Null,
                        item.at("resourceFieldRef"),
                    )
                };
                (item.shared_text("path"), value)
            })
            .collect()
    }

    /// A token for the pod's service account, bound to the pod.
    fn token(
        &mut self,
        uid: &Text,
        volume: &Text,
        source: &Value,
        context: &mut Context,
    ) -> Result<Vec<(Text, Text)>, Setback> {
        let Some(worker) = self.worker(uid) else { return Err(Setback::Waiting) };
        let path = source.shared_text("path");
        match worker.volumes.tokens.get(volume) {
            Some(Some(token)) => return Ok(vec![(path, token.clone())]),
            Some(None) => return Err(Setback::Waiting),
            None => {}
        }
        worker.volumes.tokens.insert(volume.clone(), None);
        let pod = worker.pod.clone();
        let account = match pod.text("spec.serviceAccountName") {
            "" => "default",
            account => account,
        };
        let mut spec = object! {
            "expirationSeconds" => source.integer("expirationSeconds").unwrap_or(3600),
            "boundObjectRef" => object! {
                "apiVersion" => "v1", "kind" => "Pod", "name" => pod.at("metadata.name"), "uid" => pod.at("metadata.uid"),
            },
            "audiences" => Value::Null,
        };
        if source.has("audience") {
            spec.set("audiences", Value::array([source.at("audience").clone()]));
        }
        let body =
            object! { "apiVersion" => "authentication.k8s.io/v1", "kind" => "TokenRequest", "spec" => spec };
        let mut create =
            request::create(&resource("serviceaccounts"), meta::namespace(&pod), body).subresource("token");
        create.name = account.into();
        self.send(create, Purpose::Token { uid: uid.clone(), volume: volume.clone() }, context);
        Err(Setback::Waiting)
    }

    pub(super) fn token_answered(
        &mut self,
        uid: &Text,
        volume: &Text,
        answer: Answer,
        context: &mut Context,
    ) {
        let Some(worker) = self.worker(uid) else { return };
        match answer.into_result() {
            Ok(review) => {
                worker.volumes.tokens.insert(volume.clone(), Some(review.shared_text("status.token")));
            }
            Err(status) => {
                worker.volumes.tokens.remove(volume);
                let pod = worker.pod.clone();
                let words = arcstr::format!(
                    "MountVolume.SetUp failed for volume \"{volume}\" : failed to fetch token: {}",
                    status.text("message")
                );
                worker.volumes.retry_at = Some(context.now() + FIRST_RETRY);
                let timer = KubeletTimer::Volumes { uid: uid.clone() };
                context.timer(FIRST_RETRY, Timer::Kubelet(timer));
                self.event(meta::uid(&pod), None, "Warning", "FailedMount", words, context);
                return;
            }
        }
        self.mount_volumes(uid, context);
    }

    /// A ConfigMap or Secret, as it was last read; `None`: it has been asked for.
    fn object(&mut self, key: &ObjectKey, context: &mut Context) -> Option<Result<Value, Value>> {
        match self.objects.get(key).and_then(|cached| cached.result.clone()) {
            Some(result) => Some(result),
            None => {
                self.read_object(key, context);
                None
            }
        }
    }
    fn read_object(&mut self, key: &ObjectKey, context: &mut Context) {
        let cached = self.objects.entry(key.clone()).or_default();
        if !cached.is_reading {
            cached.is_reading = true;
            let get = request::get(&resource(key.kind.plural()), &key.namespace, &key.name);
            self.send(get, Purpose::Object(key.clone()), context);
        }
    }
    /// Whether all of `keys` have been read; those that have not been are asked for.
    pub(super) fn have_objects(&mut self, keys: &[ObjectKey], context: &mut Context) -> bool {
        let mut all = true;
        for key in keys {
            // An absence is looked into each time.
            let is_known = self.objects.get(key).is_some_and(|cached| {
                let is_fresh =
                    context.now().since(cached.read_at) < TTL || matches!(cached.result, Some(Ok(_)));
                !cached.is_reading && cached.result.is_some() && is_fresh
            });
            if !is_known {
                self.read_object(key, context);
                all = false;
            }
        }
        all
    }

    pub(super) fn object_answered(&mut self, key: &ObjectKey, answer: Answer, context: &mut Context) {
        let result = answer.into_result();
        let cached = self.objects.entry(key.clone()).or_default();
        cached.is_reading = false;
        cached.read_at = context.now();
        cached.result = Some(result);
        let waiting: Vec<(Text, bool)> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.namespace() == key.namespace)
            .map(|(uid, worker)| {
                let is_for_environment = worker.work.as_ref().is_some_and(|work| work.wait == Wait::Objects);
                (uid.clone(), is_for_environment)
            })
            .collect();
        for (uid, is_for_environment) in waiting {
            if is_for_environment {
                if let Some(work) = self.worker(&uid).and_then(|worker| worker.work.as_mut()) {
                    work.wait = Wait::Nothing;
                }
                self.proceed(&uid, context);
            } else if self
                .workers
                .get(&uid)
                .is_some_and(|worker| worker.volumes.is_wanted && !worker.volumes.is_mounted)
            {
                self.mount_volumes(&uid, context);
            } else {
                self.rewrite_volumes(&uid, key, context);
            }
        }
    }

    /// A pod is new on the node: what it refers to is read anew, however lately others have read it (`AddReference`).
    pub(super) fn forget_objects(&mut self, pod: &Value) {
        let containers =
            ["spec.initContainers", "spec.containers"].into_iter().flat_map(|path| pod.items(path));
        let keys = containers.flat_map(|container| environment::objects_needed(pod, container));
        for key in keys.chain(volume_objects(pod)).filter(|key| key.name != UNCHANGING) {
            if self.objects.get(&key).is_some_and(|cached| !cached.is_reading) {
                self.objects.remove(&key);
            }
        }
    }

    /// Objects behind mounted volumes, and their revisions.
    fn revisions(&self, pod: &Value) -> SortedMap<ObjectKey, Text> {
        let mut revisions = SortedMap::new();
        for key in volume_objects(pod) {
            if let Some(Ok(object)) = self.objects.get(&key).and_then(|cached| cached.result.as_ref()) {
                revisions.insert(key, object.shared_text("metadata.resourceVersion"));
            }
        }
        revisions
    }

    /// Reads again what is older than a minute.
    fn refresh_objects(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let Some(worker) = self.workers.get(uid) else { return };
        let old: Vec<ObjectKey> = worker
            .volumes
            .revisions
            .keys()
            .filter(|key| key.name != UNCHANGING)
            .filter(|key| self.objects.get(key).is_none_or(|cached| now.since(cached.read_at) >= TTL))
            .cloned()
            .collect();
        for key in old {
            self.read_object(&key, context);
        }
    }

    /// An object has been read again: volumes that show an older revision are written anew.
    fn rewrite_volumes(&mut self, uid: &Text, key: &ObjectKey, context: &mut Context) {
        let Some(worker) = self.workers.get(uid).cloned() else { return };
        let Some(shown) = worker.volumes.revisions.get(key) else { return };
        let revision = match self.objects.get(key).and_then(|cached| cached.result.as_ref()) {
            Some(Ok(object)) => object.shared_text("metadata.resourceVersion"),
            _ => return,
        };
        if *shown == revision {
            return;
        }
        for volume in worker.pod.items("spec.volumes") {
            let uses = |name: &str| name == key.name.as_str();
            let is_concerned = uses(volume.text("configMap.name"))
                || uses(volume.text("secret.secretName"))
                || volume
                    .items("projected.sources")
                    .iter()
                    .any(|source| uses(source.text("configMap.name")) || uses(source.text("secret.name")));
            if is_concerned && let Ok(Some(files)) = self.contents(uid, volume, context) {
                let volume = volume.shared_text("name");
                let call = Call::WriteVolume { pod_uid: uid.clone(), volume, files: Arc::new(files) };
                self.call(call, CallPurpose::Ignored, context);
            }
        }
        let revisions = self.revisions(&worker.pod);
        if let Some(worker) = self.worker(uid) {
            worker.volumes.revisions = revisions;
        }
    }
}
