use super::*;
use crate::api::kind::Registry;
use crate::{array, object};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_built_in_kind_has_its_fields() {
    let schema = Schema::built_in();
    for info in Registry::new().resources() {
        for version in &info.versions {
            let api_version = crate::api::kind::join_api_version(&info.group, version);
            let place = schema.kind(&api_version, &info.kind);
            assert!(place.is_some_and(|place| place.field("kind").is_some()), "{api_version} {}", info.kind);
        }
    }
    for (api_version, kind) in [
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("v1", "DeleteOptions"),
        ("v1", "Status"),
    ] {
        assert!(schema.kind(api_version, kind).is_some(), "{kind}");
    }
    assert!(schema.kind("v1", "ObjectReference").is_none());
}

#[test]
fn paths_lead_to_types() {
    let pod = Schema::built_in().kind("v1", "Pod").unwrap();
    for (path, go_name, explained) in [
        ("spec", "v1.PodSpec", "PodSpec"),
        ("spec.containers", "[]v1.Container", "[]Container"),
        ("spec.containers.resources.limits", "v1.ResourceList", "map[string]Quantity"),
        ("spec.containers.ports.protocol", "v1.Protocol", "string"),
        ("metadata.labels", "map[string]string", "map[string]string"),
        ("spec.containers.livenessProbe.httpGet.port", "intstr.IntOrString", "IntOrString"),
        ("spec.volumes.configMap.items.mode", "int32", "integer"),
    ] {
        let type_ = pod.walk(path).unwrap();
        assert_eq!(type_.go_name(), go_name, "{path}");
        assert_eq!(type_.explain_name(), explained, "{path}");
    }
    assert!(pod.walk("spec.unicorn").is_none());
    let containers = pod.walk("spec").unwrap().field("containers").unwrap();
    assert_eq!(containers.info().patch_merge_key.as_deref(), Some("name"));
    let ports = pod.walk("spec.containers.ports").unwrap();
    let keys = ListKind::Map(vec!["containerPort".into(), "protocol".into()]);
    assert_eq!(ports.list_kind(), Some(&keys));
    assert_eq!(pod.walk("spec.restartPolicy").unwrap().values().join(","), "Always,Never,OnFailure");
}

