//! `kubectl get`.
//!
//! Picture to hold in mind: a window on the show-room. The server hangs up its tables; here is decided which
//! columns are seen, in which order, and whether the window stays open.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/get/get.go` and cli-runtime's `tableprinter.go`.

mod watch;

use crate::api::Value;
use crate::api::jsonpath::{self, JsonPath};
use crate::api::status::Status;
use crate::arrange::{Arrange, Gather};
use crate::client::{request, url};
use crate::message::rest::Request;

use super::builder::{Info, Rules, Selection};
use super::failure::{Failure, Outcome, fail};
use super::print::{Format, list_of};
use super::session::{Mapping, Session};
use super::tab_writer::{TABLE, align};

pub const FLAGS: &[&str] = &[
    "all-namespaces",
    "allow-missing-template-keys",
    "chunk-size",
    "field-selector",
    "filename",
    "ignore-not-found",
    "kustomize",
    "label-columns",
    "no-headers",
    "output",
    "output-watch-events",
    "raw",
    "recursive",
    "selector",
    "server-print",
    "show-kind",
    "show-labels",
    "show-managed-fields",
    "sort-by",
    "subresource",
    "template",
    "watch",
    "watch-only",
];

pub fn run(session: &mut Session) -> Outcome {
    if session.flags.is_set("raw") {
        return raw(session);
    }
    let operands = session.operands().to_vec();
    if operands.is_empty() && !session.has_files() {
        let hint = "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n";
        session.eprintln(hint);
        return Err(Failure::Exact(
            "error: Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples".into(),
        )
        .into());
    }
    let format = session.format(true)?;
    let watches = session.flags.switch("watch") || session.flags.switch("watch-only");
    if session.flags.switch("output-watch-events") && !watches {
        return fail("--output-watch-events option can only be used with --watch or --watch-only");
    }
    let rules = Rules {
        all_without_selector: true,
        all_namespaces: session.flags.switch("all-namespaces"),
        single_type: watches,
    };
    if watches && session.flags.is_set("sort-by") {
        let warning = match session.flags.switch("watch") {
            true => "warning: --watch requested, --sort-by will be ignored for watch events received",
            false => "warning: --watch-only requested, --sort-by will be ignored",
        };
        session.eprintln(warning);
    }
    let selection = session.select(&operands, rules)?;
    if watches {
        return watch::run(session, &format, selection);
    }
    match format {
        Format::Human { wide } => tables(session, wide, selection),
        format => objects(session, &format, selection),
    }
}

/// What happens to the failure of one part: `--ignore-not-found` forgets some.
fn kept(session: &Session, failures: Vec<Failure>) -> Vec<Failure> {
    let ignores = session.flags.switch("ignore-not-found");
    failures.into_iter().filter(|failure| !(ignores && failure.is_not_found())).gather()
}

/// Every format but the table: one object, or all in one list.
fn objects(session: &mut Session, format: &Format, selection: Selection) -> Outcome {
    let single =
        matches!(&selection, Selection::Named { single: true, .. } | Selection::Files { single: true, .. });
    let subresource = session.flags.text("subresource").to_string();
    let (mut infos, failures) = match selection {
        Selection::Files { infos, failures, .. } => {
            let (found, missing) = session.fetch_named(infos)?;
            (found, failures.into_iter().chain(missing).collect())
        }
        Selection::Named { infos, .. } if !subresource.is_empty() => {
            let mut found = (Vec::new(), Vec::new());
            for mut info in infos {
                match session.attempt(info.get_request().subresource(&subresource))? {
                    Ok(object) => {
                        info.object = object;
                        found.0.push(info);
                    }
                    Err(failure) => found.1.push(failure),
                }
            }
            found
        }
        other => session.fetch(other)?,
    };
    let failures = kept(session, failures);
    if single && !failures.is_empty() {
        return Ok(Failure::many(failures)?);
    }
    if infos.is_empty() && session.flags.switch("ignore-not-found") {
        return Ok(Failure::many(failures)?);
    }
    if !single {
        sort_infos(session, &mut infos)?;
    }
    let shown = match infos.as_slice() {
        [one] if single => one.object.clone(),
        several => list_of(several.iter().map(|info| info.object.clone()).collect()),
    };
    session.print_object(format, &shown)?;
    Ok(Failure::many(failures)?)
}

fn sort_infos(session: &mut Session, infos: &mut [Info]) -> Outcome {
    let field = session.flags.text("sort-by").to_string();
    if field.is_empty() || infos.is_empty() {
        return Ok(());
    }
    let path = sortable(&field, infos.iter().map(|info| &info.object))?;
    infos.arrange_by_key(|info| sort_key(&path, &info.object));
    Ok(())
}

/// The field to sort by, which at least one object must have.
fn sortable<'a>(field: &str, mut objects: impl Iterator<Item = &'a Value>) -> Outcome<JsonPath> {
    let relaxed = jsonpath::relaxed(field).map_err(Failure::Message)?;
    let path = match JsonPath::parse(&relaxed) {
        Ok(path) => path.allow_missing_keys(true),
        Err(error) => return fail(error),
    };
    if objects.any(|object| sort_key(&path, object).0 != 0) {
        return Ok(path);
    }
    fail(format!("couldn't find any field with path {relaxed:?} in the list of objects"))
}

