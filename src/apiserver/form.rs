//! In which form an answer goes out: the version that was asked for, as objects or as table rows.
//!
//! Picture to hold in mind: a printed sheet and a scissor. The stored object is one; each reader gets it in the
//! form asked for, and one who asks for the stored form gets the very same sheet.

use std::sync::Arc;

use crate::api::custom::CustomKind;
use crate::api::kind::ResourceInfo;
use crate::api::value::literal;
use crate::api::{Text, Value};
use crate::message::rest::Request;
use crate::object;
use crate::sim::Time;

use super::{conversion, custom, tables};

#[derive(Clone)]
pub(crate) struct Form {
    pub group: Text,
    pub kind: Text,
    pub list_kind: Text,
    /// The version that was asked for, as objects name it.
    pub api_version: Text,
    /// Whether the stored form is another one.
    is_converted: bool,
    /// What shows a custom resource: its definition, and the version that was asked for.
    pub custom: Option<(Arc<CustomKind>, Text)>,
    pub table: bool,
    pub table_objects: bool,
}

impl Form {
    pub(crate) fn new(info: &ResourceInfo, request: &Request) -> Form {
        Form {
            group: info.group.clone(),
            kind: info.kind.clone(),
            list_kind: info.list_kind.clone(),
            api_version: request.resource.api_version().into(),
            is_converted: request.resource.version != info.storage_version
                || conversion::is_shared(info)
                || info.custom,
            custom: info.definition.clone().map(|kind| (kind, request.resource.version.clone())),
            table: request.options.as_table,
            table_objects: request.options.table_objects,
        }
    }
    /// The form of a Scale, whatever it is the scale of.
    pub(crate) fn of_scale(request: &Request) -> Form {
        Form {
            group: literal!("autoscaling"),
            kind: literal!("Scale"),
            list_kind: literal!("ScaleList"),
            api_version: literal!("autoscaling/v1"),
            is_converted: false,
            custom: None,
            table: request.options.as_table,
            table_objects: request.options.table_objects,
        }
    }
    /// The stored object in the version asked for.
    pub(crate) fn object(&self, object: &Value) -> Value {
        if let Some((kind, version)) = &self.custom {
            custom::shown(kind, version, object)
        } else if self.is_converted {
            conversion::to_version(object, &self.api_version, &self.kind)
        } else {
            object.clone()
        }
    }
    /// One object as an answer.
    pub(crate) fn one(&self, object: &Value, now: Time) -> Value {
        let converted = self.object(object);
        if self.table {
            let revision = converted.at("metadata.resourceVersion").clone();
            let metadata = object! { "resourceVersion" => revision };
            tables::table(self, std::slice::from_ref(&converted), metadata, now, true)
        } else {
            converted
        }
    }
    /// What a watch tells: a table of one row, whose columns only the first event names.
    pub(crate) fn event(&self, object: &Value, now: Time, is_first: bool) -> Value {
        let converted = self.object(object);
        if self.table {
            let revision = converted.at("metadata.resourceVersion").clone();
            let metadata = object! { "resourceVersion" => revision };
            tables::table(self, std::slice::from_ref(&converted), metadata, now, is_first)
        } else {
            converted
        }
    }
    pub(crate) fn list(&self, items: Vec<Value>, metadata: Value, now: Time) -> Value {
        let items: Vec<Value> =
            if self.is_converted { items.iter().map(|item| self.object(item)).collect() } else { items };
        if self.table {
            return tables::table(self, &items, metadata, now, true);
        }
        object! {
            "kind" => &self.list_kind,
            "apiVersion" => &self.api_version,
            "metadata" => metadata,
            "items" => items,
        }
    }
    /// A bookmark: an object of the kind with nothing but a revision.
    pub(crate) fn bookmark(&self, revision: u64, ends_initial_events: bool) -> Value {
        let mut metadata =
            object! { "resourceVersion" => revision.to_string(), "creationTimestamp" => Value::Null };
        if ends_initial_events {
            metadata.set("annotations", object! { "k8s.io/initial-events-end" => literal!("true") });
        }
        let bookmark =
            object! { "kind" => &self.kind, "apiVersion" => &self.api_version, "metadata" => metadata };
        if self.table {
            let metadata = object! { "resourceVersion" => revision.to_string() };
            return tables::table(self, std::slice::from_ref(&bookmark), metadata, Time::ZERO, false);
        }
        bookmark
    }
}
