//! What goes wrong, and what is said about it.

use crate::api::meta;
use crate::message::rest::WatchType;
use crate::object;

use super::site::{Command, Site};

#[test]
fn an_image_that_does_not_exist_is_tried_less_and_less() {
    let mut site = Site::new(false);
    site.pod("p", r#"{"containers":[{"name":"c","image":"nginx:doesnotexist"}]}"#);
    site.wait_for(10, |site| site.containers("p") == "c:waiting(ErrImagePull) 0");
    site.wait_for(30, |site| site.containers("p") == "c:waiting(ImagePullBackOff) 0");
    let status = site.status("p");
    let message = status.items("containerStatuses")[0].text("state.waiting.message").to_string();
    assert!(message.starts_with("Back-off pulling image \"nginx:doesnotexist\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/nginx:doesnotexist\""), "{message}");
    let events = site.events();
    for line in [
        "Normal Pulling containers{c} Pulling image \"nginx:doesnotexist\"",
        "Warning Failed containers{c} Error: ErrImagePull",
        "Normal BackOff containers{c} Back-off pulling image \"nginx:doesnotexist\"",
        "Warning Failed containers{c} Error: ImagePullBackOff",
    ] {
        assert!(events.lines().any(|event| event == line), "{line}\n{events}");
    }
    assert!(events.contains(
        "Warning Failed containers{c} Failed to pull image \"nginx:doesnotexist\": rpc error: code = NotFound"
    ));
    assert_eq!(site.phase("p"), "Pending");
}

#[test]
fn what_cannot_be_started_says_why() {
    // (container, state, message's beginning)
    let cases = [
        (
            r#"{"name":"c","image":"Nginx"}"#,
            "InvalidImageName",
            "Failed to apply default image tag \"Nginx\": couldn't parse image name",
        ),
        (
            r#"{"name":"c","image":"nginx","imagePullPolicy":"Never"}"#,
            "ErrImageNeverPull",
            "Container image \"nginx\" is not present with pull policy of Never",
        ),
        (
            r#"{"name":"c","image":"busybox","command":["frobnicate"]}"#,
            "RunContainerError",
            "failed to create containerd task",
        ),
        (
            r#"{"name":"c","image":"busybox","env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"none","key":"k"}}}]}"#,
            "CreateContainerConfigError",
            "configmap \"none\" not found",
        ),
        (
            r#"{"name":"c","image":"busybox","env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"kube-root-ca.crt","key":"k"}}}]}"#,
            "CreateContainerConfigError",
            "couldn't find key k in ConfigMap default/kube-root-ca.crt",
        ),
        (
            r#"{"name":"c","image":"nginx","lifecycle":{"postStart":{"exec":{"command":["false"]}}}}"#,
            "PostStartHookError",
            "command exited with a non-zero code",
        ),
    ];
    for (container, reason, message) in cases {
        let mut site = Site::new(false);
        site.pod("p", &format!(r#"{{"containers":[{container}]}}"#));
        site.wait_for(30, |site| {
            site.status("p")
                .items("containerStatuses")
                .first()
                .is_some_and(|c| c.text("state.waiting.reason") == reason)
        });
        let status = site.status("p");
        let found = status.items("containerStatuses")[0].text("state.waiting.message").to_string();
        assert!(found.starts_with(message), "{container}: {found}");
    }
}

#[test]
fn a_missing_config_map_holds_the_pod_until_it_comes() {
    let mut site = Site::new(false);
    site.pod(
        "p",
        r#"{"volumes":[{"name":"v","configMap":{"name":"late"}}],"containers":[{"name":"c","image":"nginx","volumeMounts":[{"name":"v","mountPath":"/x"}]}]}"#,
    );
    site.wait(30);
    assert_eq!(site.containers("p"), "c:waiting(ContainerCreating) 0");
    assert!(
        site.events().contains(
            "Warning FailedMount  MountVolume.SetUp failed for volume \"v\" : configmap \"late\" not found"
        ),
        "{}",
        site.events()
    );
    let config = object! { "metadata" => object! { "namespace" => "default", "name" => "late" }, "data" => object! {} };
    site.write("configmaps", config, WatchType::Added);
    site.wait_for(80, |site| site.phase("p") == "Running");
}

#[test]
fn probes_decide() {
    let probe = |kind: &str, path: &str| {
        format!(
            r#"{{"name":"c","image":"nginx","{kind}":{{"httpGet":{{"path":"{path}","port":80}},"periodSeconds":5,"timeoutSeconds":1,"successThreshold":1,"failureThreshold":3}}}}"#
        )
    };
    // Ready when it answers.
    let mut site = Site::new(false);
    site.pod("p", &format!(r#"{{"containers":[{}]}}"#, probe("readinessProbe", "/")));
    site.wait_for(20, |site| site.phase("p") == "Running");
    site.wait_for(6, |site| site.containers("p") == "c:running ready 0");
    assert!(meta::is_condition_true(site.find("p").unwrap(), "Ready"));
    // Not ready when it does not.
    let mut site = Site::new(false);
    site.pod("p", &format!(r#"{{"containers":[{}]}}"#, probe("readinessProbe", "/healthz")));
    site.wait(60);
    assert_eq!(site.containers("p"), "c:running 0");
    assert!(site.events().contains(
        "Warning Unhealthy containers{c} Readiness probe failed: HTTP probe failed with statuscode: 404"
    ));
    // Killed and started again when it does not live.
    let mut site = Site::new(false);
    site.pod("p", &format!(r#"{{"containers":[{}]}}"#, probe("livenessProbe", "/healthz")));
    site.wait_for(40, |site| site.containers("p") == "c:running ready 1");
    assert!(
        site.events()
            .contains("Normal Killing containers{c} Container c failed liveness probe, will be restarted")
    );
    // A startup probe holds the others back.
    let mut site = Site::new(false);
    let container = r#"{"name":"c","image":"busybox","command":["sh","-c","sleep 12; touch /tmp/ok; sleep 1000"],
        "startupProbe":{"exec":{"command":["cat","/tmp/ok"]},"periodSeconds":5,"failureThreshold":10,"timeoutSeconds":1,"successThreshold":1},
        "livenessProbe":{"exec":{"command":["cat","/tmp/ok"]},"periodSeconds":1,"failureThreshold":1,"timeoutSeconds":1,"successThreshold":1}}"#;
    site.pod("p", &format!(r#"{{"containers":[{container}]}}"#));
    site.wait_for(20, |site| site.phase("p") == "Running");
    assert_eq!(site.containers("p"), "c:running 0");
    site.wait_for(30, |site| site.containers("p") == "c:running ready 0");
    site.wait(60);
    assert_eq!(site.containers("p"), "c:running ready 0");
    assert!(site.events().contains("Warning Unhealthy containers{c} Startup probe failed: cat: can't open '/tmp/ok': No such file or directory"), "{}", site.events());
}

#[test]
fn a_killed_app_keeps_its_sandbox_and_a_killed_pause_container_does_not() {
    let mut site = Site::new(false);
    site.pod("p", r#"{"containers":[{"name":"c","image":"nginx"}]}"#);
    site.wait_for(20, |site| site.phase("p") == "Running");
    site.wait(2);
    let ip = site.status("p").text("podIP").to_string();
    let kill = |container: &str| Command::KillContainer {
        namespace: "default".into(),
        pod: "p".into(),
        container: container.into(),
    };
    site.command(kill("c"));
    site.wait_for(10, |site| site.containers("p") == "c:running ready 1");
    assert_eq!(site.status("p").text("podIP"), ip);
    assert_eq!(
        site.status("p").items("containerStatuses")[0].integer("lastState.terminated.exitCode"),
        Some(137)
    );
    site.command(kill("POD"));
    site.wait_for(60, |site| site.containers("p") == "c:running ready 2");
    assert_ne!(site.status("p").text("podIP"), ip);
}

#[test]
fn too_much_memory_is_too_much() {
    let mut site = Site::new(false);
    site.pod(
        "hog",
        r#"{"restartPolicy":"Never","containers":[{"name":"c","image":"polinux/stress","command":["stress","--vm","1","--vm-bytes","250M"],"resources":{"limits":{"memory":"100Mi"}}}]}"#,
    );
    site.wait_for(20, |site| site.phase("hog") == "Failed");
    assert_eq!(site.containers("hog"), "c:terminated(OOMKilled) 0");
}

#[test]
fn an_exhausted_range_is_tried_again() {
    let mut site = Site::new(false);
    let config = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge","ipam":{"type":"host-local","subnet":"10.9.0.0/30"}}]}"#;
    site.engine.world.engine.set_cni_config(Some(serde_json::from_str(config).unwrap()));
    site.pod("first", r#"{"containers":[{"name":"c","image":"nginx"}]}"#);
    site.wait_for(20, |site| site.phase("first") == "Running");
    site.pod("second", r#"{"containers":[{"name":"c","image":"nginx"}]}"#);
    site.wait(20);
    let events = site.events();
    assert!(events.contains("Warning FailedCreatePodSandBox  Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox"), "{events}");
    assert!(events.contains("plugin type=\"bridge\" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.9.0.1-10.9.0.2"));
    assert_eq!(site.containers("second"), "c:waiting(ContainerCreating) 0");
    site.delete("first", 1);
    site.wait_for(30, |site| site.phase("second") == "Running");
    assert_eq!(site.status("second").text("podIP"), "10.9.0.2");
}

#[test]
fn a_node_without_network_takes_only_host_network_pods() {
    let mut site = Site::new(false);
    site.engine.world.engine.set_cni_config(None);
    site.wait(15);
    let node = site.engine.world.server.objects[&("nodes".into(), "".into(), "worker-1".into())].clone();
    let ready = meta::condition(&node, "Ready").unwrap();
    assert_eq!(
        (ready.text("status"), ready.text("message")),
        (
            "False",
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"
        )
    );
    site.pod("host", r#"{"hostNetwork":true,"containers":[{"name":"c","image":"nginx"}]}"#);
    site.pod("own", r#"{"containers":[{"name":"c","image":"nginx"}]}"#);
    site.wait(20);
    assert_eq!((site.phase("host"), site.phase("own")), ("Running".into(), "Pending".into()));
    assert!(
        site.events()
            .contains("Warning NetworkNotReady  network is not ready: container runtime network not ready"),
        "{}",
        site.events()
    );
}

#[test]
fn a_pod_that_does_not_fit_is_refused() {
    let mut site = Site::new(false);
    site.pod("p", r#"{"containers":[{"name":"c","image":"nginx","resources":{"requests":{"cpu":"5"}}}]}"#);
    site.wait_for(5, |site| site.phase("p") == "Failed");
    let status = site.status("p");
    assert_eq!(status.text("reason"), "OutOfcpu");
    assert_eq!(
        status.text("message"),
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000"
    );
    site.delete("p", 0);
    site.wait_for(5, |site| site.find("p").is_none());
}

#[test]
fn a_pod_that_is_deleted_while_it_starts_goes() {
    for after_ms in [1, 150, 400, 600, 2000, 4000] {
        let mut site = Site::new(false);
        site.pod("p", &super::with_token(r#"{"name":"c","image":"nginx"}"#));
        let until = site.engine.now() + crate::sim::Duration::from_millis(after_ms);
        site.wait_until(until);
        site.delete("p", 30);
        site.wait_for(60, |site| site.find("p").is_none());
        site.wait(5);
        assert_eq!(site.engine.world.engine.sandboxes().count(), 0, "after {after_ms} ms");
        assert_eq!(site.engine.world.kubelet.workers().count(), 0, "after {after_ms} ms");
    }
}

/// Laws that hold whatever happens: addresses are neither shared nor leaked, and once everything has settled the
/// node runs exactly what it should.
#[test]
fn under_churn_nothing_is_lost_leaked_or_shared() {
    let specs = [
        r#"{"containers":[{"name":"c","image":"nginx"}]}"#,
        r#"{"containers":[{"name":"c","image":"busybox","command":["sh","-c","sleep 7; exit 1"]}]}"#,
        r#"{"restartPolicy":"Never","containers":[{"name":"c","image":"busybox","command":["sh","-c","sleep 5"]}]}"#,
        r#"{"containers":[{"name":"c","image":"redis:7"},{"name":"d","image":"busybox","command":["sleep","3600"]}],"terminationGracePeriodSeconds":5}"#,
        r#"{"initContainers":[{"name":"i","image":"busybox","command":["sleep","2"]},{"name":"s","image":"nginx","restartPolicy":"Always"}],
            "containers":[{"name":"c","image":"httpd","readinessProbe":{"tcpSocket":{"port":80},"periodSeconds":2,"timeoutSeconds":1,"successThreshold":1,"failureThreshold":2}}]}"#,
        r#"{"containers":[{"name":"c","image":"nginx:doesnotexist"}]}"#,
    ];
    for seed in 0..25 {
        let mut site = Site::new(false);
        let mut random = crate::sim::Random::stream(seed, "churn");
        let mut names: Vec<String> = Vec::new();
        for step in 0..60 {
            match random.below(10) {
                0..=3 => {
                    let name = format!("p{step}");
                    site.pod(&name, specs[random.below(specs.len() as u64) as usize]);
                    names.push(name);
                }
                4..=5 if !names.is_empty() => {
                    let name = names.swap_remove(random.below(names.len() as u64) as usize);
                    match random.below(4) {
                        // With force: the API server has it no more at once.
                        0 => {
                            let pod = site.find(&name).expect("such a pod").clone();
                            site.write("pods", pod, WatchType::Deleted);
                        }
                        grace => site.delete(&name, [0, 1, 5, 30][grace as usize]),
                    }
                }
                6 if !names.is_empty() => {
                    let pod = names[random.below(names.len() as u64) as usize].clone();
                    let container = ["c", "POD"][random.below(2) as usize].to_string();
                    site.command(Command::KillContainer { namespace: "default".into(), pod, container });
                }
                7 if random.below(3) == 0 => {
                    site.command(Command::StopProcess { process: "kubelet".into() });
                    site.wait(random.below(20));
                    site.command(Command::StartProcess { process: "kubelet".into() });
                }
                8 if random.below(4) == 0 => site.command(Command::StopHost { host: "worker-1".into() }),
                _ => site.wait(random.below(8)),
            }
            let mut addresses: Vec<String> = site
                .engine
                .world
                .engine
                .sandboxes()
                .filter(|sandbox| sandbox.is_ready())
                .flat_map(|sandbox| sandbox.ips())
                .map(|ip| ip.to_string())
                .collect();
            let before = addresses.len();
            addresses.sort();
            addresses.dedup();
            assert_eq!(before, addresses.len(), "seed {seed}: an address is shared");
        }
        site.wait(400);
        let node = &site.engine.world;
        let pods: Vec<&str> = node.kubelet.workers().map(|worker| worker.name()).collect();
        let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        let mut found = pods.clone();
        found.sort_unstable();
        assert_eq!(found, wanted, "seed {seed}");
        for sandbox in node.engine.sandboxes() {
            assert!(
                wanted.contains(&sandbox.config.name.as_str()),
                "seed {seed}: {} is a leftover",
                sandbox.config.name
            );
        }
        let held = node.engine.network().unwrap().ipam[0].reserved().count();
        let ready = node.engine.sandboxes().filter(|sandbox| sandbox.is_ready()).count();
        assert_eq!(held, ready, "seed {seed}: addresses leaked");
        for name in &wanted {
            let pod = site.find(name).unwrap_or_else(|| panic!("seed {seed}: {name} is lost"));
            let is_nginx = pod.items("spec.containers")[0].text("image") == "nginx";
            if is_nginx {
                assert!(
                    meta::is_condition_true(pod, "Ready"),
                    "seed {seed}: {name} {}",
                    site.containers(name)
                );
            }
        }
    }
}
