//! How results are shown: as YAML, as JSON, by name, through a template, in columns.
//!
//! Picture to hold in mind: one photograph and several frames. The object is the same; `-o` chooses the frame.
//!
//! Follows `k8s.io/cli-runtime/pkg/printers` and `k8s.io/kubectl/pkg/cmd/get` (customcolumn.go).

use crate::api::field::go_quote;
use crate::api::jsonpath::{self, JsonPath};
use crate::api::{Value, yaml};
use crate::arrange::Gather;
use crate::object;

use super::failure::{Failure, Outcome, fail};
use super::session::{Session, kind_of};
use super::tab_writer::{self, TABLE};

/// What `-o` asks for.
#[derive(Clone, Debug)]
pub enum Format {
    /// The table, or the one-line message of a command that changes something.
    Human {
        wide: bool,
    },
    Name,
    Json,
    Yaml,
    /// Kubernetes' own dialect: flow style, strings in quotes.
    Kyaml,
    JsonPath(JsonPath, String),
    JsonPathAsJson(JsonPath),
    GoTemplate(super::template::Template, String),
    Columns(Vec<Column>),
}

#[derive(Clone, Debug)]
pub struct Column {
    pub header: String,
    pub path: JsonPath,
}

/// The formats of `get`, as its error lists them.
const GET_FORMATS: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,wide,yaml";
const CHANGE_FORMATS: &str = "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,yaml";

