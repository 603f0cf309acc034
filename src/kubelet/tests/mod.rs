//! The kubelet with a real engine and a scripted API server.

mod conformance;
mod lifecycle;
mod site;
mod trouble;

use crate::api::{Value, meta};
use site::Site;

const TOKEN_VOLUME: &str = r#"{"name":"kube-api-access-x","projected":{"defaultMode":420,"sources":[
    {"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},
    {"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},
    {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}]}}"#;

fn with_token(containers: &str) -> String {
    format!(r#"{{"containers":[{containers}],"volumes":[{TOKEN_VOLUME}]}}"#)
}

#[test]
fn a_node_registers_gets_its_network_and_keeps_its_lease() {
    let mut site = Site::new(false);
    let node = |site: &Site| {
        site.engine.world.server.objects[&("nodes".into(), "".into(), "worker-1".into())].clone()
    };
    assert!(meta::is_condition_true(&node(&site), "Ready"), "{}", node(&site));
    let events = site.events();
    assert!(events.contains("Normal NodeReady  Node worker-1 status is now: NodeReady"), "{events}");
    let renewed = |site: &Site| {
        let key = ("leases".into(), "kube-node-lease".into(), "worker-1".into());
        site.engine.world.server.objects[&key].text("spec.renewTime").to_string()
    };
    let before = renewed(&site);
    site.wait(10);
    assert_ne!(before, renewed(&site));
    // The status is reported once it has changed, and then every five minutes or so.
    site.engine.world.server.log.clear();
    site.wait(100);
    assert_eq!(site.log(), "");
    site.wait(400);
    assert_eq!(site.log(), "patch nodes/status worker-1 200");
}

#[test]
fn a_hollow_pod_leaves_the_requests_and_the_status_that_were_recorded() {
    let mut site = Site::new(true);
    let container = r#"{"name":"nginx","image":"nginx:1.27","ports":[{"containerPort":80}],
        "volumeMounts":[{"name":"kube-api-access-x","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","readOnly":true}]}"#;
    site.pod("nginx", &with_token(container));
    let took = site.wait_for(5, |site| site.phase("nginx") == "Running");
    assert!((250..600).contains(&took), "{took} ms");
    site.wait(100);
    assert_eq!(
        site.log(),
        "patch pods/status nginx 200\ncreate serviceaccounts/token default 201\npatch pods/status nginx 200\npatch pods/status nginx 200"
    );
    assert_eq!(site.events(), "");
    let status = site.status("nginx");
    let mut shown = status.clone();
    shown.remove("conditions");
    shown.remove("startTime");
    shown.at_mut("containerStatuses").make_array()[0].set("state.running.startedAt", "<time>");
    let expected: Value = serde_json::from_str(
        r#"{"containerStatuses":[{"containerID":"fakeRuntime://nginx_default_uid-nginx_0_nginx_0","image":"nginx:1.27","imageID":"nginx:1.27","lastState":{},"name":"nginx","ready":true,"resources":{},"restartCount":0,"state":{"running":{"startedAt":"<time>"}},
            "volumeMounts":[{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access-x","readOnly":true,"recursiveReadOnly":"Disabled"}]}],
            "hostIP":"192.168.0.11","hostIPs":[{"ip":"192.168.0.11"}],"observedGeneration":1,"phase":"Running","podIP":"192.168.192.168","podIPs":[{"ip":"192.168.192.168"}],"qosClass":"BestEffort","resources":{}}"#,
    )
    .unwrap();
    assert_eq!(shown.to_string(), expected.to_string());
    assert_eq!(
        site.conditions("nginx"),
        "PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True PodScheduled=True"
    );
    // Deleting: two statuses, then the deletion.
    site.engine.world.server.log.clear();
    site.delete("nginx", 30);
    site.wait_for(3, |site| site.find("nginx").is_none());
    assert_eq!(site.log(), "patch pods/status nginx 200\npatch pods/status nginx 200\ndelete pods nginx 200");
    site.wait(3);
    assert_eq!(site.engine.world.kubelet.workers().count(), 0);
    assert_eq!(site.engine.world.engine.sandboxes().count(), 0);
}

#[test]
fn hollow_init_containers_never_end() {
    let mut site = Site::new(true);
    site.pod(
        "p",
        r#"{"initContainers":[{"name":"setup","image":"busybox"},{"name":"proxy","image":"nginx","restartPolicy":"Always"}],
            "containers":[{"name":"web","image":"httpd"}]}"#,
    );
    site.wait(10);
    assert_eq!(site.phase("p"), "Pending");
    assert_eq!(
        site.containers("p"),
        "setup:running 0 proxy:waiting(PodInitializing) 0 web:waiting(PodInitializing) ready 0"
    );
    assert_eq!(
        site.conditions("p"),
        "PodReadyToStartContainers=True Initialized=False(ContainersNotInitialized) Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady) PodScheduled=True"
    );
    let status = site.status("p");
    assert_eq!(
        meta::find_condition(status.items("conditions"), "Initialized").unwrap().text("message"),
        "containers with incomplete status: [setup proxy]"
    );
}

#[test]
fn a_mount_below_a_volumes_root_is_too_much_for_a_hollow_node() {
    let mut site = Site::new(true);
    site.pod(
        "p",
        r#"{"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"web","image":"nginx","volumeMounts":[{"name":"v","mountPath":"/x","subPath":"y"}]}]}"#,
    );
    site.wait(30);
    let status = site.status("p");
    assert_eq!(
        status.items("containerStatuses")[0].at("state").to_string(),
        r#"{"waiting":{"message":"not implemented","reason":"CreateContainerConfigError"}}"#
    );
    assert_eq!(
        (site.phase("p").as_str(), site.containers("p").as_str()),
        ("Pending", "web:waiting(CreateContainerConfigError) ready 0")
    );
}
