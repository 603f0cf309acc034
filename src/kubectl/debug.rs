//! `kubectl debug`: a container with tools beside the one that is to be looked at.
//!
//! Picture to hold in mind: a mechanic who climbs into the running machine (an ephemeral container), asks for one more of
//! the same to take apart (a copy), or goes down into the machine room (a pod in a node's own namespaces).
//!
//! Follows `k8s.io/kubectl/pkg/cmd/debug` (debug.go, profiles.go).

use std::ops::ControlFlow;

use crate::api::schema::Schema;
use crate::api::{Map, Text, Value, meta, patch};
use crate::client::request;
use crate::message::rest::PatchType;
use crate::sim::Duration;
use crate::{array, object};

use super::builder::{Info, Rules, Selection};
use super::failure::{Failure, Outcome, fail};
use super::generate::workload;
use super::session::Session;

pub const FLAGS: &[&str] = &[
    "arguments-only",
    "attach",
    "container",
    "copy-to",
    "custom",
    "=env",
    "filename",
    "image:text",
    "image-pull-policy",
    "keep-annotations",
    "keep-init-containers",
    "keep-labels",
    "keep-liveness",
    "keep-readiness",
    "keep-startup",
    "profile@general",
    "q=quiet",
    "replace:switch",
    "same-node",
    "set-image",
    "share-processes",
    "stdin",
    "target",
    "tty",
];

/// The lists of a pod's containers.
const LISTS: [&str; 3] = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];

/// What is debugged, and so in which manner.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Ephemeral,
    Copy,
    Node,
}

pub fn run(session: &mut Session) -> Outcome {
    let operands = session.operands().to_vec();
    check(session, &operands)?;
    let words = match operands.first() {
        Some(first) if !first.contains('/') => [&["pods".to_string()], &operands[..]].concat(),
        _ => operands,
    };
    let selection = session.select(&words, Rules::default())?;
    let (infos, failures) = match selection {
        Selection::Files { infos, failures, .. } => (infos, failures),
        other => session.fetch(other)?,
    };
    session.each(&infos, (), |session, info, ()| {
        let (pod, container) = match info.mapping.kind_go_string().as_str() {
            "/v1, Kind=Node" => debug_node(session, info)?,
            "/v1, Kind=Pod" if session.flags.text("copy-to").is_empty() => debug_inside(session, info)?,
            "/v1, Kind=Pod" => debug_copy(session, info)?,
            kind => return fail(format!("{kind:?} not supported by debug")),
        };
        match attaches(session) && !container.is_empty() {
            true => attach(session, &pod, &container),
            false => Ok(()),
        }
    })?;
    Failure::many(failures)?;
    Ok(())
}

fn attaches(session: &Session) -> bool {
    session.flags.switch(if session.flags.is_set("attach") { "attach" } else { "stdin" })
}
/// What stands behind `--`.
fn words(session: &Session) -> Vec<String> {
    session.flags.after_dashes.clone().unwrap_or_default()
}
/// `--set-image=NAME=IMAGE,...`
fn images(session: &Session) -> Vec<(String, String)> {
    let pairs = session.flags.list("set-image").into_iter();
    pairs.filter_map(|pair| pair.split_once('=').map(|(name, image)| (name.into(), image.into()))).collect()
}

