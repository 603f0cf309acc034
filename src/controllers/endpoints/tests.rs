//! Services, their pods and what is written of them, in a toy world.

use super::{EndpointSliceController, EndpointSliceMirroringController, EndpointsController};
use crate::api::{Value, meta};
use crate::client::Controller;
use crate::client::testing::{Manager, Sandbox};
use crate::{array, object};

fn service(selector: Value) -> Value {
    object! {
        "kind" => "Service",
        "metadata" => object! { "name" => "web", "namespace" => "a", "labels" => object! { "tier" => "front" } },
        "spec" => object! {
            "clusterIP" => "10.96.0.7", "ipFamilies" => array!["IPv4"], "selector" => selector,
            "ports" => array![object! { "name" => "http", "port" => 80, "targetPort" => "web", "protocol" => "TCP" }],
        },
    }
}
fn pod(name: &str, ip: &str, ready: &str) -> Value {
    let mut pod = object! {
        "kind" => "Pod",
        "metadata" => object! { "name" => name, "namespace" => "a", "labels" => object! { "app" => "web" } },
        "spec" => object! { "containers" => array![object! {
            "ports" => array![object! { "name" => "web", "containerPort" => 8080, "protocol" => "TCP" }],
        }] },
        "status" => object! { "phase" => "Running", "conditions" => array![
            object! { "type" => "Ready", "status" => ready },
        ] },
    };
    if !ip.is_empty() {
        pod.set("status.podIP", ip).set("status.podIPs", array![object! { "ip" => ip }]);
    }
    pod
}
fn sandbox(objects: Vec<Value>) -> Sandbox {
    let controllers: Vec<Box<dyn Controller>> = vec![
        Box::new(EndpointsController::default()),
        Box::new(EndpointSliceController::default()),
        Box::new(EndpointSliceMirroringController::default()),
    ];
    let mut sandbox = Sandbox::new(objects, vec![Manager::of(controllers)]);
    sandbox.run(2);
    sandbox
}

#[test]
fn a_service_lists_its_pods_on_both_kinds_of_page() {
    let selector = object! { "app" => "web" };
    let objects = vec![
        service(selector),
        pod("one", "10.244.0.1", "True"),
        pod("two", "10.244.0.2", "False"),
        pod("three", "", "False"),
    ];
    let mut sandbox = sandbox(objects);
    let page = sandbox.server().get("endpoints", "a/web").unwrap().clone();
    let subset = &page.items("subsets")[0];
    assert_eq!(subset.items("addresses").len(), 1);
    assert_eq!(subset.items("notReadyAddresses")[0].text("ip"), "10.244.0.2");
    assert_eq!(subset.items("ports")[0].integer("port"), Some(8080));
    assert_eq!(meta::label(&page, "tier"), Some("front"));
    let ready = |sandbox: &Sandbox| -> Vec<bool> {
        let slices = sandbox.server().all("endpointslices");
        assert_eq!(slices.len(), 1);
        slices[0].items("endpoints").iter().map(|endpoint| endpoint.is_true("conditions.ready")).collect()
    };
    assert_eq!(ready(&sandbox).len(), 2);
    sandbox.act(|server, _| {
        server.change("pods", "a/two", |pod| {
            pod.set("status.conditions", array![object! { "type" => "Ready", "status" => "True" }]);
        });
    });
    sandbox.run(1);
    assert_eq!(ready(&sandbox), [true, true]);
    sandbox.act(|server, _| {
        server.remove(&"pods".into(), "a/one");
        server.remove(&"pods".into(), "a/two");
    });
    sandbox.run(1);
    assert!(ready(&sandbox).is_empty());
    assert!(!sandbox.server().get("endpoints", "a/web").unwrap().has("subsets"));
}

#[test]
fn an_empty_service_has_one_empty_slice_and_many_pods_several() {
    let mut sandbox = sandbox(vec![service(object! { "app" => "web" })]);
    let slices = sandbox.server().all("endpointslices");
    assert_eq!(slices.len(), 1);
    assert!(slices[0].at("endpoints").is_null());
    assert!(slices[0].has("metadata.annotations"));
    sandbox.act(|server, now| {
        for number in 0..250 {
            server.create(pod(&format!("p{number}"), &format!("10.244.1.{number}"), "True"), now);
        }
    });
    sandbox.run(2);
    let mut sizes: Vec<usize> =
        sandbox.server().all("endpointslices").iter().map(|slice| slice.items("endpoints").len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
}

#[test]
fn hand_written_endpoints_are_mirrored() {
    let endpoints = object! {
        "kind" => "Endpoints", "metadata" => object! { "name" => "web", "namespace" => "a" },
        "subsets" => array![object! {
            "addresses" => array![object! { "ip" => "192.0.2.1" }],
            "ports" => array![object! { "port" => 5432, "protocol" => "TCP" }],
        }],
    };
    let sandbox = sandbox(vec![service(Value::Null), endpoints]);
    let slices = sandbox.server().all("endpointslices");
    assert_eq!(slices.len(), 1);
    assert_eq!(slices[0].items("endpoints")[0].items("addresses"), [Value::from("192.0.2.1")]);
    assert!(slices[0].text("metadata.name").starts_with("web-"));
}
