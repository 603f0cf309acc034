//! ttl-after-finished-controller: takes finished jobs away when their time is over.
//!
//! Picture to hold in mind: the board of an airport: a flight that has landed stays on it for a while.
//!
//! After `pkg/controller/ttlafterfinished/ttlafterfinished_controller.go`.

use crate::api::{Value, meta, time};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::sim::{Duration, Time};

use super::job::is_finished;
use super::kinds::JOB;

#[derive(Clone, Default)]
pub struct TtlAfterFinishedController {
    jobs: usize,
}

/// When a finished job is to go; `None` for one that stays.
fn end_of(job: &Value) -> Option<Time> {
    let seconds = job.integer("spec.ttlSecondsAfterFinished").filter(|_| !meta::is_deleting(job))?;
    let finished = ["Complete", "Failed"]
        .iter()
        .filter(|kind| meta::is_condition_true(job, kind))
        .find_map(|kind| time::parse(meta::condition(job, kind)?.text("lastTransitionTime")))?;
    Some(finished + Duration::from_secs(u64::try_from(seconds).ok()?))
}

impl Controller for TtlAfterFinishedController {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.jobs = informers.add(Selection::all(&JOB.resource));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        if delta.kind != DeltaType::Deleted && is_finished(&delta.object) {
            keys.add(key_of(&delta.object));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let now = call.now();
        let Some(end) = call.store(self.jobs).get(&key).and_then(end_of) else { return Ok(()) };
        if end > now {
            call.add_after(key, end.since(now));
            return Ok(());
        }
        let (namespace, name) = (call.namespace().to_owned(), call.name().to_owned());
        // Somebody may have given it more time meanwhile.
        let Ok(fresh) = call.attempt(request::get(&JOB.resource, &namespace, &name))? else { return Ok(()) };
        if end_of(&fresh).is_none_or(|end| end > now) {
            return Ok(());
        }
        let mut delete = request::delete(&JOB.resource, &namespace, &name);
        delete.options.propagation_policy = "Foreground".into();
        delete.options.precondition_uid = fresh.shared_text("metadata.uid");
        call.request(delete)?;
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