fn check(session: &mut Session, operands: &[String]) -> Outcome {
    let flags = session.flags.clone();
    let (image, container) = (flags.text("image"), flags.text("container"));
    let (words, images) = (words(session), images(session));
    if flags.is_set("attach") && flags.switch("attach") && image.is_empty() && container.is_empty() {
        return fail(
            "you must specify --container or create a new container using --image in order to attach.",
        );
    }
    if !flags.text("copy-to").is_empty() {
        if image.is_empty() && images.is_empty() && words.is_empty() {
            return fail("you must specify --image, --set-image or command arguments.");
        }
        if !words.is_empty() && container.is_empty() && image.is_empty() {
            return fail("you must specify an existing container or a new image when specifying args.");
        }
    } else {
        for name in ["replace", "same-node"] {
            if flags.switch(name) {
                return fail(format!("--{name} may only be used with --copy-to."));
            }
        }
        if !images.is_empty() {
            return fail("--set-image may only be used with --copy-to.");
        }
        if image.is_empty() {
            return fail("you must specify --image when not using --copy-to.");
        }
    }
    let wrong = |image: &str| !workload::is_image_reference(image);
    if !image.is_empty() && wrong(image) {
        return fail(format!("invalid image name {image:?}: invalid reference format"));
    }
    if operands.is_empty() && flags.list("filename").is_empty() {
        return fail("NAME or filename is required for debug");
    }
    let pull = flags.text("image-pull-policy");
    if !matches!(pull, "" | "Always" | "IfNotPresent" | "Never") {
        return fail(format!("invalid image pull policy: {pull}"));
    }
    if let Some((name, image)) = images.iter().find(|(_, image)| wrong(image)) {
        return fail(format!(
            "invalid image name {image:?} for container {name:?}: invalid reference format"
        ));
    }
    let target = flags.text("target");
    if !target.is_empty() {
        if !flags.text("copy-to").is_empty() {
            return fail("--target is incompatible with --copy-to. Use --share-processes instead.");
        }
        tell(
            session,
            format!(
                "Targeting container {target:?}. If you don't see processes from this container it may be because the container runtime doesn't support this feature."
            ),
        );
    }
    if flags.switch("tty") && !flags.switch("stdin") {
        return fail("-i/--stdin is required for containers with -t/--tty=true");
    }
    match flags.text("profile") {
        "general" | "baseline" | "restricted" | "netadmin" | "sysadmin" => {}
        "legacy" => session.eprintln(
            "--profile=legacy is deprecated and planned to be removed in v1.39. It is recommended to specify other profile, for example \"--profile=general\".",
        ),
        other => return fail(format!("unknown profile: {other}")),
    }
    if flags.is_set("custom") {
        return fail("custom profiles are not read here: choose one of --profile");
    }
    Ok(())
}

/// Says something that `--quiet` does not want to hear.
fn tell(session: &mut Session, text: String) {
    if !session.flags.switch("quiet") {
        session.println(text);
    }
}

/// The new container, as the flags want it.
fn container(session: &Session, name: &str) -> Outcome<Value> {
    let flags = &session.flags;
    let mut container = object! {
        "name" => name,
        "image" => flags.text("image"),
        "terminationMessagePolicy" => "File",
        "resources" => Value::object(),
    };
    let environment = workload::environment(&flags.list("env"))?;
    if !environment.is_empty() {
        container.set("env", environment);
    }
    dress(session, &mut container);
    Ok(container)
}

/// What a container gets of the flags, whether it is new or was there.
fn dress(session: &Session, container: &mut Value) {
    let (flags, words) = (&session.flags, words(session));
    if !words.is_empty() {
        let words = Value::array(words.iter().map(|word| Value::from(word.as_str())));
        if flags.switch("arguments-only") {
            container.set("args", words);
        } else {
            container.set("command", words);
            container.remove("args");
        }
    }
    if !flags.text("image-pull-policy").is_empty() {
        container.set("imagePullPolicy", flags.text("image-pull-policy"));
    }
    for name in ["stdin", "tty"] {
        match flags.switch(name) {
            true => {
                container.set(name, true);
            }
            false => {
                container.remove(name);
            }
        }
    }
}

/// `--container`, or a name that no container of the pod has.
fn name_for(session: &mut Session, pod: &Value) -> String {
    let wanted = session.flags.text("container").to_string();
    if !wanted.is_empty() {
        return wanted;
    }
    // Of 27 to the fifth power names none of a pod's few is drawn.
    let name = format!("debugger-{}", session.cli.suffix());
    debug_assert!(!LISTS.iter().any(|list| pod.items(list).iter().any(|one| one.text("name") == name)));
    tell(session, format!("Defaulting debug container name to {name}."));
    name
}

fn debug_inside(session: &mut Session, info: &Info) -> Outcome<(Value, String)> {
    let name = name_for(session, &info.object);
    let mut added = container(session, &name)?;
    let target = session.flags.text("target");
    if !target.is_empty() {
        added.set("targetContainerName", target);
    }
    let mut changed = info.object.clone();
    changed.at_mut("spec.ephemeralContainers").make_array().push(added);
    apply_profile(session, &mut changed, &name, Style::Ephemeral);
    let place = Schema::built_in().kind("v1", "Pod");
    let changes = place.and_then(|place| patch::two_way(&info.object, &changed, place).ok());
    let request = request::patch(
        &info.mapping.resource(),
        &info.namespace,
        &info.name,
        PatchType::StrategicMerge,
        changes.unwrap_or_default(),
    );
    let pod = session.send(request.subresource("ephemeralcontainers"))?;
    Ok((pod, name))
}