impl Session<'_, '_, '_> {
    /// Reads `-o` and `--template`. `for_get`: with tables and columns.
    pub fn format(&mut self, for_get: bool) -> Outcome<Format> {
        let mut text = self.flags.text("output").to_string();
        let template = self.flags.text("template").to_string();
        if text.is_empty() && !template.is_empty() {
            text = "go-template".into();
        }
        let (kind, argument) = match text.split_once('=') {
            Some((kind, argument)) => (kind.to_string(), argument.to_string()),
            None => (text.clone(), template),
        };
        let keeps_missing = self.flags.switch("allow-missing-template-keys");
        Ok(match kind.as_str() {
            "" => Format::Human { wide: false },
            "wide" if for_get => Format::Human { wide: true },
            "name" => Format::Name,
            "json" => Format::Json,
            "yaml" => Format::Yaml,
            "kyaml" => Format::Kyaml,
            "jsonpath" | "jsonpath-as-json" | "jsonpath-file" => {
                let mut source = argument;
                if source.is_empty() {
                    return fail("template format specified but no template given");
                }
                if kind == "jsonpath-file" {
                    source = match self.read_file(&source) {
                        Ok(text) => text.to_string(),
                        Err(error) => {
                            return fail(format!(
                                "error reading --template {source}, open {source}: {}",
                                error.message().to_ascii_lowercase()
                            ));
                        }
                    };
                }
                let path = JsonPath::parse(&source)
                    .map_err(|error| Failure::Message(format!("error parsing jsonpath {source}, {error}")))?
                    .allow_missing_keys(keeps_missing);
                if kind == "jsonpath-as-json" {
                    Format::JsonPathAsJson(path)
                } else {
                    Format::JsonPath(path, source)
                }
            }
            "go-template" | "template" | "go-template-file" | "templatefile" => {
                let mut source = argument;
                if source.is_empty() {
                    return fail("template format specified but no template given");
                }
                if kind.ends_with("file") {
                    source = match self.read_file(&source) {
                        Ok(text) => text.to_string(),
                        Err(error) => {
                            return fail(format!(
                                "error reading --template {source}, open {source}: {}",
                                error.message().to_ascii_lowercase()
                            ));
                        }
                    };
                }
                match super::template::Template::parse(&source) {
                    Ok(template) => Format::GoTemplate(template, source),
                    Err(error) => {
                        return fail(format!("error parsing template {source}, template: output:1: {error}"));
                    }
                }
            }
            "custom-columns" | "custom-columns-file" if for_get => {
                let mut source = argument;
                if source.is_empty() {
                    return fail("custom-columns format specified but no custom columns given");
                }
                if kind == "custom-columns-file" {
                    source = match self.read_file(&source) {
                        Ok(text) => columns_file(&text)?,
                        Err(error) => {
                            return fail(format!(
                                "error reading template {source}, open {source}: {}",
                                error.message().to_ascii_lowercase()
                            ));
                        }
                    };
                }
                Format::Columns(columns(&source, keeps_missing)?)
            }
            _ => {
                let allowed = if for_get { GET_FORMATS } else { CHANGE_FORMATS };
                return fail(format!(
                    "unable to match a printer suitable for the output format {kind:?}, allowed formats are: {allowed}"
                ));
            }
        })
    }

    /// Prints what a changing command did: `pod/x created`, or the object in another format.
    pub fn print_change(&mut self, format: &Format, object: &Value, operation: &str) -> Outcome {
        match format {
            Format::Human { .. } => {
                let suffix = self.dry_run()?.suffix();
                self.println(format!(
                    "{}/{} {operation}{suffix}",
                    kind_of(object),
                    object.text("metadata.name")
                ));
                Ok(())
            }
            format => self.print_object(format, object),
        }
    }

    /// Prints one object, or a list, in a format that is not a table.
    pub fn print_object(&mut self, format: &Format, object: &Value) -> Outcome {
        match format {
            Format::Human { .. } => {}
            Format::Name => {
                let items =
                    if is_list(object) { object.items("items") } else { std::slice::from_ref(object) };
                for item in items {
                    self.println(format!("{}/{}", kind_of(item), item.text("metadata.name")));
                }
            }
            Format::Json => {
                let text = go_json(&self.without_managed_fields(object));
                self.println(text);
            }
            Format::Yaml => {
                let shown = self.without_managed_fields(object);
                // Objects after the first are parted by a line.
                if !self.first_time("yaml printed") {
                    self.println("---");
                }
                self.print(yaml::to_string(&shown));
            }
            Format::Kyaml => {
                let shown = self.without_managed_fields(object);
                self.println(format!("---\n{}", kyaml(&shown, 0)));
            }
            Format::JsonPath(path, source) => match path.render(object) {
                Ok(text) => self.print(text),
                Err(error) => {
                    return fail(format!(
                        "error executing jsonpath {source:?}: Error executing template: {error}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{source}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n\n",
                        go_syntax(object)
                    ));
                }
            },
            Format::JsonPathAsJson(path) => match path.find(object) {
                Ok(found) => {
                    let values: Vec<Value> = found.into_iter().flatten().gather();
                    self.println(go_json(&Value::from(values)));
                }
                Err(error) => return fail(format!("error executing jsonpath: {error}")),
            },
            Format::GoTemplate(template, source) => match template.render(object) {
                Ok(text) => self.print(text),
                Err((written, error)) => {
                    self.print(written);
                    self.print(format!(
                        "Error executing template: {error}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{source}\n\traw data was:\n\t\t{object}\n\tobject given to template engine was:\n\t\t{}\n\n",
                        crate::api::patch::go_display(object)
                    ));
                    return fail(format!("error executing template {source:?}: {error}"));
                }
            },
            Format::Columns(columns) => {
                let items =
                    if is_list(object) { object.items("items") } else { std::slice::from_ref(object) };
                let headers = !self.flags.switch("no-headers");
                let text = columns_text(columns, items, headers)?;
                self.print(text);
            }
        }
        Ok(())
    }
    fn without_managed_fields(&self, object: &Value) -> Value {
        if self.flags.switch("show-managed-fields") {
            return object.clone();
        }
        let mut shown = object.clone();
        shown.remove("metadata.managedFields");
        if is_list(object) {
            let items: Vec<Value> = object
                .items("items")
                .iter()
                .map(|item| {
                    let mut item = item.clone();
                    item.remove("metadata.managedFields");
                    item
                })
                .collect();
            shown.set("items", items);
        }
        shown
    }
}

pub fn is_list(object: &Value) -> bool {
    object.text("kind").ends_with("List") && object.at("items").as_array().is_some()
}

/// Go's `json.MarshalIndent` with four blanks: `<`, `>` and `&` are escaped.
pub fn go_json(value: &Value) -> String {
    let mut text = String::new();
    write_json(value, 0, &mut text);
    text
}

fn write_json(value: &Value, depth: usize, out: &mut String) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                write_json(item, depth + 1, out);
            }
            indent(out, depth);
            out.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                write_text(key, out);
                out.push_str(": ");
                write_json(item, depth + 1, out);
            }
            indent(out, depth);
            out.push('}');
        }
        Value::String(text) => write_text(text, out),
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, out: &mut String) {
    for character in Value::from(text).to_string().chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
}

