//! Tables: as many cells as columns for every kind, and the one word for a pod.

use crate::api::Value;
use crate::api::kind::Registry;
use crate::apiserver::form::Form;
use crate::apiserver::tables::table;
use crate::message::rest::{Options, Request, Resource, User, Verb};
use crate::object;
use crate::sim::Time;
use std::sync::Arc;

fn form(group: &str, version: &str, plural: &str) -> Form {
    let registry = Registry::new();
    let info = registry.resource(group, plural).unwrap();
    let request = Request {
        id: 0,
        user: Arc::new(User::default()),
        user_agent: "".into(),
        verb: Verb::List,
        resource: Resource::new(group, version, plural),
        namespace: "".into(),
        name: "".into(),
        subresource: "".into(),
        path: "".into(),
        options: Options { as_table: true, ..Options::default() },
        body: Value::Null,
    };
    Form::new(info, &request)
}

#[test]
fn every_kind_has_as_many_cells_as_columns() {
    for info in Registry::new().resources() {
        let form = form(&info.group, info.preferred_version(), &info.plural);
        let empty = object! { "metadata" => object! { "name" => "x" } };
        let table = table(&form, &[empty], Value::object(), Time::ZERO, true);
        let (columns, cells) =
            (table.items("columnDefinitions").len(), table.items("rows")[0].items("cells").len());
        assert_eq!(columns, cells, "{}", info.kind);
    }
}

#[test]
fn pods_are_summed_up_as_upstream_sums_them_up() {
    // (spec and status beside one container `c`; READY, STATUS, RESTARTS a minute after the epoch)
    let cases = [
        (r#"{"status":{"phase":"Pending"}}"#, "0/1 Pending 0"),
        (
            r#"{"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}}"#,
            "0/1 SchedulingGated 0",
        ),
        (
            r#"{"status":{"phase":"Running","containerStatuses":[{"name":"c","ready":true,"restartCount":0,"state":{"running":{}}}]}}"#,
            "1/1 Running 0",
        ),
        (
            r#"{"status":{"phase":"Running","containerStatuses":[{"name":"c","ready":false,"restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"finishedAt":"2026-01-01T08:00:30Z","exitCode":1}}}]}}"#,
            "0/1 CrashLoopBackOff 3 (30s ago)",
        ),
        (
            r#"{"status":{"phase":"Succeeded","containerStatuses":[{"name":"c","state":{"terminated":{"reason":"Completed","exitCode":0}}}]}}"#,
            "0/1 Completed 0",
        ),
        (
            r#"{"status":{"phase":"Failed","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":3}}}]}}"#,
            "0/1 ExitCode:3 0",
        ),
        (
            r#"{"spec":{"initContainers":[{"name":"i"},{"name":"j"}]},"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":0,"state":{"running":{}}}]}}"#,
            "0/1 Init:0/2 0",
        ),
        (
            r#"{"spec":{"initContainers":[{"name":"i"}]},"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}}"#,
            "0/1 Init:CrashLoopBackOff 2",
        ),
        (
            r#"{"spec":{"initContainers":[{"name":"s","restartPolicy":"Always"}]},"status":{"phase":"Running","initContainerStatuses":[{"name":"s","ready":true,"started":true,"restartCount":0,"state":{"running":{}}}],"containerStatuses":[{"name":"c","ready":true,"restartCount":0,"state":{"running":{}}}]}}"#,
            "2/2 Running 0",
        ),
        (
            r#"{"metadata":{"deletionTimestamp":"2026-01-01T08:00:30Z"},"status":{"phase":"Running","containerStatuses":[{"name":"c","ready":true,"state":{"running":{}}}]}}"#,
            "1/1 Terminating 0",
        ),
        (
            r#"{"metadata":{"deletionTimestamp":"2026-01-01T08:00:30Z"},"status":{"phase":"Running","reason":"NodeLost"}}"#,
            "0/1 Unknown 0",
        ),
    ];
    let form = form("", "v1", "pods");
    for (text, expected) in cases {
        let mut pod: Value = serde_json::from_str(text).unwrap();
        pod.set("metadata.name", "p");
        pod.set("spec.containers", crate::array![object! { "name" => "c" }]);
        let table = table(&form, &[pod], Value::object(), Time::from_secs(60), true);
        let cells: Vec<&str> =
            table.items("rows")[0].items("cells")[1..4].iter().filter_map(Value::as_str).collect();
        assert_eq!(cells.join(" "), expected, "{text}");
    }
}
