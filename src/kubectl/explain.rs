//! `kubectl explain`: what the fields of a kind are.
//!
//! Picture to hold in mind: an atlas read aloud: each road out of a place, and where it leads.
//!
//! Follows `k8s.io/kubectl/pkg/explain/v2` and its plain-text template. What the fields of built-in kinds mean stands
//! in the atlas in our own words; custom resources bring their descriptions along.

use crate::api::Value;
use crate::api::schema::{Schema, SchemaType};
use crate::arrange::Gather;
use crate::client::request;

use super::failure::{Failure, Outcome, Stop, fail};
use super::session::{Mapping, Session};

/// A place of either kind: of our atlas, or of a custom resource's JSON schema.
#[derive(Clone)]
enum Place {
    BuiltIn(SchemaType<'static>),
    Custom(Value),
}

/// A road out of a place.
struct Road {
    name: String,
    place: Place,
    required: bool,
    /// `""` if nothing is said of it.
    description: String,
}

impl Place {
    /// What a list's items or a map's values are.
    fn element(&self) -> Option<Place> {
        match self {
            Place::BuiltIn(type_) => type_.element().map(Place::BuiltIn),
            Place::Custom(schema) => {
                let element =
                    if schema.has("items") { schema.at("items") } else { schema.at("additionalProperties") };
                element.as_object().map(|_| Place::Custom(element.clone()))
            }
        }
    }
    /// The place itself, or what lists and maps of it hold in the end.
    fn innermost(&self) -> Place {
        let mut place = self.clone();
        while let Some(element) = place.element() {
            place = element;
        }
        place
    }
    fn roads(&self) -> Vec<Road> {
        match self {
            Place::BuiltIn(type_) => type_
                .fields()
                .map(|field| Road {
                    name: field.info().name.to_string(),
                    place: Place::BuiltIn(field.type_()),
                    required: field.info().required,
                    description: type_.field_description(&field.info().name).into(),
                })
                .collect(),
            Place::Custom(schema) => {
                let place = |schema: &Value| match schema.has("x-object-meta") {
                    true => Place::BuiltIn(Schema::object_meta()),
                    false => Place::Custom(schema.clone()),
                };
                let required: Vec<&str> = schema.items("required").iter().filter_map(Value::as_str).gather();
                let properties = schema.map("properties").iter();
                properties
                    .map(|(name, schema)| Road {
                        name: name.to_string(),
                        place: place(schema),
                        required: required.contains(&name.as_str()),
                        description: schema.text("description").into(),
                    })
                    .collect()
            }
        }
    }
    fn type_name(&self) -> String {
        match self {
            Place::BuiltIn(type_) => type_.explain_name(),
            Place::Custom(schema) => match (self.element(), schema.text("type")) {
                (Some(element), _) if schema.has("items") => format!("[]{}", element.type_name()),
                (Some(element), _) => format!("map[string]{}", element.type_name()),
                (None, "object" | "") => "Object".into(),
                (None, name) => name.into(),
            },
        }
    }
    /// What tells that a walk goes in a circle: the name of an object's type.
    fn identity(&self) -> Option<String> {
        match self {
            Place::BuiltIn(type_) if !type_.is_scalar() && !type_.name().is_empty() => {
                Some(type_.go_name().to_string())
            }
            _ => None,
        }
    }
    fn values(&self) -> Vec<String> {
        match self {
            Place::BuiltIn(type_) => type_.values().iter().map(|value| value.to_string()).collect(),
            Place::Custom(schema) => schema.items("enum").iter().map(crate::api::patch::go_display).collect(),
        }
    }
    /// What is said of the place itself, to which roads add their own words.
    fn description(&self) -> String {
        let mut text = String::new();
        let own = match self {
            Place::BuiltIn(type_) if type_.is_kind() => type_.description(),
            Place::BuiltIn(_) => "",
            Place::Custom(schema) => schema.text("description"),
        };
        add_line(&mut text, own);
        if let Some(element) = self.element() {
            text += &element.description();
        }
        text
    }
}

fn add_line(text: &mut String, line: &str) {
    if !line.is_empty() {
        text.push_str(line);
        text.push('\n');
    }
}

/// Breaks `text` into lines of at most `width`, each with `indentation` before it.
fn wrapped(text: &str, width: usize, indentation: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    let pad = " ".repeat(indentation);
    lines.iter().map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n")
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "\"\"" } else { value }
}

fn field_list(place: &Place, recursive: bool, level: usize, history: &[String], out: &mut String) {
    let place = place.innermost();
    let identity = place.identity();
    if identity.as_ref().is_some_and(|identity| history.contains(identity)) {
        return;
    }
    let mut history = history.to_vec();
    history.extend(identity);
    let indentation = 2 * level;
    let pad = " ".repeat(indentation);
    for road in place.roads() {
        let required = if road.required { " -required-" } else { "" };
        *out += &format!("{pad}{}\t<{}>{required}", road.name, road.place.type_name());
        let values = road.place.values();
        if !values.is_empty() {
            let first: Vec<&str> = values.iter().take(4).map(|value| shown(value)).collect();
            let more = if values.len() > 4 { ", ...." } else { "" };
            *out += &format!("\n{pad}enum: {}{more}", first.join(", "));
        }
        out.push('\n');
        if recursive {
            field_list(&road.place, recursive, level + 1, &history, out);
        } else {
            let text =
                if road.description.is_empty() { "<no description>" } else { road.description.as_str() };
            *out += &format!("{}\n\n", wrapped(text, 78 - indentation.min(60), indentation + 2));
        }
    }
}

