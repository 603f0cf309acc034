use super::*;
use crate::api::schema::Schema;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn place(kind: &str) -> SchemaType<'static> {
    let schema = Schema::built_in();
    schema.kind("v1", kind).or_else(|| schema.kind("apps/v1", kind)).unwrap()
}

#[test]
fn json_patches_follow_rfc_6902() {
    for (object, patch, expected) in [
        (r#"{"a":1}"#, r#"[{"op":"add","path":"/b","value":[1]}]"#, r#"{"a":1,"b":[1]}"#),
        (
            r#"{"a":[1,3]}"#,
            r#"[{"op":"add","path":"/a/1","value":2},{"op":"add","path":"/a/-","value":4}]"#,
            r#"{"a":[1,2,3,4]}"#,
        ),
        (
            r#"{"a":{"b/c":1,"~":2}}"#,
            r#"[{"op":"remove","path":"/a/b~1c"},{"op":"replace","path":"/a/~0","value":3}]"#,
            r#"{"a":{"~":3}}"#,
        ),
        (
            r#"{"a":{"x":1},"b":{}}"#,
            r#"[{"op":"move","from":"/a/x","path":"/b/y"},{"op":"copy","from":"/b","path":"/c"}]"#,
            r#"{"a":{},"b":{"y":1},"c":{"y":1}}"#,
        ),
        (
            r#"{"a":[1,2]}"#,
            r#"[{"op":"test","path":"/a/0","value":1},{"op":"remove","path":"/a/-1"}]"#,
            r#"{"a":[1]}"#,
        ),
        (r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":{"b":2}}]"#, r#"{"b":2}"#),
    ] {
        assert_eq!(json_patch(&json(object), &json(patch)).unwrap().to_string(), expected, "{patch}");
    }
    for (object, patch, error) in [
        (
            r#"{"a":1}"#,
            r#"[{"op":"remove","path":"/b"}]"#,
            "error in remove for path: '/b': Unable to remove nonexistent key: b: missing value",
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"add","path":"/x/y","value":1}]"#,
            "add operation does not apply: doc is missing path: \"/x/y\": missing value",
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"replace","path":"/b","value":1}]"#,
            "replace operation does not apply: doc is missing key: /b: missing value",
        ),
        (
            r#"{"a":[1]}"#,
            r#"[{"op":"add","path":"/a/5","value":1}]"#,
            "error in add for path: '/a/5': Unable to access invalid index: 5: invalid index referenced",
        ),
        (r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":2}]"#, "testing value /a failed: test failed"),
        (r#"{"a":1}"#, r#"[{"op":"fly","path":"/a"}]"#, "Unexpected kind: fly"),
        (
            r#"{"a":1}"#,
            r#"{"op":"add"}"#,
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch",
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"move","from":"/z","path":"/a"}]"#,
            "error in move for path: '/z': Unable to remove nonexistent key: z: missing value",
        ),
        (r#"{"a":1}"#, r#"[{"op":"add","value":1}]"#, "add operation failed to decode path: missing value"),
    ] {
        assert_eq!(json_patch(&json(object), &json(patch)).unwrap_err().to_string(), error, "{patch}");
    }
}

