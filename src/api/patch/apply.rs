//! Server-side apply: who owns which field.
//!
//! Picture to hold in mind: a shared manuscript in which every co-author writes in ink of one colour. Applying
//! means: "these are my words". What I leave out now and wrote before goes, unless it is also in somebody else's
//! ink; what is in another's ink I may not change, unless I insist and take it over.
//!
//! Follows `k8s.io/apimachinery/pkg/util/managedfields` and `sigs.k8s.io/structured-merge-diff` (merge/update.go),
//! KEP-555. All versions of a kind are compared in the version at hand.

mod fieldset;
mod manage;
#[cfg(test)]
mod tests;
mod typed;

use crate::api::schema::SchemaType;
use crate::api::status::{Reason, Status};
use crate::api::value::{Text, Value};
use crate::api::{meta, schema};
use crate::arrange::Gather;
use crate::sorted::SortedMap;

pub use fieldset::{FieldSet, Literal, PathElement, path_text};
pub use manage::{ManagedFields, Manager, Operation};

/// Who writes, through which door, and when.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    /// `fieldManager`, or what the user agent says before its slash.
    pub manager: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
    /// The version of the request.
    pub api_version: &'a str,
    /// What `time` is set to.
    pub now: Text,
    /// Fields that this door resets, so that nobody comes to own them through it: `status` on the object itself,
    /// `spec` on its status. Dotted paths.
    pub reset_fields: &'a [&'a str],
}

/// How many managers that only updated are kept apart; the oldest beyond that are summed up.
const MAX_UPDATE_MANAGERS: usize = 10;
const OLD_UPDATES: &str = "ancient-changes";
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields of the metadata that nobody owns.
const STRIPPED: [&str; 11] = [
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];

/// Records in `new` who owns its fields, after a create (`live` is `Null`), an update or any patch but apply.
/// Objects that were never tracked stay so.
pub fn track_update(live: &Value, new: &mut Value, place: Option<SchemaType>, writer: &Writer) {
    let sent = new.at("metadata.managedFields");
    // An empty list, or one empty entry, asks to forget all owners.
    let reset = matches!(sent.as_array(), Some([]))
        || matches!(sent.as_array(), Some([only]) if only.as_object().is_some_and(|map| map.is_empty()));
    let mut managed = match ManagedFields::decode(sent) {
        _ if !writer.subresource.is_empty() => ManagedFields::decode(live.at("metadata.managedFields")),
        _ if reset => Ok(ManagedFields::default()),
        Ok(managed) if !managed.is_empty() => Ok(managed),
        _ => ManagedFields::decode(live.at("metadata.managedFields")),
    }
    .unwrap_or_default();
    new.remove("metadata.managedFields");
    if managed.is_empty() && !meta::uid(live).is_empty() {
        return;
    }
    let live = without_managed_fields(live);
    update(&live, new, &mut managed, place, writer, Operation::Update);
    managed.cap(MAX_UPDATE_MANAGERS, OLD_UPDATES);
    managed.write_to(new);
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    object.remove("metadata.managedFields");
    object
}

/// `Updater.Update`: what the writer changed becomes his, and nobody else's.
fn update(
    live: &Value,
    new: &Value,
    managed: &mut ManagedFields,
    place: Option<SchemaType>,
    writer: &Writer,
    operation: Operation,
) {
    let comparison = typed::compare(live, new, place).without(writer.reset_fields);
    let changed = comparison.modified.union(&comparison.added);
    managed.take_from_others(None, &changed, &comparison.removed);
    let set = changed.difference(&FieldSet::of_paths(&STRIPPED));
    if !set.is_empty() {
        managed.add(Manager::new(writer, operation), writer.api_version, &set, &writer.now);
    }
}

/// Lays `config` over `live` (`Null` for an object that is not there yet) and tells who owns what. The result
/// still needs defaults and validation; it is `live` itself when nothing changes. The refusals are the API
/// server's: conflicts with other owners (unless `force`), fields that the kind does not have.
pub fn apply(
    live: &Value,
    config: &Value,
    place: Option<SchemaType>,
    writer: &Writer,
    force: bool,
) -> Result<Value, Status> {
    if config.has("metadata.managedFields") {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    if config.text("apiVersion") != writer.api_version {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: {}",
            config.text("apiVersion"),
            writer.api_version
        )));
    }
    if let Err(error) = typed::validate(config, place) {
        let (group, version) = meta::split_api_version(config.text("apiVersion"));
        let kind = config.text("kind");
        let text = format!(
            "failed to create typed patch object ({}/{}; {}, Kind={kind}): {error}",
            meta::namespace(config),
            meta::name(config),
            if group.is_empty() { format!("/{version}") } else { format!("{group}/{version}") },
        );
        return Err(Status::new(500, Reason::Unknown, text));
    }
    let managed = ManagedFields::decode(live.at("metadata.managedFields")).map_err(|error| {
        Status::new(500, Reason::Unknown, format!("failed to decode managed fields: {error}"))
    })?;
    let live_plain = without_managed_fields(live);
    let mut first = managed.clone();
    if managed.is_empty() && !live_plain.is_null() {
        // Whatever was there before anyone applied belongs to a manager of that name.
        let before = Writer { manager: BEFORE_FIRST_APPLY, ..writer.clone() };
        update(&Value::Null, &live_plain, &mut first, place, &before, Operation::Update);
    }
    let outcome = merge(&live_plain, config, &first, place, writer, force).or_else(|conflicts| {
        let own = allowed_by_last_applied(&live_plain, writer, place);
        let left: Conflicts = conflicts
            .into_iter()
            .map(|(manager, set)| (manager, set.difference(&own)))
            .filter(|(_, set)| !set.is_empty())
            .gather();
        if left.is_empty() { merge(&live_plain, config, &first, place, writer, true) } else { Err(left) }
    });
    match outcome {
        Ok((object, managed)) => {
            let mut object = object.unwrap_or_else(|| live_plain.clone());
            if writer.manager == "kubectl" && meta::annotation(&object, LAST_APPLIED).is_some() {
                let mut written = config.clone();
                meta::remove_annotation(&mut written, LAST_APPLIED);
                meta::set_annotation(&mut object, LAST_APPLIED, format!("{written}\n"));
            }
            managed.write_to(&mut object);
            Ok(if object == *live { live.clone() } else { object })
        }
        Err(conflicts) => Err(conflict_status(&conflicts)),
    }
}