/// Numbers by size, quantities by amount, texts by letters; what is missing comes first.
fn sort_key(path: &JsonPath, object: &Value) -> (u8, i64, String) {
    let found = path.find(object).ok().and_then(|found| found.into_iter().flatten().next());
    match found {
        None | Some(Value::Null) => (0, 0, String::new()),
        Some(Value::Integer(number)) => (1, number, String::new()),
        Some(Value::String(text)) => match crate::api::quantity::Quantity::parse(&text) {
            Ok(quantity) => (1, quantity.milli_value(), text.to_string()),
            Err(_) => (2, 0, text.to_string()),
        },
        Some(other) => (2, 0, other.to_string()),
    }
}

/// Tables from the server, one block a resource.
fn tables(session: &mut Session, wide: bool, selection: Selection) -> Outcome {
    let mut blocks: Vec<(Mapping, Vec<Value>)> = Vec::new();
    let mut failures = Vec::new();
    let mut all_namespaced = !session.flags.switch("all-namespaces");
    let with_objects = !session.flags.text("sort-by").is_empty();
    let subresource = session.flags.text("subresource").to_string();
    match selection {
        Selection::Listed { mappings, namespace, label_selector, field_selector } => {
            for mapping in mappings {
                all_namespaced &= mapping.namespaced();
                let scope = if mapping.namespaced() { namespace.as_str() } else { "" };
                let listed = session.list(&mapping, scope, &label_selector, &field_selector, |options| {
                    options.as_table = true;
                    options.table_objects = with_objects;
                })?;
                match listed {
                    Ok(table) => blocks.push((mapping, vec![table])),
                    Err(failure) => failures.push(failure),
                }
            }
        }
        Selection::Named { infos, .. } => {
            fetch_tables(
                session,
                infos,
                with_objects,
                &subresource,
                &mut blocks,
                &mut failures,
                &mut all_namespaced,
            )?;
        }
        Selection::Files { infos, failures: bad, .. } => {
            failures.extend(bad);
            fetch_tables(
                session,
                infos,
                with_objects,
                &subresource,
                &mut blocks,
                &mut failures,
                &mut all_namespaced,
            )?;
        }
    }
    let failures = kept(session, failures);
    let field = session.flags.text("sort-by").to_string();
    let all: Vec<&Value> = blocks.iter().flat_map(|(_, tables)| tables).gather();
    if !field.is_empty() && all.len() > 1 {
        // Upstream looks for the field in the tables themselves.
        sortable(&field, all.into_iter())?;
    }
    let with_kind = blocks.len() > 1 && blocks.iter().any(|(mapping, _)| *mapping != blocks[0].0);
    let (mut printed, mut with_namespace) = (false, false);
    for (mapping, tables) in blocks {
        let mut layout = Layout::new(session, &mapping, wide, with_kind)?;
        // Once asked for, upstream's printers do not forget the column.
        layout.with_namespace |= with_namespace;
        let mut text = String::new();
        let mut header_done = false;
        for table in &tables {
            // What cannot be sorted is not shown, and nobody says so.
            let Ok(rows) = layout.rows(table, table.items("columnDefinitions"), None) else { continue };
            if rows.is_empty() {
                continue;
            }
            if !header_done && !layout.no_headers {
                text += &layout.header(table, false);
            }
            header_done = true;
            text += &rows;
        }
        if text.is_empty() {
            continue;
        }
        if printed && !layout.no_headers {
            session.print("\n");
        }
        session.print(align(&text, TABLE));
        (printed, with_namespace) = (true, layout.with_namespace);
    }
    if !printed && failures.is_empty() && !session.flags.switch("ignore-not-found") {
        let message = match all_namespaced {
            true => format!("No resources found in {} namespace.", session.namespace()),
            false => "No resources found".into(),
        };
        session.eprintln(message);
    }
    Ok(Failure::many(failures)?)
}

