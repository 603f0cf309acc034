//! Tables: objects as the rows that kubectl prints.
//!
//! Picture to hold in mind: a clerk who reads a file aloud over the telephone: only what the caller's form asks for, in the
//! form's order. Narrow forms leave the columns of lower priority out; the clerk reads them anyway.
//!
//! Follows `pkg/printers/internalversion/printers.go`, whose columns and cells these are; kinds without a printer there get
//! name and time of creation (`k8s.io/apiserver/pkg/registry/rest/table.go`), custom resources their printer columns.
//!
//! - [`columns`] the columns of each kind; [`custom`] those of custom resources
//! - [`pods`], [`workloads`], [`services`], [`cluster`], [`policy`] their cells

mod cluster;
mod columns;
mod custom;
mod pods;
mod policy;
mod services;
mod workloads;

use crate::api::{Text, Value, meta, time, time_format};
use crate::arrange::Gather;
use crate::sim::Time;
use crate::{array, object};

use super::form::Form;

/// The STATUS cell of a pod, for whoever shows pods without a table.
pub fn pod_status(pod: &Value) -> String {
    let cells = pods::pod(pod, &Printer { now: Time::ZERO });
    cells.get(2).and_then(Value::as_str).unwrap_or("").to_owned()
}

/// What printers get.
struct Printer {
    now: Time,
}

impl Printer {
    /// `5m`, or `<unknown>` for no time.
    fn since(&self, timestamp: &str) -> Value {
        Value::from(self.since_text(timestamp))
    }
    fn since_text(&self, timestamp: &str) -> String {
        match time::parse_rfc3339(timestamp) {
            Some(micros) => {
                time_format::human_duration((time::unix_us(self.now) - micros).div_euclid(1_000_000))
            }
            None => "<unknown>".to_owned(),
        }
    }
    fn age(&self, object: &Value) -> Value {
        self.since(meta::creation_timestamp(object))
    }
}

/// The text at `path`, or `default` where there is none.
fn text_or<'a>(object: &'a Value, path: &str, default: &'a str) -> &'a str {
    match object.text(path) {
        "" => default,
        text => text,
    }
}

fn number(object: &Value, path: &str) -> i64 {
    object.integer(path).unwrap_or(0)
}

fn name_of(object: &Value) -> Value {
    Value::from(meta::name(object))
}

/// `a=b,c=d`; `<none>` for nothing (`labels.FormatLabels`).
fn labels(labels: &Value) -> String {
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flat_map(|map| map.iter())
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .gather();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// Names and images of a template's containers.
fn containers(spec: &Value) -> (String, String) {
    let list = |field: &str| -> String {
        spec.items("containers").iter().map(|container| container.text(field)).collect::<Vec<_>>().join(",")
    };
    (list("name"), list("image"))
}

/// At most `max` of `items`, and how many more there are; `<unset>` for none.
fn with_more(items: &[String], max: usize) -> String {
    if items.is_empty() {
        return "<unset>".to_owned();
    }
    let shown = items[..items.len().min(max)].join(",");
    if items.len() > max { format!("{shown} + {} more...", items.len() - max) } else { shown }
}

fn cells(form: &Form, object: &Value, printer: &Printer) -> Option<Vec<Value>> {
    let (group, kind) = (form.group.as_str(), form.kind.as_str());
    pods::cells(group, kind, object, printer)
        .or_else(|| workloads::cells(group, kind, object, printer))
        .or_else(|| services::cells(group, kind, object, printer))
        .or_else(|| cluster::cells(group, kind, object, printer))
        .or_else(|| policy::cells(group, kind, object, printer))
}

/// The table of `items`; the first of a watch names its columns, the later ones do not.
pub(super) fn table(form: &Form, items: &[Value], metadata: Value, now: Time, has_columns: bool) -> Value {
    let printer = Printer { now };
    let custom = form.custom.as_ref().and_then(|(kind, version)| kind.version(version));
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let cells = match custom {
                Some(version) => custom::cells(version, item, &printer),
                None => cells(form, item, &printer)
                    .unwrap_or_else(|| vec![name_of(item), Value::from(meta::creation_timestamp(item))]),
            };
            let mut row = object! { "cells" => cells, "object" => row_object(form, item) };
            if form.group.is_empty() && form.kind == "Pod" {
                let (reason, message) = match item.text("status.phase") {
                    "Succeeded" => ("Succeeded", "The pod has completed successfully."),
                    "Failed" => ("Failed", "The pod failed."),
                    _ => return row,
                };
                let condition = object! {
                    "type" => "Completed", "status" => "True", "reason" => reason, "message" => message,
                };
                row.set("conditions", array![condition]);
            }
            row
        })
        .collect();
    let columns = match custom {
        _ if !has_columns => Value::Null,
        Some(version) => custom::definitions(version),
        None => columns::definitions(&form.group, &form.kind),
    };
    object! {
        "kind" => "Table",
        "apiVersion" => "meta.k8s.io/v1",
        "metadata" => metadata,
        "columnDefinitions" => columns,
        "rows" => rows,
    }
}

/// What stands beside the cells: the metadata alone, unless the whole object was asked for.
fn row_object(form: &Form, object: &Value) -> Value {
    if form.table_objects {
        return object.clone();
    }
    object! {
        "kind" => Text::from("PartialObjectMetadata"),
        "apiVersion" => Text::from("meta.k8s.io/v1"),
        "metadata" => object.at("metadata"),
    }
}
