//! What a URL asks for.
//!
//! Picture to hold in mind: reading an address from the country down to the door bell.
//!
//! Follows `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go` and, for options, `metav1.ListOptions` and its
//! like as `pkg/endpoints/handlers` decode them.

use crate::api::Text;
use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::GroupKind;
use crate::api::status::Status;
use crate::arrange::Gather;
use crate::message::rest::{Options, Resource};

/// A path about a resource, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub resource: Resource,
    pub namespace: Text,
    pub name: Text,
    pub subresource: Text,
    /// What stands behind the subresource: the path that `proxy` forwards.
    pub rest: Text,
    /// `/api/v1/watch/...`, the old way to ask for a watch.
    pub is_old_watch: bool,
}

/// `%2F` is a slash; in a query `+` is a space. `None` where a byte is no hexadecimal number or the text no UTF-8.
pub fn decode(text: &str, is_query: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                (digit()? * 16 + digit()?) as u8
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Names and values of a query, decoded.
pub fn query(text: &str) -> Result<Vec<(Text, Text)>, Status> {
    let mut parameters = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match (decode(name, true), decode(value, true)) {
            (Some(name), Some(value)) => parameters.push((Text::from(name), Text::from(value))),
            _ => return Err(Status::bad_request(format!("invalid URL escape in {part:?}"))),
        }
    }
    Ok(parameters)
}

/// The resource that a decoded path is about; `None` for paths about none: `/version`, `/apis/apps`.
pub fn place(path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').gather();
    let (group, version, mut parts) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let mut place = Place::default();
    if let ["watch", rest @ ..] = parts
        && !rest.is_empty()
    {
        place.is_old_watch = true;
        parts = rest;
    }
    // A Namespace itself, or what is in one.
    if let ["namespaces", namespace, rest @ ..] = parts {
        place.namespace = (*namespace).into();
        if !matches!(rest, [] | ["status" | "finalize", ..]) {
            parts = rest;
        }
    }
    let [plural, rest @ ..] = parts else { return None };
    if plural.is_empty() {
        return None;
    }
    place.resource = Resource::new(group, version, *plural);
    if let [name, rest @ ..] = rest {
        place.name = (*name).into();
        if let [subresource, rest @ ..] = rest {
            place.subresource = (*subresource).into();
            place.rest = rest.join("/").into();
        }
    }
    Some(place)
}

/// Go's `strconv.ParseBool`, and the words that upstream adds to it: anything but a plain no is a yes.
fn is_yes(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "f" | "false")
}

/// Go's `strconv.ParseInt`, or upstream's refusal.
fn number<T: std::str::FromStr>(value: &str) -> Result<T, Status> {
    value.parse().map_err(|_| {
        let why =
            if value.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
                "value out of range"
            } else {
                "invalid syntax"
            };
        Status::bad_request(format!("strconv.ParseInt: parsing {value:?}: {why}"))
    })
}