#[test]
fn merge_patches_follow_rfc_7386() {
    for (object, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
    ] {
        let (object, patch) = (json(object), json(patch));
        let merged = merge_patch(&object, &patch);
        assert_eq!(merged.to_string(), expected);
        if object.as_object().is_some() && !expected.contains("null") {
            let diff = json_merge_diff(&object, &merged);
            assert_eq!(merge_patch(&object, &diff), merged);
        }
    }
    let object = json(r#"{"a":{"b":1}}"#);
    assert!(merge_patch(&object, &json(r#"{"a":{"b":1},"c":null}"#)).is_same(&object));
}

#[test]
fn strategic_merge_patches_know_the_lists() {
    for (kind, object, patch, expected) in [
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":"a","image":"1","ports":[{"containerPort":80}]},{"name":"b"}]}}"#,
            r#"{"spec":{"containers":[{"name":"a","image":"2"},{"name":"c"}]}}"#,
            r#"{"spec":{"containers":[{"image":"2","name":"a","ports":[{"containerPort":80}]},{"name":"c"},{"name":"b"}]}}"#,
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":"a"},{"name":"b"}]}}"#,
            r#"{"spec":{"$setElementOrder/containers":[{"name":"c"},{"name":"b"}],"containers":[{"name":"c","image":"x"},{"$patch":"delete","name":"a"}]}}"#,
            r#"{"spec":{"containers":[{"image":"x","name":"c"},{"name":"b"}]}}"#,
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":"a","command":["x","y"]}],"nodeSelector":{"d":"ssd"}}}"#,
            r#"{"spec":{"containers":[{"name":"a","command":["z"]}],"nodeSelector":{"d":null,"e":"f"}}}"#,
            r#"{"spec":{"containers":[{"command":["z"],"name":"a"}],"nodeSelector":{"e":"f"}}}"#,
        ),
        (
            "Pod",
            r#"{"metadata":{"finalizers":["a","b"]}}"#,
            r#"{"metadata":{"finalizers":["c"],"$deleteFromPrimitiveList/finalizers":["a"]}}"#,
            r#"{"metadata":{"finalizers":["c","b"]}}"#,
        ),
        (
            "Deployment",
            r#"{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}}"#,
            r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#,
            r#"{"spec":{"strategy":{"type":"Recreate"}}}"#,
        ),
        (
            "Pod",
            r#"{"spec":{"volumes":[{"name":"v","emptyDir":{}}],"tolerations":[{"key":"a"}]}}"#,
            r#"{"spec":{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}],"tolerations":[{"key":"b"}]}}"#,
            r#"{"spec":{"tolerations":[{"key":"b"}],"volumes":[{"hostPath":{"path":"/x"},"name":"v"}]}}"#,
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":"a"}],"securityContext":{"runAsUser":1}}}"#,
            r#"{"spec":{"containers":[{"name":"n"},{"$patch":"replace"}],"securityContext":{"$patch":"replace","runAsGroup":2}}}"#,
            r#"{"spec":{"containers":[{"name":"n"}],"securityContext":{"runAsGroup":2}}}"#,
        ),
    ] {
        let merged = strategic_merge_patch(&json(object), &json(patch), Some(place(kind))).unwrap();
        assert_eq!(merged.to_string(), expected, "{patch}");
    }
    for (patch, error) in [
        (
            r#"{"spec":{"containers":[{"image":"x"}]}}"#,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (r#"{"spec":{"$patch":"fly"}}"#, "unknown patch type: fly in map: map[$patch:fly]"),
        (
            r#"{"spec":{"volumes":[{"$retainKeys":["name"],"name":"v","emptyDir":{}}]}}"#,
            "invalid patch format of retainKeys",
        ),
        (r#"[]"#, "invalid JSON document"),
    ] {
        let object = json(r#"{"spec":{"containers":[{"name":"a"}],"volumes":[{"name":"v"}]}}"#);
        let refused = strategic_merge_patch(&object, &json(patch), Some(place("Pod"))).unwrap_err();
        assert_eq!(refused.to_string(), error, "{patch}");
    }
    assert!(strategic_merge_patch(&json("{}"), &json("{}"), None).is_err());
}

#[test]
fn a_patch_whose_result_does_not_fit_is_invalid() {
    let object = json(r#"{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":1}}"#);
    for (patch_type, patch, message) in [
        (
            PatchType::StrategicMerge,
            r#"{"spec":{"replicas":"three"}}"#,
            r#" "" is invalid: patch: Invalid value: "map[spec:map[replicas:three]]": unrecognized type: int32"#,
        ),
        (
            PatchType::Merge,
            r#"{"spec":{"replicas":"three"}}"#,
            r#" "" is invalid: patch: Invalid value: "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"spec\":{\"replicas\":\"three\"}}": json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"#,
        ),
        (
            PatchType::StrategicMerge,
            r#"{"spec":{"unicorn":1}}"#,
            r#" "" is invalid: patch: Invalid value: "map[spec:map[unicorn:1]]": strict decoding error: unknown field "spec.unicorn""#,
        ),
        (
            PatchType::Json,
            r#"[{"op":"remove","path":"/x"}]"#,
            "the server rejected our request due to an error in our request",
        ),
    ] {
        let place = place_of(&object);
        let refused =
            apply_and_decode(patch_type, place, &object, &json(patch), Strictness::Strict).unwrap_err();
        assert_eq!(refused.message, message);
    }
    let patch = json(r#"{"spec":{"unicorn":1,"replicas":2}}"#);
    let (patched, warnings) =
        apply_and_decode(PatchType::Merge, place_of(&object), &object, &patch, Strictness::Warn).unwrap();
    assert_eq!(warnings, [r#"unknown field "spec.unicorn""#]);
    assert_eq!(patched.integer("spec.replicas"), Some(2));
}

#[test]
fn apply_sets_what_i_write_and_deletes_what_i_no_longer_write() {
    let deployment = |replicas: &str, containers: &str, labels: &str| {
        json(&format!(
            r#"{{"metadata":{{"labels":{labels}}},"spec":{{{replicas}"template":{{"spec":{{"containers":{containers}}}}}}}}}"#
        ))
    };
    let original = deployment(
        r#""replicas":2,"#,
        r#"[{"name":"a","image":"1"},{"name":"old"}]"#,
        r#"{"app":"a","x":"y"}"#,
    );
    let modified = deployment("", r#"[{"name":"a","image":"2"}]"#, r#"{"app":"a"}"#);
    let current = deployment(
        r#""replicas":5,"#,
        r#"[{"name":"a","image":"1","imagePullPolicy":"Always"},{"name":"old"},{"name":"injected"}]"#,
        r#"{"app":"a","x":"y","theirs":"z"}"#,
    );
    let patch = three_way(&original, &modified, &current, place("Deployment")).unwrap();
    assert_eq!(
        patch.to_string(),
        r#"{"metadata":{"labels":{"x":null}},"spec":{"replicas":null,"template":{"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"image":"2","name":"a"},{"$patch":"delete","name":"old"}]}}}}"#
    );
    let merged = strategic_merge_patch(&current, &patch, Some(place("Deployment"))).unwrap();
    assert_eq!(
        merged.to_string(),
        r#"{"metadata":{"labels":{"app":"a","theirs":"z"}},"spec":{"template":{"spec":{"containers":[{"image":"2","imagePullPolicy":"Always","name":"a"},{"name":"injected"}]}}}}"#
    );
    // Applying the same again changes nothing; that the server has more containers is sent as an order.
    let again = three_way(&modified, &modified, &merged, place("Deployment")).unwrap();
    assert_eq!(
        again.to_string(),
        r#"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"a"}]}}}}"#
    );
    assert_eq!(strategic_merge_patch(&merged, &again, Some(place("Deployment"))).unwrap(), merged);
    assert_eq!(three_way(&modified, &modified, &modified, place("Deployment")).unwrap().to_string(), "{}");
}

#[test]
fn apply_of_a_custom_resource_is_a_merge_patch() {
    let (original, modified, current) = (
        json(r#"{"spec":{"a":1,"b":2,"list":[1]}}"#),
        json(r#"{"spec":{"a":3,"list":[1,2],"empty":{}}}"#),
        json(r#"{"spec":{"a":1,"b":2,"list":[1],"theirs":9}}"#),
    );
    let patch = three_way_json(&original, &modified, &current);
    assert_eq!(patch.to_string(), r#"{"spec":{"a":3,"b":null,"empty":{},"list":[1,2]}}"#);
    assert_eq!(
        merge_patch(&current, &patch).to_string(),
        r#"{"spec":{"a":3,"empty":{},"list":[1,2],"theirs":9}}"#
    );
}

#[test]
fn two_versions_and_the_patch_between_them() {
    for (kind, original, modified, expected) in [
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":"a"},{"name":"b"}]}}"#,
            r#"{"spec":{"containers":[{"name":"b"},{"name":"a"}]}}"#,
            r#"{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}}"#,
        ),
        (
            "Deployment",
            r#"{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}}"#,
            r#"{"spec":{"strategy":{"type":"Recreate"}}}"#,
            r#"{"spec":{"strategy":{"$retainKeys":["type"],"rollingUpdate":null,"type":"Recreate"}}}"#,
        ),
        (
            "Pod",
            r#"{"metadata":{"finalizers":["a","b"]}}"#,
            r#"{"metadata":{"finalizers":["b","c"]}}"#,
            r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a"],"$setElementOrder/finalizers":["b","c"],"finalizers":["c"]}}"#,
        ),
    ] {
        let (original, modified) = (json(original), json(modified));
        let patch = two_way(&original, &modified, place(kind)).unwrap();
        assert_eq!(patch.to_string(), expected);
        assert_eq!(strategic_merge_patch(&original, &patch, Some(place(kind))).unwrap(), modified);
    }
}

/// From any recorded object to any other of its kind: the patch between them leads there.
#[test]
fn patches_between_recorded_objects_lead_there() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/valid");
    let mut by_kind: crate::sorted::SortedMap<String, Vec<Value>> = Default::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let case = json(&std::fs::read_to_string(&path).unwrap());
            for object in case.items("objects") {
                by_kind.entry(object.text("kind").to_owned()).or_default().push(object.clone());
            }
        }
    }
    let mut exact = 0;
    for objects in by_kind.values() {
        for pair in objects.windows(2).take(60) {
            let diff = json_merge_diff(&pair[0], &pair[1]);
            // A merge patch cannot set a null.
            if !pair[1].to_string().contains("null") {
                assert_eq!(merge_patch(&pair[0], &diff), pair[1]);
            }
            let Some(place) = Schema::built_in().of(&pair[0]) else { continue };
            if pair[0].text("apiVersion") != pair[1].text("apiVersion") {
                continue;
            }
            let Ok(patch) = two_way(&pair[0], &pair[1], place) else { continue };
            // The recorder took the uid out, which is the key of owner references.
            let Ok(patched) = strategic_merge_patch(&pair[0], &patch, Some(place)) else {
                assert!(patch.to_string().contains("ownerReferences"), "{patch}");
                continue;
            };
            exact += usize::from(patched == pair[1]);
            let Ok(again) = two_way(&patched, &pair[1], place) else { continue };
            let left = strategic_merge_patch(&patched, &again, Some(place)).unwrap();
            assert_eq!(left, patched, "{patch}");
        }
    }
    assert!(exact > 100, "{exact}");
}