/// The page of what `path` leads to, or the name of the field that is not there.
fn page(place: &Place, path: &[&str], recursive: bool) -> Result<String, String> {
    let mut text = String::new();
    let mut place = place.clone();
    let mut description = String::new();
    for (index, name) in path.iter().enumerate() {
        let missing = || Err(path.last().unwrap_or(name).to_string());
        let Some(road) = place.innermost().roads().into_iter().find(|road| road.name == *name) else {
            return missing();
        };
        if index + 1 == path.len() {
            text += &format!("FIELD: {name} <{}>\n", road.place.type_name());
            let values = road.place.values();
            if !values.is_empty() {
                text += "ENUM:";
                text += &values.iter().map(|value| format!("\n    {}", shown(value))).collect::<String>();
            }
            text += "\n\n";
        }
        place = road.place;
        description.clear();
        if let Place::BuiltIn(_) = place {
            add_line(&mut description, &road.description);
        }
    }
    description += &place.description();
    let description = if description.is_empty() { "<empty>" } else { &description };
    text += &format!("DESCRIPTION:\n{}\n", wrapped(description, 76, 4));
    let mut fields = String::new();
    field_list(&place, recursive, 1, &[], &mut fields);
    if !fields.is_empty() {
        text += &format!("FIELDS:\n{fields}");
    }
    Ok(text)
}

pub fn run(session: &mut Session) -> Outcome {
    let operands = session.operands().to_vec();
    let what = match operands.as_slice() {
        [] => {
            return fail(
                "You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources.\n",
            );
        }
        [what] => what.as_str(),
        _ => return fail("We accept only this format: explain RESOURCE\n"),
    };
    let output = session.flags.text("output").to_string();
    if !matches!(output.as_str(), "plaintext" | "plaintext-openapiv2") {
        return fail(format!("unrecognized format: {output}"));
    }
    let (mut mapping, path) = target(session, what)?;
    if session.flags.is_set("api-version") {
        let version = session.flags.text("api-version");
        let (group, version) = crate::api::meta::split_api_version(version);
        if group != mapping.info.group || !mapping.info.serves(version) {
            return fail(format!(
                "couldn't find resource for \"{group}/{version}, Resource={}\"",
                mapping.info.plural
            ));
        }
        mapping.version = version.into();
    }
    let place = match mapping.info.custom {
        true => custom(session, &mapping)?,
        false => match Schema::built_in().kind(&mapping.api_version(), &mapping.info.kind) {
            Some(type_) => Place::BuiltIn(type_),
            None => return fail(format!("GVR ({}) not found in OpenAPI schema", mapping.go_string())),
        },
    };
    if !mapping.info.group.is_empty() {
        session.println(format!("GROUP:      {}", mapping.info.group));
    }
    session.println(format!("KIND:       {}\nVERSION:    {}\n", mapping.info.kind, mapping.version));
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match page(&place, &names, session.flags.switch("recursive")) {
        Ok(text) => {
            session.println(text);
            Ok(())
        }
        Err(field) => fail(format!("field {field:?} does not exist")),
    }
}

/// Splits `deployments.apps.spec.template` into the resource and the fields.
fn target(session: &mut Session, what: &str) -> Outcome<(Mapping, Vec<String>)> {
    let words: Vec<&str> = what.trim_end_matches('.').split('.').gather();
    let fields = |from: usize| words[from..].iter().map(|word| word.to_string()).collect();
    for length in (2..=words.len()).rev() {
        let name = words[..length].join(".");
        if session.registry.find(&name).is_some() {
            return Ok((session.resource(&name)?, fields(length)));
        }
    }
    match session.resource(words[0]) {
        Ok(mapping) => Ok((mapping, fields(1))),
        Err(Stop::Failure(failure)) => Err(Failure::Exact(failure.text()).into()),
        Err(halt) => Err(halt),
    }
}

/// The schema of a custom resource, out of the server's OpenAPI document of its group and version.
fn custom(session: &mut Session, mapping: &Mapping) -> Outcome<Place> {
    let path = format!("/openapi/v3/apis/{}/{}", mapping.info.group, mapping.version);
    let document = session.send(request::path(&path))?;
    let is_of_kind = |schema: &&Value| {
        let kinds = schema.items("x-kubernetes-group-version-kind");
        kinds
            .iter()
            .any(|own| own.text("kind") == mapping.info.kind && own.text("group") == mapping.info.group)
    };
    let found = document.map("components.schemas").iter().map(|(_, schema)| schema).find(is_of_kind);
    let Some(mut schema) = found.cloned() else {
        return Err(
            Failure::Message(format!("GVR ({}) not found in OpenAPI schema", mapping.go_string())).into()
        );
    };
    schema.set("properties.metadata.x-object-meta", true);
    Ok(Place::Custom(schema))
}