#[test]
fn wrong_objects_are_refused_in_upstreams_words() {
    let pod =
        |spec: &str| format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a"}},"spec":{spec}}}"#);
    for (text, expected) in [
        (
            pod(r#"{"containers":[{"imagePullPolcy":"Always","name":"a"}]}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imagePullPolcy""#,
        ),
        (
            r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","spec":{"replicas":"three"}}"#.to_owned(),
            r#"ReplicaSet in version "v1" cannot be handled as a ReplicaSet: json: cannot unmarshal string into Go struct field ReplicaSetSpec.spec.replicas of type int32"#,
        ),
        (
            pod(r#"{"containers":[{"ports":[{"containerPort":"80"}]}]}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"#,
        ),
        (
            pod(r#"{"containers":{"name":"a"}}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"#,
        ),
        (
            pod(r#"{"containers":[{"env":[{"name":"A","value":1}]}]}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string"#,
        ),
        (
            r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"a":1}}"#.to_owned(),
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#,
        ),
        (
            pod(r#"{"containers":[{"env":[{"value":1}],"resources":{"limits":{"cpu":"lots"}}}]}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"#,
        ),
        (
            pod(r#"{"activeDeadlineSeconds":1.5}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64"#,
        ),
        (
            pod(r#"{"priority":3000000000,"unicorn":1}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32"#,
        ),
        (
            r#"{"apiVersion":"v1","kind":"Secret","data":{"a":"!"}}"#.to_owned(),
            r#"Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0"#,
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"creationTimestamp":"today"}}"#.to_owned(),
            r#"Pod in version "v1" cannot be handled as a Pod: parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006""#,
        ),
        (
            pod(r#"{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal bool into Go value of type int32"#,
        ),
    ] {
        let object = json(&text);
        let place = Schema::built_in().of(&object).unwrap();
        let kind = object.text("kind");
        let refused = decode_object(place, kind, &object, None, &[], Strictness::Strict).unwrap_err();
        assert_eq!(refused.message, expected);
    }
}

#[test]
fn patched_trees_are_refused_in_other_words() {
    for (spec, expected) in [
        (r#"{"replicas":"x"}"#, "unrecognized type: int32"),
        (r#"{"replicas":1.5}"#, "cannot convert float64 to int32"),
        (r#"{"paused":1,"replicas":"x"}"#, "unrecognized type: int32"),
        (r#"{"paused":"yes"}"#, "unrecognized type: bool"),
        (r#"{"template":7}"#, "cannot restore struct from: int64"),
        (r#"{"template":{"spec":{"containers":{}}}}"#, "cannot restore slice from map"),
        (r#"{"template":{"metadata":{"labels":["a"]}}}"#, "cannot restore map from slice"),
        (r#"{"template":{"spec":{"containers":[{"name":3}]}}}"#, "cannot convert int64 to string"),
        (r#"{"strategy":{"type":true}}"#, "unrecognized type: string"),
        (r#"{"replicas":3}"#, ""),
    ] {
        let object = object! { "apiVersion" => "apps/v1", "kind" => "Deployment", "spec" => json(spec) };
        let found = conversion_error(Schema::built_in().of(&object).unwrap(), &object);
        assert_eq!(found.unwrap_or_default(), expected, "{spec}");
    }
}

#[test]
fn clients_check_metadata_first() {
    for (text, expected) in [
        (
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"metadata":{"annotations":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.annotations of type string",
        ),
        (r#"{"metadata":{"labels":{"a":"b"},"unicorn":1}}"#, ""),
    ] {
        assert_eq!(check_object_meta(&json(text)).err().unwrap_or_default(), expected);
    }
}

#[test]
fn decoding_prints_as_the_api_server_does() {
    for (before, after) in [
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{},"name":"a"},"spec":{"containers":[{"name":"a","args":[],"env":[{"name":"A","value":""}],"resources":{"limits":{"cpu":0.5,"memory":"1024Mi"}}}],"volumes":[{"name":"v","emptyDir":{}}]}}"#,
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"env":[{"name":"A"}],"name":"a","resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}],"volumes":[{"emptyDir":{},"name":"v"}]},"status":{}}"#,
        ),
        (
            r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"a","creationTimestamp":null},"spec":{"selector":{},"template":{}}}"#,
            r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"a"},"spec":{"selector":{},"template":{"metadata":{},"spec":{"containers":null}}},"status":{"replicas":0}}"#,
        ),
        (
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80}],"selector":null}}"#,
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80,"targetPort":0}]},"status":{"loadBalancer":{}}}"#,
        ),
    ] {
        let object = json(before);
        let decoded = decode(Schema::built_in().of(&object).unwrap(), &object, &[]);
        assert_eq!((decoded.errors, decoded.strict), (vec![], vec![]));
        assert_eq!(decoded.value.to_string(), after);
        // What has been printed once does not change again, and is not copied.
        let again = decode(Schema::built_in().of(&object).unwrap(), &decoded.value, &[]);
        assert!(again.value.is_same(&decoded.value));
    }
}

#[test]
fn warnings_instead_of_refusals() {
    let object = json(r#"{"apiVersion":"v1","kind":"Pod","spec":{"b":1,"a":{}},"x":2}"#);
    let place = Schema::built_in().of(&object).unwrap();
    let duplicates = ["spec.nodeName".to_owned()];
    let (value, warnings) = decode(place, &object, &duplicates).into_result(Strictness::Warn).unwrap();
    assert_eq!(
        warnings,
        [
            r#"unknown field "spec.a""#,
            r#"unknown field "spec.b""#,
            r#"unknown field "x""#,
            r#"duplicate field "spec.nodeName""#
        ]
    );
    assert!(!value.has("x"));
    assert!(decode(place, &object, &[]).into_result(Strictness::Ignore).unwrap().1.is_empty());
}

#[test]
fn a_custom_resource_is_pruned_by_its_own_schema() {
    let schema = object! {
        "type" => "object",
        "properties" => object! {
            "spec" => object! {
                "type" => "object",
                "required" => array!["size"],
                "properties" => object! {
                    "size" => object! { "type" => "integer" },
                    "free" => object! { "type" => "object", "x-kubernetes-preserve-unknown-fields" => true },
                    "parts" => object! {
                        "type" => "array",
                        "x-kubernetes-list-type" => "map",
                        "x-kubernetes-list-map-keys" => array!["name"],
                        "items" => object! {
                            "type" => "object",
                            "properties" => object! { "name" => object! { "type" => "string" } },
                        },
                    },
                },
            },
        },
    };
    let atlas = Schema::structural("shop.example.com/v1", "Widget", &schema);
    let widget = json(
        r#"{"apiVersion":"shop.example.com/v1","kind":"Widget","metadata":{"name":"a","labels":{}},"spec":{"size":"big","free":{"x":1},"parts":[{"name":"n","q":1}],"other":[]}}"#,
    );
    let decoded = decode(atlas.of(&widget).unwrap(), &widget, &[]);
    let notes: Vec<&str> = decoded.strict.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(notes, ["spec.other", "spec.parts[0].q"]);
    assert_eq!(
        decoded.value.at("spec").to_string(),
        r#"{"free":{"x":1},"parts":[{"name":"n"}],"size":"big"}"#
    );
    let parts = atlas.of(&widget).unwrap().walk("spec").unwrap().step("parts").unwrap();
    assert_eq!(parts.list_kind(), Some(&ListKind::Map(vec!["name".into()])));
}

#[test]
fn base64_is_checked_as_go_does() {
    let secret =
        |data: &str| object! { "apiVersion" => "v1", "kind" => "Secret", "data" => object! { "a" => data } };
    for (data, message) in [
        ("", ""),
        ("YQ==", ""),
        ("YWI=", ""),
        ("YWJj\nYWJj", ""),
        ("YQ", "illegal base64 data at input byte 0"),
        ("YQ=", "illegal base64 data at input byte 3"),
        ("YWJj!", "illegal base64 data at input byte 4"),
        ("YWJjYQ", "illegal base64 data at input byte 4"),
        ("=", "illegal base64 data at input byte 0"),
    ] {
        let object = secret(data);
        let decoded = decode(Schema::built_in().of(&object).unwrap(), &object, &[]);
        let found = decoded.errors.first().map(|error| error.message.as_str()).unwrap_or("");
        assert_eq!(found, message, "{data:?}");
    }
}

/// Without what the recorder took out of the objects (and the empty map that it left behind).
fn scrub(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::array(items.iter().map(scrub)),
        Value::Object(map) => Value::from(
            map.iter()
                .filter(|(key, _)| {
                    !["uid", "resourceVersion", "imageID", "containerID", "creationTimestamp"]
                        .contains(&key.as_str())
                })
                .filter(|(key, value)| !(key.as_str() == "annotations" && value.is_empty()))
                .map(|(key, value)| (key.clone(), scrub(value)))
                .collect::<crate::api::Map>(),
        ),
        other => other.clone(),
    }
}

/// What a real API server printed is already in printed form: decoding it again changes nothing.
#[test]
fn what_the_real_server_printed_stays_as_it_is() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/valid");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let case = json(&std::fs::read_to_string(&path).unwrap());
        for object in case.items("objects") {
            let Some(place) = Schema::built_in().of(object) else { continue };
            let decoded = decode(place, object, &[]);
            assert_eq!(decoded.strict, vec![], "{path:?}");
            let errors = decoded.errors.iter().filter(|error| !error.message.contains("<time>"));
            assert_eq!(errors.count(), 0, "{path:?} {:?}", decoded.errors);
            assert_eq!(scrub(&decoded.value).to_string(), scrub(object).to_string(), "{path:?}");
            checked += 1;
        }
    }
    assert!(checked > 400, "{checked}");
}

