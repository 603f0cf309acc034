//! Between the API server and its clients: Kubernetes' REST, as data instead of HTTP text.
//!
//! Picture to hold in mind: a numbered form goes to the counter and comes back stamped. A watch is a form
//! whose answer never ends: after the stamp, slips keep coming under the same number.

use std::fmt;
use std::sync::Arc;

use crate::api::{Text, Value};

use super::Digest;

/// What is asked, in the words of the audit log and of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch(PatchType),
    Delete,
    DeleteCollection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum PatchType {
    Json,
    Merge,
    StrategicMerge,
    /// Server-side apply.
    Apply,
}

impl Verb {
    /// The verb as audit events and RBAC rules write it.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch(_) => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
    pub fn http_method(self) -> &'static str {
        match self {
            Verb::Get | Verb::List | Verb::Watch => "GET",
            Verb::Create => "POST",
            Verb::Update => "PUT",
            Verb::Patch(_) => "PATCH",
            Verb::Delete | Verb::DeleteCollection => "DELETE",
        }
    }
    pub fn is_read(self) -> bool {
        matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Who asks: the outcome of authentication.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    pub name: Text,
    pub groups: Vec<Text>,
    /// Empty for who has none: only service accounts have, and whom somebody speaks for who names one.
    pub uid: Text,
    /// What else a token says, as lists by key: which pod it was given to, and on which node. Or what somebody says who
    /// speaks for the user. `Null` for nothing.
    pub extra: Value,
}

impl User {
    pub fn new(name: Text, groups: Vec<Text>) -> User {
        User { name, groups, ..User::default() }
    }
    /// A service account, as its token says (`serviceaccount.UserInfo`).
    pub fn service_account(namespace: &str, name: &str) -> User {
        User::new(
            arcstr::format!("system:serviceaccount:{namespace}:{name}"),
            vec![
                "system:serviceaccounts".into(),
                arcstr::format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".into(),
            ],
        )
    }
    /// Adds one of the things that can be said of a user beside name, groups and UID.
    pub fn add_extra(&mut self, key: &str, value: &str) {
        let mut values = self.extra.get(key).and_then(Value::as_array).unwrap_or(&[]).to_vec();
        values.push(value.into());
        self.extra.make_object().put(key, Value::from(values));
    }
    /// As reviews, policies and the audit log show it: `authentication.k8s.io/v1 UserInfo`.
    pub fn info(&self) -> Value {
        let mut info = crate::object! { "username" => &self.name };
        if !self.uid.is_empty() {
            info.set("uid", &self.uid);
        }
        info.set("groups", Value::array(self.groups.iter().map(Value::from)));
        if !self.extra.is_null() {
            info.set("extra", &self.extra);
        }
        info
    }
}

/// A group, a version and a plural: `apps/v1 deployments`. The core group is `""`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    pub group: Text,
    pub version: Text,
    pub plural: Text,
}

