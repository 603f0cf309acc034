//! Pods that come up, run and go as they should.

use crate::api::{Value, meta};
use crate::message::rest::WatchType;
use crate::object;

use super::site::{Command, Site};
use super::with_token;

#[test]
fn a_pod_comes_up_with_the_events_words() {
    let mut site = Site::new(false);
    site.pod("web", &with_token(r#"{"name":"nginx","image":"nginx:1.27"}"#));
    let took = site.wait_for(20, |site| site.phase("web") == "Running");
    assert!((3000..8000).contains(&took), "{took} ms");
    let events = site.events();
    let lines: Vec<&str> = events.lines().filter(|line| line.contains("containers{nginx}")).collect();
    assert_eq!(lines[0], "Normal Pulling containers{nginx} Pulling image \"nginx:1.27\"");
    assert!(
        lines[1].starts_with("Normal Pulled containers{nginx} Successfully pulled image \"nginx:1.27\" in "),
        "{}",
        lines[1]
    );
    assert!(lines[1].ends_with(" bytes."), "{}", lines[1]);
    assert_eq!(
        lines[2..],
        [
            "Normal Created containers{nginx} Container created",
            "Normal Started containers{nginx} Container started"
        ]
    );
    let status = site.status("web");
    assert_eq!(status.text("podIP"), "10.244.1.2");
    let container = &status.items("containerStatuses")[0];
    assert_eq!(container.text("image"), "docker.io/library/nginx:1.27");
    assert!(container.text("imageID").starts_with("docker.io/library/nginx@sha256:"));
    assert!(container.is_true("started") && container.is_true("ready"));
    // A second pod finds the image.
    site.pod("again", r#"{"containers":[{"name":"nginx","image":"nginx:1.27"}]}"#);
    let took = site.wait_for(20, |site| site.phase("again") == "Running");
    assert!(took < 1500, "{took} ms");
    assert!(site.events().contains("Normal Pulled containers{nginx} Container image \"nginx:1.27\" already present on machine and can be accessed by the pod"));
}

#[test]
fn pods_end_as_their_containers_do() {
    // (restart policy, command, phase in the end, containers, Ready's reason)
    let cases = [
        ("Never", r#"["true"]"#, "Succeeded", "c:terminated(Completed) 0", "PodCompleted"),
        ("Never", r#"["false"]"#, "Failed", "c:terminated(Error) 0", "PodFailed"),
        ("OnFailure", r#"["true"]"#, "Succeeded", "c:terminated(Completed) 0", "PodCompleted"),
        (
            "Always",
            r#"["sh","-c","sleep 3"]"#,
            "Running",
            "c:waiting(CrashLoopBackOff) 1",
            "ContainersNotReady",
        ),
    ];
    for (policy, command, phase, containers, reason) in cases {
        let mut site = Site::new(false);
        site.pod("p", &format!(r#"{{"restartPolicy":"{policy}","containers":[{{"name":"c","image":"busybox","command":{command}}}]}}"#));
        site.wait_for(60, |site| site.phase("p") == phase && site.containers("p") == containers);
        let status = site.status("p");
        let ready = meta::find_condition(status.items("conditions"), "Ready").unwrap().clone();
        assert_eq!(ready.text("reason"), reason, "{policy} {command}");
        if policy != "Always" {
            // The sandbox is taken down, the pod stays on file.
            site.wait(5);
            assert!(site.engine.world.engine.sandboxes().all(|sandbox| !sandbox.is_ready()));
            assert_eq!(site.phase("p"), phase);
            site.delete("p", 30);
            site.wait_for(5, |site| site.find("p").is_none());
        }
    }
}

#[test]
fn init_containers_come_in_order_and_sidecars_stay() {
    let mut site = Site::new(false);
    site.pod(
        "p",
        r#"{"initContainers":[
            {"name":"one","image":"busybox","command":["sh","-c","sleep 2"]},
            {"name":"side","image":"nginx","restartPolicy":"Always"},
            {"name":"two","image":"busybox","command":["sh","-c","sleep 1"]}],
            "containers":[{"name":"app","image":"busybox","command":["sleep","20"]}],"restartPolicy":"Never"}"#,
    );
    site.wait_for(60, |site| site.phase("p") == "Running");
    assert_eq!(
        site.containers("p"),
        "one:terminated(Completed) ready 0 side:running ready 0 two:terminated(Completed) ready 0 app:running ready 0"
    );
    let started: Vec<String> = site
        .events()
        .lines()
        .filter(|line| line.contains("Started"))
        .map(|line| line.split_whitespace().nth(2).unwrap_or("").to_string())
        .collect();
    assert_eq!(
        started,
        ["initContainers{one}", "initContainers{side}", "initContainers{two}", "containers{app}"]
    );
    // When the app has ended, so must the sidecar.
    site.wait_for(40, |site| site.phase("p") == "Succeeded");
    assert_eq!(
        site.containers("p"),
        "one:terminated(Completed) ready 0 side:terminated(Completed) 0 two:terminated(Completed) ready 0 app:terminated(Completed) 0"
    );
}

#[test]
fn an_app_waits_for_what_its_init_container_waits_for() {
    let mut site = Site::new(false);
    site.pod(
        "p",
        r#"{"volumes":[{"name":"db","emptyDir":{}}],
            "initContainers":[{"name":"wait","image":"busybox","command":["sh","-c","until ls /db/dir ; do sleep 5; done; "],"volumeMounts":[{"name":"db","mountPath":"/db"}]}],
            "containers":[{"name":"app","image":"nginx"}]}"#,
    );
    site.wait(60);
    assert_eq!(site.containers("p"), "wait:running 0 app:waiting(PodInitializing) 0");
    let id = site.engine.world.engine.containers().next().unwrap().id.clone();
    let logs: Vec<String> = site
        .engine
        .world
        .engine
        .containers()
        .next()
        .unwrap()
        .logs
        .iter()
        .map(|(_, l)| l.to_string())
        .collect();
    assert!(logs.len() > 5 && logs[0] == "ls: /db/dir: No such file or directory", "{id}: {logs:?}");
}

#[test]
fn a_container_that_crashes_waits_longer_each_time() {
    let mut site = Site::new(false);
    site.pod("p", r#"{"containers":[{"name":"c","image":"busybox","command":["sh","-c","exit 3"]}]}"#);
    let mut restarts = Vec::new();
    let from = site.engine.now().as_secs();
    for wanted in 1..=5 {
        site.wait_for(700, |site| {
            site.status("p")
                .items("containerStatuses")
                .first()
                .is_some_and(|c| c.integer("restartCount") == Some(wanted))
        });
        restarts.push(site.engine.now().as_secs() - from);
    }
    let waits: Vec<u64> = restarts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // 10, 20, 40, 80 seconds and up to half as much again.
    for (wait, least) in waits.iter().zip([10, 20, 40, 80]) {
        assert!((least..=least * 3 / 2 + 3).contains(wait), "{waits:?}");
    }
    site.wait(20);
    let status = site.status("p");
    let container = &status.items("containerStatuses")[0];
    assert_eq!(container.text("state.waiting.reason"), "CrashLoopBackOff");
    assert!(
        container
            .text("state.waiting.message")
            .starts_with("back-off 2m40s restarting failed container=c pod=p_default(uid-p)"),
        "{container}"
    );
    assert_eq!(container.integer("lastState.terminated.exitCode"), Some(3));
    assert!(site.events().contains(
        "Warning BackOff containers{c} Back-off restarting failed container c in pod p_default(uid-p)"
    ));
}

#[test]
fn deletion_is_graceful() {
    // (container, seconds from the deletion until the pod is gone: at least, at most)
    let cases = [
        (r#"{"name":"c","image":"nginx"}"#, 0, 2),
        (r#"{"name":"c","image":"busybox","command":["sleep","3600"]}"#, 30, 32),
        (r#"{"name":"c","image":"nginx","lifecycle":{"preStop":{"sleep":{"seconds":5}}}}"#, 5, 7),
        (r#"{"name":"c","image":"nginx","lifecycle":{"preStop":{"exec":{"command":["sleep","8"]}}}}"#, 8, 10),
        (
            r#"{"name":"c","image":"busybox","command":["sleep","3600"],"lifecycle":{"preStop":{"exec":{"command":["sleep","100"]}}}}"#,
            32,
            34,
        ),
    ];
    for (container, least, most) in cases {
        let mut site = Site::new(false);
        site.pod("p", &format!(r#"{{"terminationGracePeriodSeconds":30,"containers":[{container}]}}"#));
        site.wait_for(60, |site| site.phase("p") == "Running");
        site.wait(2);
        site.delete("p", 30);
        let took = site.wait_for(60, |site| site.find("p").is_none());
        assert!((least * 1000..=most * 1000).contains(&took), "{container}: {took} ms");
        assert!(site.events().contains("Normal Killing containers{c} Stopping container c"));
        site.wait(5);
        assert_eq!(site.engine.world.engine.sandboxes().count(), 0);
        assert_eq!(site.engine.world.engine.network().unwrap().ipam[0].reserved().count(), 0);
    }
}

#[test]
fn sidecars_leave_after_the_apps() {
    let mut site = Site::new(false);
    site.pod(
        "p",
        r#"{"terminationGracePeriodSeconds":30,"initContainers":[{"name":"side","image":"nginx","restartPolicy":"Always"}],
            "containers":[{"name":"app","image":"busybox","command":["sh","-c","trap 'sleep 3; exit 0' TERM; while true; do sleep 1; done"]}]}"#,
    );
    site.wait_for(60, |site| site.phase("p") == "Running");
    site.delete("p", 30);
    site.wait_for(20, |site| site.phase("p") == "Succeeded");
    let status = site.status("p");
    let finished = |list: &str| status.items(list)[0].text("state.terminated.finishedAt").to_string();
    assert!(finished("initContainerStatuses") >= finished("containerStatuses"));
    let container = &status.items("containerStatuses")[0];
    assert_eq!(container.integer("state.terminated.exitCode"), Some(0), "{container}");
}

#[test]
fn what_is_mounted_can_be_read_and_is_renewed() {
    let mut site = Site::new(false);
    let config = |value: &str| {
        object! { "metadata" => object! { "namespace" => "default", "name" => "conf" }, "data" => object! { "key" => value } }
    };
    site.write("configmaps", config("one"), WatchType::Added);
    site.pod(
        "p",
        r#"{"volumes":[{"name":"v","configMap":{"name":"conf"}}],"containers":[{"name":"c","image":"busybox",
            "env":[{"name":"FROM","valueFrom":{"configMapKeyRef":{"name":"conf","key":"key"}}},{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},{"name":"BOTH","value":"$(FROM)-$(IP)"}],
            "command":["sh","-c","echo $BOTH; while true; do cat /conf/key; echo; sleep 10; done"],"volumeMounts":[{"name":"v","mountPath":"/conf"}]}]}"#,
    );
    site.wait_for(20, |site| site.phase("p") == "Running");
    let logs = |site: &Site| -> Vec<String> {
        site.engine
            .world
            .engine
            .containers()
            .next()
            .unwrap()
            .logs
            .iter()
            .map(|(_, line)| line.to_string())
            .collect()
    };
    assert_eq!(logs(&site), ["one-10.244.1.2", "one"]);
    site.write("configmaps", config("two"), WatchType::Modified);
    site.wait(200);
    assert_eq!(logs(&site).last().map(String::as_str), Some("two"));
}

#[test]
fn a_static_pod_has_a_mirror_and_comes_back() {
    let manifest: Value = serde_json::from_str(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"etcd","namespace":"kube-system"},
            "spec":{"hostNetwork":true,"containers":[{"name":"etcd","image":"registry.k8s.io/etcd:3.6.8-0","command":["etcd"]}]}}"#,
    )
    .unwrap();
    let mut site = Site::with(
        false,
        |config| drop(config.manifests.insert("etcd.yaml".into(), manifest)),
        |engine| engine.images.push("registry.k8s.io/etcd:3.6.8-0".into()),
    );
    let key = ("pods".into(), "kube-system".into(), "etcd-worker-1".into());
    let mirror = |site: &Site| site.engine.world.server.objects.get(&key).cloned().unwrap_or_default();
    site.wait_for(20, |site| mirror(site).text("status.phase") == "Running");
    let pod = mirror(&site);
    assert_eq!(meta::annotation(&pod, "kubernetes.io/config.source"), Some("file"));
    assert_eq!(
        meta::annotation(&pod, "kubernetes.io/config.mirror"),
        meta::annotation(&pod, "kubernetes.io/config.hash")
    );
    assert_eq!(meta::owner_references(&pod)[0].text("kind"), "Node");
    assert_eq!(pod.text("status.podIP"), "192.168.0.11");
    let uid = meta::uid(&pod).to_string();
    site.write("pods", pod, WatchType::Deleted);
    site.wait_for(20, |site| mirror(site).text("status.phase") == "Running");
    assert_ne!(meta::uid(&mirror(&site)), uid);
    let containers: Vec<u32> = site.engine.world.engine.containers().map(|c| c.config.attempt).collect();
    assert_eq!(containers, [0]);
}

#[test]
fn a_restarted_kubelet_finds_its_pods_running() {
    let mut site = Site::new(false);
    site.pod("p", r#"{"containers":[{"name":"c","image":"nginx","readinessProbe":{"httpGet":{"path":"/","port":80},"periodSeconds":5,"timeoutSeconds":1,"successThreshold":1,"failureThreshold":3}}]}"#);
    site.wait_for(30, |site| site.containers("p") == "c:running ready 0");
    site.pod("gone", r#"{"containers":[{"name":"c","image":"nginx"}]}"#);
    site.wait_for(30, |site| site.phase("gone") == "Running");
    site.command(Command::StopProcess { process: "kubelet".into() });
    let gone = site.find("gone").unwrap().clone();
    site.write("pods", gone, WatchType::Deleted);
    site.engine.world.server.log.clear();
    site.command(Command::StartProcess { process: "kubelet".into() });
    site.wait(30);
    assert_eq!(site.containers("p"), "c:running ready 0");
    assert!(!site.log().contains("pods/status"), "{}", site.log());
    // What nobody wants any more is taken down.
    assert_eq!(site.engine.world.engine.sandboxes().count(), 1);
}

#[test]
fn after_a_power_loss_everything_starts_again() {
    let mut site = Site::new(false);
    site.pod("p", r#"{"initContainers":[{"name":"i","image":"busybox","command":["true"]}],"containers":[{"name":"c","image":"nginx"}]}"#);
    site.wait_for(30, |site| site.phase("p") == "Running");
    site.wait(5);
    site.command(Command::StopHost { host: "worker-1".into() });
    site.wait_for(60, |site| {
        site.containers("p") == "i:terminated(Completed) ready 1 c:running ready 1"
            || site.containers("p") == "i:terminated(Completed) ready 0 c:running ready 1"
    });
    assert!(
        site.events()
            .contains("Normal SandboxChanged  Pod sandbox changed, it will be killed and re-created.")
    );
    let status = site.status("p");
    assert_eq!(status.items("containerStatuses")[0].text("lastState.terminated.reason"), "Unknown");
    assert_ne!(status.text("podIP"), "10.244.1.2");
}

#[test]
fn last_words_are_kept() {
    for (policy, script, message) in [
        ("File", "echo -n out of tea > /dev/termination-log; exit 1", "out of tea"),
        ("File", "echo only in the log; exit 1", ""),
        ("FallbackToLogsOnError", "echo only in the log; exit 1", "only in the log\n"),
        ("FallbackToLogsOnError", "echo fine; exit 0", ""),
    ] {
        let mut site = Site::new(false);
        site.pod(
            "p",
            &format!(
                r#"{{"restartPolicy":"Never","containers":[{{"name":"c","image":"busybox","command":["sh","-c","{script}"],"terminationMessagePolicy":"{policy}"}}]}}"#
            ),
        );
        site.wait_for(20, |site| matches!(site.phase("p").as_str(), "Failed" | "Succeeded"));
        let status = site.status("p");
        assert_eq!(
            status.items("containerStatuses")[0].text("state.terminated.message"),
            message,
            "{script}"
        );
    }
}

#[test]
fn a_changed_manifest_is_another_pod() {
    let manifest = |image: &str| -> Value {
        serde_json::from_str(&format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"default"}},"spec":{{"containers":[{{"name":"c","image":"{image}"}}]}}}}"#
        ))
        .unwrap()
    };
    let mut site = Site::with(
        false,
        |config| drop(config.manifests.insert("web.yaml".into(), manifest("nginx:1.26"))),
        |_| {},
    );
    site.wait_for(30, |site| site.phase("web-worker-1") == "Running");
    let image = |site: &Site| {
        site.find("web-worker-1").map(|pod| pod.items("spec.containers")[0].text("image").to_string())
    };
    assert_eq!(image(&site).as_deref(), Some("nginx:1.26"));
    site.engine.world.kubelet.set_manifest("web.yaml", Some(manifest("nginx:1.27")));
    site.command(Command::WriteFile { path: "web.yaml".into(), content: None });
    site.wait_for(60, |site| {
        image(site).as_deref() == Some("nginx:1.27") && site.phase("web-worker-1") == "Running"
    });
    site.engine.world.kubelet.set_manifest("web.yaml", None);
    site.command(Command::WriteFile { path: "web.yaml".into(), content: None });
    site.wait_for(60, |site| site.find("web-worker-1").is_none());
    site.wait(60);
    assert_eq!(site.engine.world.engine.sandboxes().count(), 0);
}