fn fetch_tables(
    session: &mut Session,
    infos: Vec<Info>,
    with_objects: bool,
    subresource: &str,
    blocks: &mut Vec<(Mapping, Vec<Value>)>,
    failures: &mut Vec<Failure>,
    all_namespaced: &mut bool,
) -> Outcome {
    for info in infos {
        let request = info.get_request().subresource(subresource).options(|options| {
            options.as_table = true;
            options.table_objects = with_objects;
        });
        match session.attempt(request)? {
            Ok(table) => {
                *all_namespaced &= info.mapping.namespaced();
                match blocks.last_mut() {
                    Some((mapping, tables)) if *mapping == info.mapping => tables.push(table),
                    _ => blocks.push((info.mapping, vec![table])),
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    Ok(())
}

/// Which columns of a table are seen, and what is added.
#[derive(Clone, Debug)]
struct Layout {
    wide: bool,
    no_headers: bool,
    with_namespace: bool,
    show_labels: bool,
    label_columns: Vec<String>,
    /// Put before names: `deployment.apps/`.
    kind_prefix: Option<String>,
    /// Empty, or the field to sort by.
    sort: String,
}

impl Layout {
    fn new(session: &Session, mapping: &Mapping, wide: bool, with_kind: bool) -> Outcome<Layout> {
        let flags = &session.flags;
        Ok(Layout {
            wide,
            no_headers: flags.switch("no-headers"),
            with_namespace: flags.switch("all-namespaces") && mapping.namespaced(),
            show_labels: flags.switch("show-labels"),
            label_columns: flags.list("label-columns"),
            kind_prefix: (with_kind || flags.switch("show-kind")).then(|| mapping.short_kind() + "/"),
            sort: flags.text("sort-by").into(),
        })
    }
    fn is_seen(&self, column: &Value) -> bool {
        self.wide || column.integer("priority").unwrap_or(0) == 0
    }
    fn header(&self, table: &Value, with_event: bool) -> String {
        let mut cells: Vec<String> = Vec::new();
        if with_event {
            cells.push("EVENT".into());
        }
        if self.with_namespace {
            cells.push("NAMESPACE".into());
        }
        let columns = table.items("columnDefinitions").iter().filter(|column| self.is_seen(column));
        cells.extend(columns.map(|column| column.text("name").to_ascii_uppercase()));
        for label in &self.label_columns {
            cells.push(label.rsplit('/').next().unwrap_or(label).to_ascii_uppercase());
        }
        if self.show_labels {
            cells.push("LABELS".into());
        }
        cells.join("\t") + "\n"
    }
    /// Rows of a table, whose columns perhaps an earlier table named.
    fn rows(&self, table: &Value, columns: &[Value], event: Option<&str>) -> Outcome<String> {
        let mut rows: Vec<&Value> = table.items("rows").iter().collect();
        if !self.sort.is_empty() && rows.len() > 1 {
            let path = sortable(&self.sort, rows.iter().map(|row| row.at("object")))?;
            rows.arrange_by_key(|row| sort_key(&path, row.at("object")));
        }
        let is_name = |column: &Value| column.text("format") == "name" && column.text("type") == "string";
        let name_column = columns.iter().position(is_name);
        let mut text = String::new();
        for row in rows {
            let mut cells: Vec<String> = event.map(|event| format!("{event:<8}")).into_iter().collect();
            if self.with_namespace {
                cells.push(row.text("object.metadata.namespace").to_string());
            }
            for (index, (cell, column)) in row.items("cells").iter().zip(columns).enumerate() {
                if !self.is_seen(column) {
                    continue;
                }
                let shown = shown_cell(cell);
                cells.push(match &self.kind_prefix {
                    Some(prefix) if Some(index) == name_column => format!("{prefix}{shown}"),
                    _ => shown,
                });
            }
            let labels = row.map("object.metadata.labels");
            for label in &self.label_columns {
                cells.push(labels.get(label).and_then(Value::as_str).unwrap_or("").to_string());
            }
            if self.show_labels {
                let all: Vec<String> = labels
                    .iter()
                    .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
                    .collect();
                cells.push(if all.is_empty() { "<none>".into() } else { all.join(",") });
            }
            text += &cells.join("\t");
            text.push('\n');
        }
        Ok(text)
    }
}

/// One line of it, without what would upset the columns.
fn shown_cell(cell: &Value) -> String {
    let text = match cell {
        Value::Null => return String::new(),
        Value::String(text) => text.to_string(),
        other => return crate::api::patch::go_display(other),
    };
    let cut = text.find(['\u{c}', '\n', '\r']);
    let line = &text[..cut.unwrap_or(text.len())];
    let line = line.replace('\t', "\\t").replace('\u{1b}', "^[");
    if cut.is_some() { line + "..." } else { line }
}

fn raw(session: &mut Session) -> Outcome {
    let path = session.flags.text("raw").to_string();
    if !session.operands().is_empty() {
        return fail("arguments may not be passed when --raw is specified");
    }
    if !path.starts_with('/') {
        return fail(format!("--raw must be a valid URL path: parse {path:?}: invalid URI for request"));
    }
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let refused = |status: Status| Err(Failure::Status(status.to_value()).into());
    let Some(path) = url::decode(path, false) else {
        return fail(format!("--raw must be a valid URL path: parse {path:?}: invalid URL escape"));
    };
    let parameters = match url::query(query) {
        Ok(parameters) => parameters,
        Err(status) => return refused(status),
    };
    let request = match url::place(&path) {
        Some(place) => match url::options(parameters) {
            Ok((_, true)) => return fail("a watch has no end to print here: use \"kubectl get --watch\""),
            Ok((options, false)) => Request { options, ..request::at(&place) },
            Err(status) => return refused(status),
        },
        None => {
            let mut request = request::path(&path);
            request.options.parameters = parameters;
            request
        }
    };
    let body = session.send(request)?;
    match body {
        Value::String(text) => session.print(text),
        // The server writes `/version` over several lines, everything else in one.
        other if path == "/version" => {
            session.print(super::version::info_json(&other, ""));
        }
        other => session.print(format!("{other}\n")),
    }
    Ok(())
}