fn debug_node(session: &mut Session, info: &Info) -> Outcome<(Value, String)> {
    let name = match session.flags.text("container") {
        "" => "debugger".to_string(),
        name => name.to_string(),
    };
    let pod_name = format!("node-debugger-{}-{}", info.name, session.cli.suffix());
    tell(session, format!("Creating debugging pod {pod_name} with container {name} on node {}.", info.name));
    let mut pod = object! {
        "apiVersion" => "v1",
        "kind" => "Pod",
        "metadata" => object! {
            "name" => pod_name,
            "labels" => object! { "app.kubernetes.io/managed-by" => "kubectl-debug" },
        },
        "spec" => object! {
            "containers" => array![container(session, &name)?],
            "nodeName" => info.name.as_str(),
            "restartPolicy" => "Never",
            "tolerations" => array![object! { "operator" => "Exists" }],
        },
    };
    apply_profile(session, &mut pod, &name, Style::Node);
    let pods = session.built_in("", "pods").resource();
    let namespace = session.namespace();
    let pod = session.send(request::create(&pods, &namespace, pod))?;
    Ok((pod, name))
}

fn debug_copy(session: &mut Session, info: &Info) -> Outcome<(Value, String)> {
    let flags = session.flags.clone();
    let mut copy = object! { "apiVersion" => "v1", "kind" => "Pod" };
    copy.set("metadata", object! { "name" => flags.text("copy-to"), "namespace" => info.namespace.as_str() });
    for part in ["labels", "annotations"] {
        let part = format!("metadata.{part}");
        if info.object.has(&part) {
            copy.set(&part, info.object.at(&part).clone());
        }
    }
    copy.set("spec", info.object.at("spec").clone());
    copy.remove("spec.ephemeralContainers");
    if flags.is_set("share-processes") {
        copy.set("spec.shareProcessNamespace", flags.switch("share-processes"));
    }
    if !flags.switch("same-node") {
        copy.remove("spec.nodeName");
    }
    let images = images(session);
    let image_of = |name: &str| {
        let found = images.iter().find(|(other, _)| other == name);
        found.or_else(|| images.iter().find(|(other, _)| other == "*")).map(|(_, image)| image)
    };
    for container in copy.at_mut("spec.containers").make_array().iter_mut() {
        if let Some(image) = image_of(container.text("name")) {
            container.set("image", image.as_str());
        }
    }
    let wanted = flags.text("container");
    let is_there = copy.items("spec.containers").iter().any(|one| one.text("name") == wanted);
    let name = if is_there {
        let containers = copy.at_mut("spec.containers").make_array();
        for container in containers.iter_mut().filter(|one| one.text("name") == wanted) {
            dress(session, container);
            if !flags.text("image").is_empty() {
                container.set("image", flags.text("image"));
            }
        }
        wanted.to_string()
    } else if flags.text("image").is_empty() {
        if images.is_empty() {
            return fail("you must specify image when creating new container");
        }
        String::new()
    } else {
        let name = name_for(session, &copy);
        let added = container(session, &name)?;
        copy.at_mut("spec.containers").make_array().push(added);
        name
    };
    if !name.is_empty() {
        apply_profile(session, &mut copy, &name, Style::Copy);
    }
    let pod = session.send(request::create(&info.mapping.resource(), &info.namespace, copy))?;
    if flags.switch("replace") {
        let delete = request::delete(&info.mapping.resource(), &info.namespace, &info.name);
        session.send(delete.options(|options| options.grace_period_seconds = Some(0)))?;
    }
    Ok((pod, name))
}