/// Words for a name that is not there would never be shown.
#[test]
fn every_description_is_short_and_of_something_that_is_there() {
    let schema = Schema::built_in();
    let mut shown: Vec<*const u8> = Vec::new();
    for id in 0..schema.types.len() {
        let type_ = SchemaType { schema, id: TypeId(id as u32) };
        if type_.is_kind() {
            shown.push(type_.description().as_ptr());
        }
        shown.extend(type_.fields().map(|field| type_.field_description(&field.info().name).as_ptr()));
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for (package, type_, name, text) in descriptions::lines() {
        let place = format!("{package}.{type_}.{name}");
        if !seen.insert(place.clone()) {
            wrong.push(format!("twice: {place}"));
        } else if text.is_empty() {
            // A type whose fields alone are described.
            if name != descriptions::OWN {
                wrong.push(format!("empty: {place}"));
            }
        } else if text.chars().count() > 200 || !text.ends_with(['.', '?']) {
            wrong.push(format!("no short sentence: {place}"));
        } else if !shown.contains(&descriptions::text(package, type_, name).as_ptr()) {
            wrong.push(format!("never shown: {place}"));
        }
    }
    for (api_version, kind) in schema.kinds() {
        if schema.kind(api_version, kind).is_none_or(|kind| kind.description().is_empty()) {
            wrong.push(format!("not described: {api_version} {kind}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_field_is_described_by_its_own_words_or_its_types_or_by_common_ones() {
    let pod = Schema::built_in().kind("v1", "Pod").unwrap();
    for (path, name, begins) in [
        ("", "kind", "What kind of object"),
        ("spec", "containers", "The containers, "),
        ("spec", "restartPolicy", "Whether ended containers"),
        ("spec", "unicorn", ""),
    ] {
        let text = pod.walk(path).unwrap().field_description(name);
        assert!(text.starts_with(begins) && text.is_empty() == begins.is_empty(), "{path}.{name}: {text}");
    }
    let stateful_set = Schema::built_in().kind("apps/v1", "StatefulSet").unwrap();
    let claims = stateful_set.walk("spec").unwrap().field_description("volumeClaimTemplates");
    let definitions = {
        let mut printer = openapi::Printer::new(openapi::Dialect::V3);
        printer.kind("apps/v1", "StatefulSet");
        printer.finish()
    };
    let definitions = definitions.as_object().unwrap();
    let spec = definitions.get("io.k8s.api.apps.v1.StatefulSetSpec").unwrap();
    assert_eq!(spec.text("properties.volumeClaimTemplates.description"), claims);
    assert!(!spec.has("description"), "the fields of that type have these words");
    let claim = definitions.get("io.k8s.api.core.v1.PersistentVolumeClaim").unwrap();
    assert!(claim.has("description") && claim.text("description") != claims);
}
