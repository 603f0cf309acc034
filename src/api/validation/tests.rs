//! What is the same for all kinds.

use super::*;
use crate::api::kind::Registry;
use crate::object;

fn fields(errors: &[FieldError]) -> Vec<&str> {
    errors.iter().map(|error| error.field.as_str()).collect()
}

#[test]
fn the_head_of_every_kind_is_looked_at() {
    let mut missing = Vec::new();
    for info in Registry::new().resources() {
        let (group, version, kind) = (&info.group, &info.storage_version, &info.kind);
        if info.storage_prefix.is_empty() {
            continue;
        }
        // Events look at their head last.
        let about =
            object! { "apiVersion" => "v1", "kind" => "Pod", "namespace" => "default", "name" => "a" };
        let head = object! { "namespace" => "default", "resourceVersion" => "1" };
        let good = object! { "metadata" => head, "involvedObject" => about };
        let bad = good.clone().with("metadata.labels", object! { "-bad-" => "x" });
        if !fields(&validate_create(group, version, kind, &bad)).contains(&"metadata.name") {
            missing.push(format!("create {kind}.{group}"));
        }
        if !fields(&validate_update(group, version, kind, &bad, &good)).contains(&"metadata.labels") {
            missing.push(format!("update {kind}.{group}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
