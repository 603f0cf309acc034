//! `kubectl get --watch`.
//!
//! Picture to hold in mind: the window stays open, and somebody calls out what is hung up, changed or taken down: in the
//! columns that were drawn first, which only ever get wider.
//!
//! Follows `watch` in `k8s.io/kubectl/pkg/cmd/get/get.go`.

use std::ops::ControlFlow;

use crate::api::Value;
use crate::client::{Answer, request};
use crate::message::rest::{Options, WatchType};
use crate::{array, object};

use super::super::builder::{Info, Selection, infos_of_list, list_failure};
use super::super::failure::{Failure, Outcome, Stop, fail};
use super::super::print::Format;
use super::super::session::{Mapping, Session};
use super::super::tab_writer::{TABLE, align_remembering};
use super::Layout;

#[derive(Clone, Default)]
struct Watching {
    ticket: Option<u64>,
    widths: Vec<usize>,
    columns: Value,
    printed_header: bool,
    /// The first event of a watch on one object repeats what was printed.
    skip_first: bool,
}

/// Several objects are shown before it turns out that they cannot be watched.
fn several(session: &mut Session, format: &Format, infos: &[Info]) -> Outcome {
    let (is_table, wide) =
        (matches!(format, Format::Human { .. }), matches!(format, Format::Human { wide: true }));
    let with_objects = !session.flags.text("sort-by").is_empty();
    let mut found = Vec::new();
    for info in infos {
        let request = info.get_request().options(|options| {
            options.as_table = is_table;
            options.table_objects = with_objects;
        });
        found.push(match session.attempt(request)? {
            Err(failure) if failure.is_not_found() && session.flags.switch("ignore-not-found") => {
                return Ok(());
            }
            object => object?,
        });
    }
    if let Some(first) = infos.first()
        && !session.flags.switch("watch-only")
    {
        let layout = Layout::new(session, &first.mapping, wide, false)?;
        let event = session.flags.switch("output-watch-events").then_some("ADDED");
        let mut state = Watching::default();
        for object in &found {
            show(session, format, &layout, &first.mapping, object, event, &mut state)?;
        }
    }
    if session.flags.list("filename").len() != 1 {
        return fail("you may only watch a single resource or type of resource at a time");
    }
    fail(format!(
        "watch is only supported on individual resources and resource collections - {} resources were found",
        infos.len()
    ))
}

