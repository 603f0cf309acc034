use super::*;
use crate::api::patch::apply;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn writer<'a>(manager: &'a str, now: &str) -> Writer<'a> {
    Writer {
        manager,
        subresource: "",
        api_version: "apps/v1",
        now: Text::from(format!("2026-06-01T08:00:{now}Z")),
        reset_fields: &["status"],
    }
}

fn deployment(spec: &str) -> Value {
    json(&format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"web","namespace":"default"}},"spec":{spec}}}"#
    ))
}

fn owners(object: &Value) -> Vec<String> {
    object
        .items("metadata.managedFields")
        .iter()
        .map(|entry| {
            let set = FieldSet::from_value(entry.at("fieldsV1")).unwrap();
            let paths: Vec<String> = set.paths().iter().map(|path| path_text(path)).collect();
            format!("{} {}: {}", entry.text("manager"), entry.text("operation"), paths.join(" "))
        })
        .collect()
}

fn run(live: &Value, config: &Value, manager: &str, now: &str, force: bool) -> Result<Value, Status> {
    apply::apply(live, config, place_of(config), &writer(manager, now), force)
}

#[test]
fn each_writer_owns_what_it_wrote() {
    let config =
        deployment(r#"{"replicas":2,"template":{"spec":{"containers":[{"name":"a","image":"1"}]}}}"#);
    let mut live = run(&Value::Null, &config, "alice", "01", false).unwrap();
    live.set("metadata.uid", "u");
    assert_eq!(
        owners(&live),
        [
            r#"alice Apply: .spec.replicas .spec.template.spec.containers[name="a"] .spec.template.spec.containers[name="a"].image .spec.template.spec.containers[name="a"].name"#
        ]
    );
    // Another adds a container and sees it in the list.
    let sidecar = deployment(r#"{"template":{"spec":{"containers":[{"name":"b","image":"2"}]}}}"#);
    let live = run(&live, &sidecar, "bob", "02", false).unwrap();
    let names: Vec<&str> =
        live.items("spec.template.spec.containers").iter().map(|container| container.text("name")).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(owners(&live).len(), 2);
    // Applying the same again is no change at all.
    assert!(run(&live, &sidecar, "bob", "03", false).unwrap().is_same(&live));
    // What alice no longer writes goes; bob's stays.
    let less = deployment(r#"{"template":{"spec":{"containers":[{"name":"a","image":"1"}]}}}"#);
    let live = run(&live, &less, "alice", "04", false).unwrap();
    assert!(!live.has("spec.replicas"));
    assert_eq!(live.items("spec.template.spec.containers").len(), 2);
    let mut nothing = deployment("{}");
    nothing.remove("spec");
    let live = run(&live, &nothing, "bob", "05", false).unwrap();
    assert_eq!(live.items("spec.template.spec.containers").len(), 1);
    assert_eq!(owners(&live).len(), 1, "{:?}", owners(&live));
}

#[test]
fn another_owners_field_is_a_conflict_unless_taken_by_force() {
    let live =
        run(&Value::Null, &deployment(r#"{"replicas":2,"paused":true}"#), "alice", "01", false).unwrap();
    let mut updated = live.clone();
    updated.set("spec.replicas", 3);
    track_update(&live, &mut updated, place_of(&live), &writer("hpa", "02"));
    assert_eq!(owners(&updated), ["alice Apply: .spec.paused", "hpa Update: .spec.replicas"]);
    let config = deployment(r#"{"replicas":4,"paused":false}"#);
    let refused = run(&updated, &config, "bob", "03", false).unwrap_err();
    assert_eq!(refused.code, 409);
    assert_eq!(
        refused.message,
        "Apply failed with 2 conflicts: conflicts with \"alice\":\n- .spec.paused\nconflicts with \"hpa\" using apps/v1:\n- .spec.replicas"
    );
    assert_eq!(refused.details.items("causes")[1].text("field"), ".spec.replicas");
    let one = run(&updated, &deployment(r#"{"replicas":4}"#), "bob", "03", false).unwrap_err();
    assert_eq!(
        one.message,
        "Apply failed with 1 conflict: conflict with \"hpa\" using apps/v1: .spec.replicas"
    );
    let forced = run(&updated, &config, "bob", "03", true).unwrap();
    assert_eq!(forced.integer("spec.replicas"), Some(4));
    assert_eq!(owners(&forced), ["bob Apply: .spec.paused .spec.replicas"]);
    // The same value is no conflict: it becomes shared.
    let shared = run(&updated, &deployment(r#"{"replicas":3}"#), "bob", "03", false).unwrap();
    assert_eq!(
        owners(&shared),
        ["bob Apply: .spec.replicas", "alice Apply: .spec.paused", "hpa Update: .spec.replicas"]
    );
}

#[test]
fn a_create_is_tracked_and_a_status_update_owns_only_status() {
    let mut created = deployment(r#"{"replicas":1}"#);
    created.set("metadata.labels", json(r#"{"app":"web"}"#));
    created.set("status.replicas", 0);
    let place = place_of(&created);
    track_update(&Value::Null, &mut created, place, &writer("kubectl-create", "01"));
    assert_eq!(
        owners(&created),
        ["kubectl-create Update: .metadata.labels .metadata.labels.app .spec.replicas"]
    );
    created.set("metadata.uid", "u");
    let mut status = created.clone();
    status.set("status.replicas", 1).set("spec.replicas", 9);
    let door = Writer { subresource: "status", reset_fields: &["spec"], ..writer("manager", "02") };
    track_update(&created, &mut status, place_of(&created), &door);
    assert_eq!(owners(&status)[1], "manager Update: .status.replicas");
    assert_eq!(status.items("metadata.managedFields")[1].text("subresource"), "status");
    // Nothing changed, nothing recorded, not even the time.
    let mut same = status.clone();
    track_update(
        &status,
        &mut same,
        place_of(&status),
        &Writer { now: "2026-06-01T09:00:00Z".into(), ..door },
    );
    assert_eq!(same, status);
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner_of_that_name() {
    let mut live = deployment(r#"{"replicas":1,"paused":true}"#);
    live.set("metadata.uid", "u");
    let refused = run(&live, &deployment(r#"{"replicas":2}"#), "alice", "01", false).unwrap_err();
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1: .spec.replicas"
    );
    // Who comes from client-side apply may change what its annotation says is its own.
    let annotation = deployment(r#"{"replicas":1}"#).to_string();
    meta::set_annotation(&mut live, LAST_APPLIED, annotation);
    let applied = run(&live, &deployment(r#"{"replicas":2}"#), "kubectl", "01", false).unwrap();
    assert_eq!(applied.integer("spec.replicas"), Some(2));
    assert!(meta::annotation(&applied, LAST_APPLIED).is_some_and(|text| text.contains("\"replicas\":2")));
}

#[test]
fn unfit_objects_are_refused_in_upstreams_words() {
    for (config, message) in [
        (
            deployment(r#"{"replica":1}"#),
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema",
        ),
        (
            deployment(r#"{"replicas":"one"}"#),
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string",
        ),
        (
            deployment(r#"{"template":{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}}"#),
            "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            deployment("{}").with("metadata.managedFields", Value::array([])),
            "metadata.managedFields must be nil",
        ),
        (
            deployment("{}").with("apiVersion", "apps/v2"),
            "Incorrect version specified in apply patch. Specified patch version: apps/v2, expected: apps/v1",
        ),
    ] {
        let place = place_of(&deployment("{}"));
        let refused = apply::apply(&Value::Null, &config, place, &writer("a", "01"), false).unwrap_err();
        assert_eq!(refused.message, message);
    }
}

#[test]
fn ports_are_told_apart_by_number_and_protocol() {
    let service = |ports: &str| {
        json(&format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"dns"}},"spec":{{"ports":{ports}}}}}"#
        ))
    };
    let door = Writer { api_version: "v1", ..writer("a", "01") };
    let config = service(r#"[{"port":53},{"port":53,"protocol":"UDP"}]"#);
    let live = apply::apply(&Value::Null, &config, place_of(&config), &door, false).unwrap();
    let shown = live.items("metadata.managedFields")[0].at("fieldsV1").to_string();
    assert!(shown.contains(r#"k:{\"port\":53,\"protocol\":\"TCP\"}"#), "{shown}");
    let fewer = service(r#"[{"port":53,"protocol":"UDP"}]"#);
    let live = apply::apply(&live, &fewer, place_of(&config), &door, false).unwrap();
    assert_eq!(live.items("spec.ports").len(), 1);
}

#[test]
fn field_sets_survive_the_wire() {
    for text in [
        r#"{"f:a":{},"f:b":{".":{},"f:c":{}},"k:{\"name\":\"x\"}":{".":{},"f:image":{}},"v:\"s\"":{},"i:3":{}}"#,
        "{}",
    ] {
        let set = FieldSet::from_value(&json(text)).unwrap();
        assert_eq!(set.to_value(), json(text));
    }
    assert!(FieldSet::from_value(&json(r#"{"x":{}}"#)).is_err());
    assert!(FieldSet::from_value(&json(r#"{"z:x":{}}"#)).unwrap().is_empty());
}

#[test]
fn many_updaters_are_summed_up() {
    let mut live = deployment("{}");
    for count in 0..14 {
        let mut new = live.clone();
        meta::set_label(&mut new, &format!("l{count}"), "x");
        let name = format!("m{count:02}");
        track_update(&live, &mut new, place_of(&live), &writer(&name, &format!("{count:02}")));
        live = new;
    }
    let names: Vec<&str> =
        live.items("metadata.managedFields").iter().map(|entry| entry.text("manager")).collect();
    assert_eq!(names.len(), 10);
    assert!(
        names.contains(&"ancient-changes") && names.contains(&"m13") && !names.contains(&"m01"),
        "{names:?}"
    );
}
