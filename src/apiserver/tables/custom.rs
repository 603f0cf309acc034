//! Tables of custom resources: the columns that their definition asks for.
//!
//! Picture to hold in mind: a form with windows cut by the customer: through each, one spot of the sheet below is read.
//!
//! Follows apiextensions-apiserver `pkg/registry/customresource/tableconvertor` and `getColumnsForVersion`.

use crate::api::custom::CustomVersion;
use crate::api::jsonpath::JsonPath;
use crate::api::{Text, Value, meta};
use crate::arrange::Gather;
use crate::object;

use super::Printer;

/// A column: its definition, and where its cells are found; `None` for the age that stands where there are no columns.
struct Column<'a> {
    name: &'a str,
    kind: &'a str,
    path: &'a str,
    definition: Option<&'a Value>,
}

/// The columns beside the name. A path that cannot be read spoils them all.
fn columns(version: &CustomVersion) -> Vec<(Column<'_>, JsonPath)> {
    let age = Column { name: "Age", kind: "date", path: ".metadata.creationTimestamp", definition: None };
    let own = version.columns();
    let columns: Vec<Column> = if own.is_empty() {
        vec![age]
    } else {
        let column = |column| Column {
            name: Value::text(column, "name"),
            kind: Value::text(column, "type"),
            path: Value::text(column, "jsonPath"),
            definition: Some(column),
        };
        own.iter().map(column).collect()
    };
    fn read(column: Column<'_>) -> Option<(Column<'_>, JsonPath)> {
        let path = JsonPath::parse(&format!("{{{}}}", column.path)).ok()?.allow_missing_keys(true);
        Some((column, path))
    }
    let count = columns.len();
    let read: Vec<_> = columns.into_iter().map_while(read).gather();
    if read.len() == count { read } else { Vec::new() }
}

/// The `columnDefinitions` of a version's table.
pub(super) fn definitions(version: &CustomVersion) -> Value {
    let name = super::columns::column("Name", "string", 0);
    let rest = columns(version).into_iter().map(|(column, _)| {
        let own = column.definition.unwrap_or(&Value::Null);
        let description = match own.text("description") {
            "" if column.definition.is_none() => Text::new(),
            "" => {
                Text::from(format!("Custom resource definition column (in JSONPath format): {}", column.path))
            }
            text => Text::from(text),
        };
        object! {
            "name" => column.name,
            "type" => column.kind,
            "format" => own.text("format"),
            "description" => description,
            "priority" => own.integer("priority").unwrap_or(0),
        }
    });
    Value::array(std::iter::once(name).chain(rest))
}

/// The cells of one object.
pub(super) fn cells(version: &CustomVersion, object: &Value, printer: &Printer) -> Vec<Value> {
    let mut cells = vec![Value::from(meta::name(object))];
    for (column, path) in columns(version) {
        let found = path.find(object).unwrap_or_default();
        let value = found.first().and_then(|list| list.first()).cloned().unwrap_or(Value::Null);
        cells.push(cell(column.kind, &value, printer));
    }
    cells
}

/// `cellForJSONValue`; texts are printed whatever they are.
fn cell(kind: &str, value: &Value, printer: &Printer) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => Value::from(crate::api::jsonpath::print(other)),
        ("integer" | "number", Value::Integer(_)) | ("number", Value::Float(_)) => value.clone(),
        ("integer", Value::Float(number)) => Value::from(*number as i64),
        ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => match crate::api::time::parse_rfc3339(text) {
            Some(_) => printer.since(text),
            None => Value::from("<invalid>"),
        },
        _ => Value::Null,
    }
}