/// What the parameters of a request about a resource say, and whether a watch is wanted.
pub fn options(parameters: Vec<(Text, Text)>) -> Result<(Options, bool), Status> {
    let mut options = Options::default();
    let mut is_watch = false;
    for (name, value) in parameters {
        match name.as_str() {
            "watch" => is_watch = is_yes(&value),
            "labelSelector" => options.label_selector = value,
            "fieldSelector" => options.field_selector = value,
            "resourceVersion" => options.resource_version = value,
            "resourceVersionMatch" => options.resource_version_match = value,
            "limit" if !value.is_empty() => {
                options.limit = u64::try_from(number::<i64>(&value)?).unwrap_or(0);
            }
            "continue" => options.continue_token = value,
            "allowWatchBookmarks" => options.allow_watch_bookmarks = is_yes(&value),
            "sendInitialEvents" => options.send_initial_events = is_yes(&value),
            "timeoutSeconds" if !value.is_empty() => {
                options.timeout_seconds = u64::try_from(number::<i64>(&value)?).ok();
            }
            "dryRun" if value == "All" => options.dry_run = true,
            "dryRun" if value.is_empty() => {}
            "dryRun" => {
                let error = FieldError::not_supported(&FieldPath::new("dryRun"), value.as_str(), &["All"]);
                return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "CreateOptions"), "", &[error]));
            }
            "fieldManager" => options.field_manager = value,
            "fieldValidation" => options.field_validation = value,
            "force" => options.force = is_yes(&value),
            "propagationPolicy" => options.propagation_policy = value,
            "orphanDependents" if options.propagation_policy.is_empty() => {
                options.propagation_policy = if is_yes(&value) { "Orphan" } else { "Background" }.into();
            }
            "gracePeriodSeconds" if !value.is_empty() => {
                options.grace_period_seconds = Some(number(&value)?);
            }
            "includeObject" => options.table_objects = value == "Object",
            "pretty" => {}
            _ => options.parameters.push((name, value)),
        }
    }
    Ok((options, is_watch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_upstream_does() {
        // path, then group/version plural namespace name subresource rest
        let cases = [
            ("/api/v1/pods", "/v1 pods - - - -"),
            ("/api/v1/namespaces", "/v1 namespaces - - - -"),
            ("/api/v1/namespaces/default", "/v1 namespaces default default - -"),
            ("/api/v1/namespaces/default/finalize", "/v1 namespaces default default finalize -"),
            ("/api/v1/namespaces/default/status", "/v1 namespaces default default status -"),
            ("/api/v1/namespaces/default/pods", "/v1 pods default - - -"),
            ("/api/v1/namespaces/default/pods/web/log", "/v1 pods default web log -"),
            ("/api/v1/nodes/n1/proxy/stats/summary", "/v1 nodes - n1 proxy stats/summary"),
            ("/apis/apps/v1/namespaces/a/deployments/web/scale", "apps/v1 deployments a web scale -"),
            ("/apis/apps/v1/deployments/", "apps/v1 deployments - - - -"),
            ("/api/v1/watch/namespaces/a/pods", "/v1 pods a - - - watch"),
            ("/api/v1", "none"),
            ("/apis/apps", "none"),
            ("/apis/apps/v1", "none"),
            ("/version", "none"),
            ("/", "none"),
        ];
        for (path, expected) in cases {
            let told = place(path).map_or("none".to_owned(), |place| {
                let or = |text: &Text| if text.is_empty() { "-".to_owned() } else { text.to_string() };
                let Place { resource, namespace, name, subresource, rest, is_old_watch } = &place;
                format!(
                    "{}/{} {} {} {} {} {}{}",
                    resource.group,
                    resource.version,
                    resource.plural,
                    or(namespace),
                    or(name),
                    or(subresource),
                    or(rest),
                    if *is_old_watch { " watch" } else { "" }
                )
            });
            assert_eq!(told, expected, "{path}");
        }
    }

    #[test]
    fn escapes_are_read_or_refused() {
        for (text, is_query, expected) in [
            ("a%2Fb", false, Some("a/b")),
            ("a+b", false, Some("a+b")),
            ("a+b", true, Some("a b")),
            ("app%3Dweb%2Ctier%20in%20%28a%2Cb%29", true, Some("app=web,tier in (a,b)")),
            ("%", true, None),
            ("%zz", true, None),
            ("%ff", true, None),
        ] {
            assert_eq!(decode(text, is_query).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn options_are_read_or_refused() {
        let read = |text: &str| query(text).and_then(options).map_err(|status| status.message.to_string());
        let (options, is_watch) = read("watch=true&limit=500&dryRun=All&timeoutSeconds=30&x=y").unwrap();
        assert!(is_watch && options.dry_run);
        assert_eq!((options.limit, options.timeout_seconds), (500, Some(30)));
        assert_eq!(options.parameters, [(Text::from("x"), Text::from("y"))]);
        assert!(!read("watch=false").unwrap().1);
        assert_eq!(read("limit=x").unwrap_err(), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(
            read("dryRun=Some").unwrap_err(),
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"Some\": supported values: \"All\""
        );
        assert!(read("a=%zz").is_err());
    }
}
