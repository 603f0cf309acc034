//! Which objects a list or a watch is about.
//!
//! Picture to hold in mind: three sieves one in another: the namespace, the labels, the fields. What falls through all
//! three is meant; an object that a change carries into or out of the mesh appears or disappears for the watcher.
//!
//! Follows `k8s.io/apiserver/pkg/storage/selection_predicate.go` and the cacher's `convertToWatchEvent`.

use crate::api::kind::ResourceInfo;
use crate::api::selector::{FieldSelector, LabelSelector};
use crate::api::status::Status;
use crate::api::{Text, Value};
use crate::message::rest::{Request, WatchType};

use super::cache::Event;

pub(crate) struct Filter {
    pub namespaced: bool,
    /// Empty: all.
    pub namespace: Text,
    labels: LabelSelector,
    fields: FieldSelector,
    /// The one name that can match, if the request or its field selector names one.
    pub name: Option<Text>,
    /// The one node whose pods can match.
    pub node: Option<Text>,
}

impl Filter {
    /// What the request is about; 400 where a selector cannot be read or names a field that is not offered.
    pub(crate) fn new(info: &ResourceInfo, request: &Request) -> Result<Filter, Status> {
        let labels = LabelSelector::parse(&request.options.label_selector)
            .map_err(|error| Status::bad_request(error.as_str()))?;
        let fields = FieldSelector::parse(&request.options.field_selector)
            .and_then(|fields| fields.check(info).map(|()| fields))
            .map_err(|error| Status::bad_request(error.as_str()))?;
        let name = Some(request.name.clone())
            .filter(|name| !name.is_empty())
            .or_else(|| fields.exact("metadata.name").cloned());
        let is_pods = info.plural == "pods" && info.group.is_empty();
        // Pods without a node stand in no pigeonhole.
        let node = fields.exact("spec.nodeName").filter(|node| is_pods && !node.is_empty()).cloned();
        Ok(Filter {
            namespaced: info.namespaced,
            namespace: if info.namespaced { request.namespace.clone() } else { Text::new() },
            labels,
            fields,
            name,
            node,
        })
    }
    pub(crate) fn has_selector(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty() || self.name.is_some()
    }
    /// Whether the object is meant; its namespace is the caller's matter.
    #[cfg_attr(published, optimize(speed))]
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.name.as_ref().is_none_or(|name| object.text("metadata.name") == *name)
            && (self.fields.is_empty() || self.fields.matches(object))
            && (self.labels.is_empty() || self.labels.matches_object(object))
    }
    /// What an event is for one who looks through this filter: an object that begins to match is added, one that
    /// no longer does is deleted.
    #[cfg_attr(published, optimize(speed))]
    pub(crate) fn transition(&self, event: &Event) -> Option<WatchType> {
        if !self.namespace.is_empty()
            && !event.key.strip_prefix(self.namespace.as_str()).is_some_and(|rest| rest.starts_with('/'))
        {
            return None;
        }
        let is = |object: &Value| !self.has_selector() || self.matches(object);
        let before = event.previous.as_ref().is_some_and(is);
        if event.deleted {
            return before.then_some(WatchType::Deleted);
        }
        match (before, is(&event.object)) {
            (false, true) => Some(WatchType::Added),
            (true, true) => Some(WatchType::Modified),
            (true, false) => Some(WatchType::Deleted),
            (false, false) => None,
        }
    }
}
