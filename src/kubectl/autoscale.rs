//! `kubectl autoscale`: hands the dial of a workload's size to a HorizontalPodAutoscaler.
//!
//! Picture to hold in mind: a thermostat screwed on over the dial (see [`super::scale`]).
//!
//! Follows `k8s.io/kubectl/pkg/cmd/autoscale/autoscale.go`.

use crate::object;

use super::apply::{create_request, with_annotation};
use super::builder::{Info, Rules};
use super::change::for_each;
use super::failure::{Outcome, fail};
use super::generate::network;
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "cpu",
    "cpu-percent",
    "dry-run",
    "field-manager@kubectl-autoscale",
    "filename",
    "kustomize",
    "max",
    "memory",
    "min",
    "name",
    "output",
    "recursive",
    "save-config",
    "show-managed-fields",
    "template",
];

pub fn run(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let flags = session.flags.clone();
    let (least, most) = (flags.number("min").unwrap_or(-1), flags.number("max").unwrap_or(-1));
    if !flags.is_set("max") {
        return fail("required flag(s) \"max\" not set");
    }
    if most < 1 {
        return fail(format!("--max=MAXPODS is required and must be at least 1, max: {most}"));
    }
    if most < least {
        return fail(format!(
            "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {most}, min: {least}"
        ));
    }
    if flags.is_set("cpu-percent") && flags.is_set("cpu") {
        return fail("--cpu-percent and --cpu are mutually exclusive");
    }
    let mut metrics = Vec::new();
    for (resource, text) in [("cpu", flags.text("cpu")), ("memory", flags.text("memory"))] {
        if text.is_empty() {
            continue;
        }
        let target = match text.strip_suffix('%') {
            Some(percent) => match percent.parse::<i64>() {
                Ok(percent) => object! { "averageUtilization" => percent, "type" => "Utilization" },
                Err(_) => return fail(format!("invalid percentage value: {percent}")),
            },
            None => match crate::api::quantity::Quantity::normalize(text) {
                Ok(quantity) => object! { "averageValue" => quantity, "type" => "AverageValue" },
                Err(_) => return fail(format!("invalid resource {resource} value: {text}")),
            },
        };
        metrics.push(object! { "resource" => object! { "name" => resource, "target" => target }, "type" => "Resource" });
    }
    if let Some(percent) = flags.number("cpu-percent").filter(|percent| *percent >= 0) {
        let target = object! { "averageUtilization" => percent, "type" => "Utilization" };
        metrics.push(
            object! { "resource" => object! { "name" => "cpu", "target" => target }, "type" => "Resource" },
        );
    }
    let dry_run = session.dry_run()?;
    let operands = session.operands().to_vec();
    let count = for_each(session, &operands, Rules::default(), |session, info| {
        if info.mapping.info.subresource("scale").is_none() {
            let own = &info.mapping.info;
            return fail(format!(
                "cannot autoscale a {}: could not find scale subresource for {}/{}, Resource={} in discovery information",
                own.kind, own.group, info.mapping.version, own.plural
            ));
        }
        let name = match flags.text("name") {
            "" => info.name.clone(),
            name => name.to_string(),
        };
        let target = object! {
            "apiVersion" => info.mapping.api_version(), "kind" => info.mapping.info.kind.clone(), "name" => info.name.as_str(),
        };
        let mut object = network::autoscaler(&name, target, least, most, metrics.clone());
        if dry_run != DryRun::Client {
            let mapping = session.built_in("autoscaling", "horizontalpodautoscalers");
            let made = Info { mapping, name, ..info.clone() };
            object = with_annotation(&object, session.flags.switch("save-config"));
            let request = create_request(session, &made, object, "kubectl-autoscale", dry_run)?;
            object = session.send(request)?;
        }
        session.print_change(&format, &object, "autoscaled")
    })?;
    if count == 0 {
        return fail("no objects passed to autoscale");
    }
    Ok(())
}
