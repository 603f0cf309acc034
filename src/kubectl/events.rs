//! `kubectl events`: what was noted lately, the newest last.
//!
//! Picture to hold in mind: the ship's log, opened at its last page.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/events`.

use std::ops::ControlFlow;

use crate::api::{Value, time_format};
use crate::arrange::{Arrange, Gather};
use crate::client::{Answer, request};
use crate::message::rest::WatchType;
use crate::object;
use crate::sim::Time;

use super::failure::{Failure, Outcome, fail};
use super::print::Format;
use super::session::Session;
use super::tab_writer::{TABLE, align_remembering};

pub const FLAGS: &[&str] = &[
    "all-namespaces",
    "allow-missing-template-keys",
    "chunk-size",
    "for:text",
    "no-headers",
    "output",
    "show-managed-fields",
    "template",
    "types",
    "watch",
];

fn age(timestamp: &str, now: Time) -> String {
    if timestamp.is_empty() { "<unknown>".into() } else { time_format::age(timestamp, now) }
}

/// When an event was seen, and how often.
fn interval(event: &Value, now: Time) -> String {
    let first = match event.text("eventTime") {
        "" => age(event.text("firstTimestamp"), now),
        time => age(time, now),
    };
    let count = event.integer("count").unwrap_or(0);
    if event.has("series") {
        let last = age(event.text("series.lastObservedTime"), now);
        format!("{last} (x{} over {first})", event.integer("series.count").unwrap_or(0))
    } else if count > 1 {
        format!("{} (x{count} over {first})", age(event.text("lastTimestamp"), now))
    } else {
        first
    }
}

/// The instant by which events are sorted.
fn instant(event: &Value) -> i64 {
    let text = if event.has("series") {
        event.text("series.lastObservedTime")
    } else if !event.text("lastTimestamp").is_empty() {
        event.text("lastTimestamp")
    } else {
        event.text("eventTime")
    };
    crate::api::time::parse_rfc3339(text).unwrap_or(i64::MIN)
}

/// Rows in columns, the header before the first.
#[derive(Clone)]
struct Table {
    with_namespace: bool,
    header: bool,
    widths: Vec<usize>,
}

impl Table {
    fn text(&mut self, events: &[Value], now: Time) -> String {
        let mut text = String::new();
        if std::mem::take(&mut self.header) {
            let namespace = if self.with_namespace { "NAMESPACE\t" } else { "" };
            text += &format!("{namespace}LAST SEEN\tTYPE\tREASON\tOBJECT\tMESSAGE\n");
        }
        for event in events {
            if self.with_namespace {
                text += &format!("{}\t", event.text("metadata.namespace"));
            }
            text += &format!(
                "{}\t{}\t{}\t{}/{}\t{}\n",
                interval(event, now),
                event.text("type"),
                event.text("reason"),
                event.text("involvedObject.kind"),
                event.text("involvedObject.name"),
                event.text("message").trim()
            );
        }
        align_remembering(&text, TABLE, &mut self.widths)
    }
}

pub fn run(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let all = flags.switch("all-namespaces");
    let namespace = if all { String::new() } else { session.namespace() };
    let mut fields = String::new();
    if let Some(about) = flags.list("for").last() {
        let parts: Vec<&str> = about.split('/').gather();
        let [kind, name] = parts.as_slice() else {
            return fail(match parts.len() {
                1 => "--for must be in resource/name form",
                _ => "arguments in resource/name form may not have more than one slash",
            });
        };
        let mapping = session.resource(&kind.to_ascii_lowercase())?;
        fields = format!(
            "involvedObject.kind={},involvedObject.apiVersion={},involvedObject.name={name}",
            mapping.info.kind,
            mapping.api_version()
        );
    }
    let format = session.format(false)?;
    let types = flags.list("types");
    if types.iter().any(|kind| !["normal", "warning"].contains(&kind.to_ascii_lowercase().as_str())) {
        return fail("valid --types are Normal or Warning");
    }
    let is_wanted = |event: &Value| {
        types.is_empty() || types.iter().any(|kind| kind.eq_ignore_ascii_case(event.text("type")))
    };
    let events = session.built_in("", "events");
    let mut table = Table { with_namespace: all, header: !flags.switch("no-headers"), widths: Vec::new() };
    if flags.switch("watch") {
        let watch = request::watch(&events.resource(), &namespace, "").options(|options| {
            options.field_selector = fields.as_str().into();
            options.allow_watch_bookmarks = false;
        });
        let ticket = session.open_watch(watch);
        session.fold(table, |session, mut table| {
            let answer = session.cli.next(ticket, None)?;
            let now = session.now();
            match answer {
                Some(Answer::Watch(event)) if event.kind == WatchType::Error => {
                    Err(Failure::Status(event.object.clone()).into())
                }
                Some(Answer::Watch(event))
                    if event.kind != WatchType::Deleted && is_wanted(&event.object) =>
                {
                    match &format {
                        Format::Human { .. } => {
                            let text = table.text(std::slice::from_ref(&event.object), now);
                            session.print(text);
                        }
                        format => session.print_object(format, &event.object)?,
                    }
                    Ok(ControlFlow::Continue(table))
                }
                Some(Answer::Response(response)) if !response.is_success() => {
                    Err(Failure::Status(response.body.clone()).into())
                }
                Some(Answer::Closed(_)) | None => Ok(ControlFlow::Break(table)),
                Some(_) => Ok(ControlFlow::Continue(table)),
            }
        })?;
        return Ok(());
    }
    let list = session.list(&events, &namespace, "", &fields, |_| {})??;
    let mut found: Vec<Value> = list.items("items").iter().filter(|event| is_wanted(event)).cloned().gather();
    if found.is_empty() {
        session.eprintln(match all {
            true => "No events found.".to_string(),
            false => format!("No events found in {namespace} namespace."),
        });
        return Ok(());
    }
    found.arrange_by_key(instant);
    let now = session.now();
    match &format {
        Format::Human { .. } => session.print(table.text(&found, now)),
        format => {
            for event in &mut found {
                event.set_default("apiVersion", "v1");
                event.set_default("kind", "Event");
            }
            let list = object! {
                "apiVersion" => "v1", "kind" => "EventList", "metadata" => object! {}, "items" => found,
            };
            session.print_object(format, &list)?;
        }
    }
    Ok(())
}