impl Resource {
    pub fn new(group: impl Into<Text>, version: impl Into<Text>, plural: impl Into<Text>) -> Resource {
        Resource { group: group.into(), version: version.into(), plural: plural.into() }
    }
    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
    /// `deployments.apps`, or `pods` for the core group: how error messages name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// One request to the API server.
#[derive(Clone, Debug)]
pub struct Request {
    /// The client's number for this exchange; with the sender it is unique.
    pub id: u64,
    pub user: Arc<User>,
    /// `User-Agent`, shortened to the component: `deployment-controller`, `kubectl`, `kubelet`.
    pub user_agent: Text,
    pub verb: Verb,
    pub resource: Resource,
    /// Empty for cluster-scoped resources and for all namespaces.
    pub namespace: Text,
    /// Empty for collections.
    pub name: Text,
    /// `status`, `scale`, `binding`, `eviction`, `token` ... or empty.
    pub subresource: Text,
    /// For requests that are not about a resource (`/version`, `/readyz`): `resource` is then empty.
    pub path: Text,
    pub options: Options,
    /// The object, the patch or the DeleteOptions.
    pub body: Value,
}

/// Query parameters, of which a request usually has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub label_selector: Text,
    pub field_selector: Text,
    /// Empty, `0`, or a revision.
    pub resource_version: Text,
    /// `Exact`, `NotOlderThan` or empty.
    pub resource_version_match: Text,
    pub limit: u64,
    pub continue_token: Text,
    pub allow_watch_bookmarks: bool,
    pub send_initial_events: bool,
    pub timeout_seconds: Option<u64>,
    pub dry_run: bool,
    pub field_manager: Text,
    /// Server-side apply takes fields from other managers.
    pub force: bool,
    /// `Strict`, `Warn` or `Ignore`; empty means `Warn`, as upstream.
    pub field_validation: Text,
    /// `Foreground`, `Background`, `Orphan` or empty; read from the body as well.
    pub propagation_policy: Text,
    pub grace_period_seconds: Option<i64>,
    pub precondition_uid: Text,
    pub precondition_resource_version: Text,
    /// The answer is wanted as a `meta.k8s.io/v1` Table.
    pub as_table: bool,
    /// For `as_table`: whole objects in the rows (`includeObject=Object`) instead of their metadata.
    pub table_objects: bool,
    pub impersonate: Option<Arc<User>>,
    /// `Authorization: Bearer`: who asks is then what the token says, and `user` is nobody.
    pub bearer_token: Text,
    /// Paths of the keys that the text of the body had twice.
    pub duplicates: Vec<Text>,
    /// `pods/log`, `pods/exec` and others: parameters of the subresource, `name=value`.
    pub parameters: Vec<(Text, Text)>,
}

impl Request {
    /// `POST /api/v1/namespaces/default/pods`: the request line without its query.
    pub fn url_path(&self) -> String {
        if !self.path.is_empty() {
            return self.path.to_string();
        }
        let mut path = if self.resource.group.is_empty() {
            format!("/api/{}", self.resource.version)
        } else {
            format!("/apis/{}/{}", self.resource.group, self.resource.version)
        };
        // A Namespace lives at /api/v1/namespaces/NAME, which is also the scope's own form.
        if !self.namespace.is_empty() && self.resource.plural != "namespaces" {
            path += &format!("/namespaces/{}", self.namespace);
        }
        for part in [&self.resource.plural, &self.name, &self.subresource] {
            if !part.is_empty() {
                path = path + "/" + part;
            }
        }
        path
    }
    pub(super) fn digest(&self, digest: Digest) -> Digest {
        digest.word(self.id).text(self.verb.name()).text(&self.resource.plural).text(&self.name)
    }
}

/// The answer to one request; for a watch, the opening of the stream.
#[derive(Clone, Debug)]
pub struct Response {
    pub id: u64,
    pub code: u16,
    /// The object, the list, or a `Status`.
    pub body: Value,
    /// `Warning` headers.
    pub warnings: Vec<Text>,
    /// `Retry-After`, in seconds, with 429.
    pub retry_after_seconds: Option<u64>,
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }
    /// `reason` of the `Status`: `NotFound`, `Conflict` ...; empty for a success.
    pub fn reason(&self) -> &str {
        if self.is_success() { "" } else { self.body.text("reason") }
    }
    pub(super) fn digest(&self, digest: Digest) -> Digest {
        digest
            .word(self.id)
            .word(u64::from(self.code))
            .text(self.body.text("metadata.name"))
            .text(self.body.text("metadata.resourceVersion"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchType {
    Added,
    Modified,
    Deleted,
    Bookmark,
    /// The object is a `Status`; the stream ends after it.
    Error,
}

/// One slip on an open watch.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// The number of the request that opened the watch.
    pub id: u64,
    /// Counts the events of this watch from 0: a client that misses one knows that its connection broke.
    pub sequence: u64,
    pub kind: WatchType,
    pub object: Value,
}

impl WatchEvent {
    pub(super) fn digest(&self, digest: Digest) -> Digest {
        digest
            .word(self.id)
            .word(self.sequence)
            .text(self.object.text("metadata.name"))
            .text(self.object.text("metadata.resourceVersion"))
    }
}

/// The end of an exchange without (further) answer.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub id: u64,
    pub why: CloseReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// `connect: connection refused`.
    Refused,
    /// The client no longer wants the answer (it ends a watch with this).
    Cancelled,
    /// The server ended a watch that had lasted its time; the client watches again.
    TimedOut,
    /// The other end does not know this exchange any more: it was restarted.
    Reset,
}
