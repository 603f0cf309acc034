//! Requests, made short: `get(&pods, "default", "nginx")`.
//!
//! Picture to hold in mind: a pad of pre-printed forms. The connection adds the number and the signature.

use std::sync::{Arc, LazyLock};

use crate::api::{Text, Value};
use crate::message::rest::{Options, PatchType, Request, Resource, User, Verb};

use super::url::Place;

fn form(verb: Verb, resource: &Resource, namespace: &str, name: &str) -> Request {
    // Signed by nobody until a connection signs it.
    static NOBODY: LazyLock<Arc<User>> = LazyLock::new(Arc::default);
    Request {
        id: 0,
        user: NOBODY.clone(),
        user_agent: Text::new(),
        verb,
        resource: resource.clone(),
        namespace: namespace.into(),
        name: name.into(),
        subresource: Text::new(),
        path: Text::new(),
        options: Options::default(),
        body: Value::Null,
    }
}

pub fn get(resource: &Resource, namespace: &str, name: &str) -> Request {
    form(Verb::Get, resource, namespace, name)
}
/// All namespaces when `namespace` is empty.
pub fn list(resource: &Resource, namespace: &str) -> Request {
    form(Verb::List, resource, namespace, "")
}
pub fn watch(resource: &Resource, namespace: &str, resource_version: &str) -> Request {
    let mut request = form(Verb::Watch, resource, namespace, "");
    request.options.resource_version = resource_version.into();
    request.options.allow_watch_bookmarks = true;
    request
}
pub fn create(resource: &Resource, namespace: &str, object: Value) -> Request {
    let name = object.shared_text("metadata.name");
    Request { body: object, name, ..form(Verb::Create, resource, namespace, "") }
}
/// Replaces `object`, whose namespace and name say where.
pub fn update(resource: &Resource, object: Value) -> Request {
    let request =
        form(Verb::Update, resource, object.text("metadata.namespace"), object.text("metadata.name"));
    Request { body: object, ..request }
}
pub fn update_status(resource: &Resource, object: Value) -> Request {
    update(resource, object).subresource("status")
}
pub fn patch(resource: &Resource, namespace: &str, name: &str, kind: PatchType, patch: Value) -> Request {
    Request { body: patch, ..form(Verb::Patch(kind), resource, namespace, name) }
}
pub fn delete(resource: &Resource, namespace: &str, name: &str) -> Request {
    form(Verb::Delete, resource, namespace, name)
}
pub fn delete_collection(resource: &Resource, namespace: &str) -> Request {
    form(Verb::DeleteCollection, resource, namespace, "")
}
/// What a GET of a path about a resource asks for; its options are still to be said.
pub fn at(place: &Place) -> Request {
    let verb = if place.name.is_empty() { Verb::List } else { Verb::Get };
    form(verb, &place.resource, &place.namespace, &place.name).subresource(&place.subresource)
}
/// A request that is not about a resource: `/version`.
pub fn path(path: &str) -> Request {
    Request { path: path.into(), ..form(Verb::Get, &Resource::default(), "", "") }
}

impl Request {
    #[must_use]
    pub fn subresource(mut self, subresource: &str) -> Request {
        self.subresource = subresource.into();
        self
    }
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Request {
        change(&mut self.options);
        self
    }
}