fn kyaml(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth + 1);
    let end = "  ".repeat(depth);
    match value {
        Value::Object(map) if map.is_empty() => "{}".into(),
        Value::Object(map) => {
            let fields: String = map
                .iter()
                .map(|(key, item)| {
                    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                    let key = if plain { key.to_string() } else { format!("{:?}", key.as_str()) };
                    format!("{pad}{key}: {},\n", kyaml(item, depth + 1))
                })
                .collect();
            format!("{{\n{fields}{end}}}")
        }
        Value::Array(items) if items.is_empty() => "[]".into(),
        Value::Array(items) if items.iter().all(|item| item.as_object().is_some()) => {
            let items: Vec<String> = items.iter().map(|item| kyaml(item, depth)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Array(items) => {
            let items: String =
                items.iter().map(|item| format!("{pad}{},\n", kyaml(item, depth + 1))).collect();
            format!("[\n{items}{end}]")
        }
        other => other.to_string(),
    }
}

fn columns(source: &str, keeps_missing: bool) -> Result<Vec<Column>, Failure> {
    source
        .split(',')
        .map(|part| {
            let Some((header, path)) = part.split_once(':') else {
                return Err(Failure::Message(format!(
                    "unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
                )));
            };
            column(header, path, keeps_missing)
        })
        .collect()
}
fn column(header: &str, path: &str, keeps_missing: bool) -> Result<Column, Failure> {
    let path = jsonpath::relaxed(path).map_err(Failure::Message)?;
    let path = JsonPath::parse(&path).map_err(Failure::Message)?.allow_missing_keys(keeps_missing);
    Ok(Column { header: header.to_string(), path })
}
/// Two lines: headers, and paths below them.
fn columns_file(text: &str) -> Result<String, Failure> {
    let mut lines = text.lines();
    let (headers, paths) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let (headers, paths): (Vec<&str>, Vec<&str>) =
        (headers.split_whitespace().gather(), paths.split_whitespace().gather());
    for (missing, line) in [(headers.is_empty(), "header"), (paths.is_empty(), "spec")] {
        if missing {
            return Err(Failure::Message(format!(
                "invalid template, missing {line} line. Expected format is one line of space separated headers, one line of space separated column specs."
            )));
        }
    }
    if headers.len() != paths.len() {
        return Err(Failure::Message(format!(
            "number of headers ({}) and field specifications ({}) don't match",
            headers.len(),
            paths.len()
        )));
    }
    let pairs: Vec<String> =
        headers.iter().zip(paths).map(|(header, path)| format!("{header}:{path}")).collect();
    Ok(pairs.join(","))
}

fn columns_text(columns: &[Column], items: &[Value], headers: bool) -> Result<String, Failure> {
    let mut text = String::new();
    if headers {
        let names: Vec<&str> = columns.iter().map(|column| column.header.as_str()).collect();
        text += &format!("{}\n", names.join("\t"));
    }
    for item in items {
        let mut cells = Vec::new();
        for column in columns {
            let found = column.path.find(item).map_err(Failure::Message)?;
            let values: Vec<String> =
                found.into_iter().flatten().map(|value| crate::api::patch::go_display(&value)).gather();
            cells.push(if values.is_empty() { "<none>".to_string() } else { values.join(",") });
        }
        text += &format!("{}\n", cells.join("\t"));
    }
    Ok(tab_writer::align(&text, TABLE))
}

/// Several objects as one `List`, as `get` shows them.
pub fn list_of(items: Vec<Value>) -> Value {
    object! { "apiVersion" => "v1", "kind" => "List", "metadata" => object! { "resourceVersion" => "" }, "items" => Value::from(items) }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    let list = |parts: Vec<String>| ["{", &parts.join(", "), "}"].concat();
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::Array(items) => "[]interface {}".to_string() + &list(items.iter().map(go_syntax).gather()),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| [&go_quote(key), ":", &go_syntax(value)].concat());
            "map[string]interface {}".to_string() + &list(entries.gather())
        }
        Value::String(text) => go_quote(text),
        other => other.to_string(),
    }
}
