//! `kubectl run`: one pod of one image.
//!
//! Picture to hold in mind: a matchbox car, ready to go: no garage, no driver, nobody who replaces it.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/run/run.go`.

use crate::api::Value;

use super::apply::{create_request, with_annotation};
use super::builder::Info;
use super::change::overridden;
use super::failure::{Outcome, fail, misused};
use super::generate::{network, workload};
use super::print::Format;
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "annotations",
    "attach",
    "cascade",
    "command",
    "dry-run",
    "=env",
    "expose",
    "field-manager@kubectl-run",
    "filename",
    "force",
    "grace-period",
    "image:text",
    "image-pull-policy",
    "kustomize",
    "l=labels",
    "leave-stdin-open",
    "output",
    "overrides",
    "override-type",
    "pod-running-timeout@1m0s",
    "port",
    "privileged",
    "quiet",
    "recursive",
    "restart",
    "rm",
    "save-config",
    "show-managed-fields",
    "stdin",
    "template",
    "timeout",
    "tty",
    "wait@false",
];

pub fn run(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let command = session.command.clone();
    let usage = |text: &str| misused(&command, text);
    if !flags.is_set("image") {
        return fail("required flag(s) \"image\" not set");
    }
    let Some(name) = session.operands().first().cloned() else { return usage("NAME is required for run") };
    let image = flags.text("image");
    if image.is_empty() {
        return fail("--image is required");
    }
    if !workload::is_image_reference(image) {
        return fail(format!("Invalid image name {image:?}: invalid reference format"));
    }
    if flags.switch("tty") && !flags.switch("stdin") {
        return usage("-i/--stdin is required for containers with -t/--tty=true");
    }
    if flags.switch("expose") && flags.text("port").is_empty() {
        return usage("--port must be set when exposing a service");
    }
    let restart = flags.text("restart");
    if !matches!(restart, "Always" | "OnFailure" | "Never") {
        return usage(&format!("invalid restart policy: {restart}"));
    }
    let attaches = if flags.is_set("attach") { flags.switch("attach") } else { flags.switch("stdin") };
    if flags.switch("rm") && !attaches {
        return usage("--rm should only be used for attached containers");
    }
    let dry_run = session.dry_run()?;
    if attaches && dry_run != DryRun::No {
        return usage(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
        );
    }
    let pull = flags.text("image-pull-policy");
    if !matches!(pull, "" | "Always" | "IfNotPresent" | "Never") {
        return usage(&format!("invalid image pull policy: {pull}"));
    }
    let format = session.format(false)?;
    if attaches && super::attach::has_line(session) {
        let (mapping, namespace) = (session.built_in("", "pods"), session.namespace());
        let info = Info { mapping, namespace, name, object: Value::Null, source: String::new() };
        return super::logs::type_into_run(session, &info, flags.switch("rm"));
    }
    let pod = workload::pod(session, &name)?;
    let mut pod = overridden(session, pod)?;
    let mut objects = Vec::new();
    let namespace = session.namespace();
    if session.has_explicit_namespace() {
        pod.set("metadata.namespace", namespace.as_str());
    }
    let labels = pod.at("metadata.labels").clone();
    let pods = session.built_in("", "pods");
    let info =
        Info { mapping: pods, namespace, name: name.clone(), object: Value::Null, source: String::new() };
    if dry_run != DryRun::Client {
        let request = create_request(
            session,
            &info,
            with_annotation(&pod, flags.switch("save-config")),
            "kubectl-run",
            dry_run,
        )?;
        pod = session.send(request)?;
    }
    objects.push(pod);
    if flags.switch("expose") {
        let port = flags.number("port").unwrap_or(0);
        let mut service = network::exposing(
            &name,
            Value::Null,
            labels,
            vec![network::port(None, port, "TCP", Value::from(port))],
        );
        if dry_run != DryRun::Client {
            let made = Info { mapping: session.built_in("", "services"), ..info.clone() };
            let request = create_request(session, &made, service, "kubectl-run", dry_run)?;
            service = session.send(request)?;
        }
        objects.insert(0, service);
    }
    if attaches {
        return super::logs::follow_run(session, &info, flags.switch("rm"));
    }
    for (index, object) in objects.iter().enumerate() {
        // Upstream's own line, besides the printer's.
        if index > 0 && matches!(format, Format::Yaml) {
            session.println("---");
        }
        session.print_change(&format, object, "created")?;
    }
    Ok(())
}
