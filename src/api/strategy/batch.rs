//! The selector that a Job gets.
//!
//! Picture to hold in mind: a wristband printed on arrival, so that no other Job's pods are taken for one's own.
//!
//! Follows `generateSelector` of `pkg/registry/batch/job/strategy.go`.

use crate::api::value::Value;

/// Labels the template with the Job's name and uid and selects by the uid, unless `manualSelector` is true.
pub fn generate_selector(job: &mut Value) {
    if job.is_true("spec.manualSelector") {
        return;
    }
    let (name, uid) = (job.shared_text("metadata.name"), job.shared_text("metadata.uid"));
    let labels = job.at_mut("spec.template.metadata.labels").make_object();
    for (key, value) in [
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ] {
        if !labels.contains_key(key) {
            labels.insert(key, value);
        }
    }
    let selected = job.at_mut("spec.selector.matchLabels").make_object();
    if !selected.contains_key("batch.kubernetes.io/controller-uid") {
        selected.insert("batch.kubernetes.io/controller-uid", &uid);
    }
}