/// `-w`: the list, then what changes, until it is stopped.
pub fn run(session: &mut Session, format: &Format, selection: Selection) -> Outcome {
    let wide = matches!(format, Format::Human { wide: true });
    let is_table = matches!(format, Format::Human { .. });
    let (mapping, namespace, name, labels, fields) = match selection {
        Selection::Listed { mut mappings, namespace, label_selector, field_selector } => {
            let mapping = mappings.remove(0);
            let namespace = if mapping.namespaced() { namespace } else { String::new() };
            (mapping, namespace, None, label_selector, field_selector)
        }
        Selection::Named { mut infos, .. } | Selection::Files { mut infos, .. } => {
            if infos.len() != 1 {
                return several(session, format, &infos);
            }
            let info = infos.remove(0);
            (info.mapping, info.namespace, Some(info.name), String::new(), String::new())
        }
    };
    let only = session.flags.switch("watch-only");
    let with_event = session.flags.switch("output-watch-events");
    let with_objects = !session.flags.text("sort-by").is_empty();
    let listed = session.settle(|session| {
        let shape = |options: &mut Options| {
            options.as_table = is_table;
            options.table_objects = with_objects;
        };
        let first = match &name {
            Some(name) => {
                session.attempt(request::get(&mapping.resource(), &namespace, name).options(shape))?
            }
            None => session.list(&mapping, &namespace, &labels, &fields, shape)?,
        };
        let first = match first {
            Ok(first) => first,
            Err(failure) if failure.is_not_found() && session.flags.switch("ignore-not-found") => {
                return Ok(None);
            }
            Err(failure) => return Err(failure.into()),
        };
        let mut state = Watching {
            ticket: None,
            widths: Vec::new(),
            columns: first.at("columnDefinitions").clone(),
            printed_header: false,
            skip_first: name.is_some(),
        };
        if !only {
            let layout = Layout::new(session, &mapping, wide, false)?;
            show(session, format, &layout, &mapping, &first, with_event.then_some("ADDED"), &mut state)?;
        }
        let version = match &name {
            Some(_) => "0".into(),
            None => first.shared_text("metadata.resourceVersion"),
        };
        Ok(Some((state, version)))
    })?;
    let Some((state, version)) = &*listed else { return Ok(()) };
    let layout = Layout::new(session, &mapping, wide, false)?;
    let mut state = state.clone();
    let mut wanted = request::watch(&mapping.resource(), &namespace, version);
    wanted.options.allow_watch_bookmarks = false;
    wanted.options.as_table = is_table;
    wanted.options.label_selector = labels.as_str().into();
    wanted.options.field_selector = match &name {
        Some(name) => format!("metadata.name={name}").into(),
        None => fields.as_str().into(),
    };
    let ticket = session.open_watch(wanted);
    state.ticket = Some(ticket);
    let state = session.fold(state, |session, mut state| {
        let answer = session.cli.next(ticket, None)?;
        match answer {
            Some(Answer::Response(response)) if !response.is_success() => {
                let failure = Failure::Status(response.body.clone());
                Err(list_failure(failure, &mapping, &labels, &fields).into())
            }
            Some(Answer::Watch(event)) => {
                let kind = match event.kind {
                    WatchType::Added => "ADDED",
                    WatchType::Modified => "MODIFIED",
                    WatchType::Deleted => "DELETED",
                    WatchType::Bookmark => return Ok(ControlFlow::Continue(state)),
                    WatchType::Error => return Err(Failure::Status(event.object.clone()).into()),
                };
                if state.skip_first && !only {
                    state.skip_first = false;
                    return Ok(ControlFlow::Continue(state));
                }
                show(
                    session,
                    format,
                    &layout,
                    &mapping,
                    &event.object,
                    with_event.then_some(kind),
                    &mut state,
                )?;
                Ok(ControlFlow::Continue(state))
            }
            Some(Answer::Response(_)) => Ok(ControlFlow::Continue(state)),
            Some(Answer::Closed(_)) | None => Ok(ControlFlow::Break(state)),
        }
    })?;
    if let Some(ticket) = state.ticket {
        session.cli.close(ticket);
    }
    Ok(())
}

fn show(
    session: &mut Session,
    format: &Format,
    layout: &Layout,
    mapping: &Mapping,
    object: &Value,
    event: Option<&str>,
    state: &mut Watching,
) -> Outcome {
    if !matches!(format, Format::Human { .. }) {
        let items = match object.at("items").as_array() {
            Some(_) => infos_of_list(mapping, object).into_iter().map(|info| info.object).collect(),
            None => vec![object.clone()],
        };
        for item in items {
            let shown = match event {
                Some(event) => object! { "type" => event, "object" => item },
                None => item,
            };
            session.print_object(format, &shown)?;
        }
        return Ok(());
    }
    if let Some(columns) = object.get("columnDefinitions").filter(|columns| !columns.is_empty()) {
        state.columns = columns.clone();
    }
    let rows = match layout.rows(object, state.columns.as_array().unwrap_or(&[]), event) {
        Err(Stop::Failure(failure)) => {
            return Err(failure.with_prefix("unable to output the provided object: ").into());
        }
        rows => rows?,
    };
    if rows.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    if !state.printed_header && !layout.no_headers {
        text = layout.header(
            &object! { "columnDefinitions" => state.columns.clone(), "rows" => array![] },
            event.is_some(),
        );
    }
    state.printed_header = true;
    text += &rows;
    let aligned = align_remembering(&text, TABLE, &mut state.widths);
    session.print(aligned);
    Ok(())
}