/// Lays `config` over `live` without a word on who owns what (`ApplyStructuredMergeDiff`). What is one value, but has
/// parts, may not be in it: who names some of the parts may not have thought of the others.
pub fn lay_over(live: &Value, config: &Value, place: Option<SchemaType>) -> Result<Value, String> {
    typed::validate(config, place)
        .map_err(|error| format!("failed to convert patch object to typed object: {error}"))?;
    let mut atomics = Vec::new();
    typed::atomics(config, place, &mut Vec::new(), &mut atomics);
    if !atomics.is_empty() {
        let list = atomics.join(", ");
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {list}"
        ));
    }
    Ok(typed::merge(live, config, place))
}

/// The fields that stand in the way, by their owners.
type Conflicts = SortedMap<Manager, FieldSet>;
type Outcome = Result<(Option<Value>, ManagedFields), Conflicts>;

/// `Updater.Apply`; no object when nothing changes.
fn merge(
    live: &Value,
    config: &Value,
    managed: &ManagedFields,
    place: Option<SchemaType>,
    writer: &Writer,
    force: bool,
) -> Outcome {
    let mut managed = managed.clone();
    let manager = Manager::new(writer, Operation::Apply);
    let last = managed.set_of(&manager).cloned();
    let merged = if live.is_null() { config.clone() } else { typed::merge(live, config, place) };
    let mut set = typed::field_set(config, place);
    set = set.without_paths(writer.reset_fields);
    managed.put(manager.clone(), writer.api_version, set, None);
    let object = match last {
        Some(last) if !last.is_empty() => prune(&merged, &managed, &last, place),
        _ => merged,
    };
    let comparison = typed::compare(live, &object, place).without(writer.reset_fields);
    let changed = comparison.modified.union(&comparison.added);
    let conflicts: Conflicts = managed
        .iter()
        .filter(|(owner, _)| **owner != manager)
        .map(|(owner, entry)| (owner.clone(), entry.set.intersection(&changed)))
        .filter(|(_, set)| !set.is_empty())
        .gather();
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    managed.take_from_others(Some(&manager), &changed, &comparison.removed);
    managed.strip(&manager, &FieldSet::of_paths(&STRIPPED));
    let unchanged = *live == object;
    if !unchanged {
        managed.touch(&manager, &writer.now);
    }
    Ok(((!unchanged).then_some(object), managed))
}

/// Takes away what was applied before and is no longer, except what others own or what would be left hanging.
fn prune(merged: &Value, managed: &ManagedFields, last: &FieldSet, place: Option<SchemaType>) -> Value {
    let members = |set: &FieldSet| set.with_named_fields(place);
    let pruned = typed::remove(merged, &members(last), place);
    let merged_set = members(&typed::field_set(merged, place));
    let owned = managed.iter().fold(FieldSet::default(), |all, (_, entry)| all.union(&entry.set));
    let pruned_set = members(&typed::field_set(&pruned, place));
    let goes = merged_set.difference(&pruned_set.union(&members(&owned)));
    let pruned = typed::remove(merged, &goes, place);
    let pruned_set = members(&typed::field_set(&pruned, place));
    typed::remove(merged, &merged_set.difference(&pruned_set).intersection(&members(last)), place)
}

/// Who comes from client-side apply may take what its annotation says it wrote and nobody has changed since.
fn allowed_by_last_applied(live: &Value, writer: &Writer, place: Option<SchemaType>) -> FieldSet {
    let Some(annotation) = meta::annotation(live, LAST_APPLIED).filter(|_| writer.manager == "kubectl")
    else {
        return FieldSet::default();
    };
    match serde_json::from_str::<Value>(annotation) {
        Ok(last) if last.text("apiVersion") == writer.api_version => {
            let comparison = typed::compare(&last, live, place);
            typed::field_set(&last, place)
                .difference(&comparison.modified)
                .difference(&comparison.added)
                .difference(&comparison.removed)
        }
        _ => FieldSet::default(),
    }
}

fn conflict_status(conflicts: &Conflicts) -> Status {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    let mut count = 0;
    let mut only = String::new();
    for (manager, set) in conflicts {
        lines.push(format!("conflicts with {manager}:"));
        for path in set.paths() {
            let path = path_text(&path);
            causes.push(Status::cause("FieldManagerConflict", &format!("conflict with {manager}"), &path));
            only = format!("Apply failed with 1 conflict: conflict with {manager}: {path}");
            lines.push(format!("- {path}"));
            count += 1;
        }
    }
    let message = match count {
        1 => only,
        _ => format!("Apply failed with {count} conflicts: {}", lines.join("\n")),
    };
    Status::apply_conflict(causes, message)
}

/// The schema under which an object of a built-in kind is applied.
pub fn place_of(object: &Value) -> Option<SchemaType<'static>> {
    schema::Schema::built_in().of(object)
}