/// What the profile gives to the container `name` of the pod, and takes from the pod.
fn apply_profile(session: &Session, pod: &mut Value, name: &str, style: Style) {
    let flags = &session.flags;
    let profile = flags.text("profile");
    let capabilities: &[&str] = match (profile, style) {
        ("general", Style::Ephemeral | Style::Copy) => &["SYS_PTRACE"],
        ("netadmin", _) => &["NET_ADMIN", "NET_RAW"],
        _ => &[],
    };
    let mut security = Map::new();
    if !capabilities.is_empty() {
        let add = Value::array(capabilities.iter().map(|one| Value::from(*one)));
        security.insert("capabilities", object! { "add" => add });
    }
    match profile {
        "sysadmin" => {
            security.insert("privileged", true);
        }
        "restricted" => {
            security.insert("runAsNonRoot", true);
            security.insert("capabilities", object! { "drop" => array!["ALL"] });
            security.insert("allowPrivilegeEscalation", false);
            security.insert("seccompProfile", object! { "type" => "RuntimeDefault" });
        }
        _ => {}
    }
    let mounts_root = style == Style::Node && matches!(profile, "legacy" | "general" | "sysadmin");
    for list in LISTS {
        if pod.items(list).is_empty() {
            continue;
        }
        for container in pod.at_mut(list).make_array().iter_mut().filter(|one| one.text("name") == name) {
            if matches!(profile, "baseline" | "restricted") {
                container.remove("securityContext");
            }
            for (field, value) in security.iter() {
                container.set(&format!("securityContext.{field}"), value.clone());
            }
            if mounts_root {
                let mounts = container.at_mut("volumeMounts").make_array();
                mounts.push(object! { "mountPath" => "/host", "name" => "host-root" });
            }
        }
    }
    match style {
        Style::Ephemeral => {}
        Style::Node => {
            if mounts_root {
                let root = object! { "path" => "/" };
                let volumes = pod.at_mut("spec.volumes").make_array();
                volumes.push(object! { "name" => "host-root", "hostPath" => root });
            }
            if !matches!(profile, "baseline" | "restricted") {
                for field in ["hostNetwork", "hostPID", "hostIPC"] {
                    pod.set(&format!("spec.{field}"), true);
                }
            }
        }
        Style::Copy => {
            let is_legacy = profile == "legacy";
            for (part, keeps) in [("labels", "keep-labels"), ("annotations", "keep-annotations")] {
                if (is_legacy && part == "labels") || (!is_legacy && !flags.switch(keeps)) {
                    pod.remove(&format!("metadata.{part}"));
                }
            }
            if is_legacy {
                return;
            }
            if !flags.switch("keep-init-containers") {
                pod.remove("spec.initContainers");
            }
            for container in pod.at_mut("spec.containers").make_array().iter_mut() {
                for probe in ["liveness", "readiness", "startup"] {
                    if !flags.switch(&format!("keep-{probe}")) {
                        container.remove(&format!("{probe}Probe"));
                    }
                }
            }
            if !pod.has("spec.shareProcessNamespace") {
                pod.set("spec.shareProcessNamespace", true);
            }
        }
    }
}

/// Waits until the container runs, and hands what is typed to a shell in it.
fn attach(session: &mut Session, pod: &Value, container: &str) -> Outcome {
    let (namespace, name) = (meta::namespace(pod).to_string(), meta::name(pod).to_string());
    let pods = session.built_in("", "pods").resource();
    let has_ended = session.fold(false, |session, _| {
        let pod = session.send(request::get(&pods, &namespace, &name))?;
        let lists =
            ["status.initContainerStatuses", "status.containerStatuses", "status.ephemeralContainerStatuses"];
        let statuses = lists.iter().flat_map(|list| pod.items(list));
        let mut state =
            statuses.filter(|status| status.text("name") == container).map(|status| status.at("state"));
        match state.next_back() {
            Some(state) if state.has("running") => return Ok(ControlFlow::Break(false)),
            Some(state) if state.has("terminated") => return Ok(ControlFlow::Break(true)),
            Some(state) if !state.text("waiting.message").is_empty() && !session.flags.switch("quiet") => {
                session.warn(&format!("container {container}: {}", state.text("waiting.message")));
            }
            _ => {}
        }
        session.cli.sleep(Duration::from_secs(1))?;
        Ok(ControlFlow::Continue(false))
    })?;
    if has_ended {
        let log = request::get(&pods, &namespace, &name)
            .subresource("log")
            .options(|options| options.parameters = vec![("container".into(), container.into())]);
        let text = session.send(log)?;
        session.print(text.as_str().unwrap_or(""));
        return Ok(());
    }
    super::logs::warn_of_recording(session);
    let input = if session.flags.switch("stdin") { session.cli.stdin()? } else { Text::new() };
    if !input.is_empty() || !super::attach::waits(session, pod, container)? {
        return super::attach::listen(session, pod, container, &input);
    }
    let mut words: Vec<String> = ["kubectl", "attach", "-i", &name, "-n", &namespace, "-c", container]
        .iter()
        .map(|word| word.to_string())
        .collect();
    if session.flags.switch("tty") {
        words.push("-t".into());
    }
    session.cli.attach_to(words);
    Ok(())
}
