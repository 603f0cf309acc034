//! From HTTP to the form that the API server takes.
//!
//! Picture to hold in mind: the porter opens the envelope, reads the address, and fills in the form that the house
//! works with. What cannot be read he hands back himself, in the house's own words.
//!
//! Follows `k8s.io/apiserver/pkg/endpoints` (request, handlers/negotiation, handlers/rest.go) for a server that reads
//! JSON and YAML and no protobuf.

use std::sync::Arc;

use crate::api::field::go_quote;
use crate::api::status::{Reason, Status};
use crate::api::{Text, Value, yaml};
use crate::client::request;
use crate::message::http;
use crate::message::rest::{PatchType, Request, User, Verb};

use super::accept::{self, Form, Shape};
use crate::client::url::{self, Place};

/// What a request means: the form, how its answer is wanted, and how its log is followed, if it is one.
#[derive(Clone, Debug)]
pub struct Translation {
    pub request: Request,
    pub form: Form,
}

const BODIES: [&str; 2] = ["application/json", "application/yaml"];
const PATCHES: [(&str, PatchType); 4] = [
    ("application/json-patch+json", PatchType::Json),
    ("application/merge-patch+json", PatchType::Merge),
    ("application/strategic-merge-patch+json", PatchType::StrategicMerge),
    ("application/apply-patch+yaml", PatchType::Apply),
];

/// Reads a request. `administrator` is whom one who does not say who he is is taken for.
///
/// # Errors
/// The `Status` to answer with, where the request is not HTTP as the API server speaks it: 400, 404, 405, 406, 415.
pub fn translate(http: &http::Request, administrator: &Arc<User>) -> Result<Translation, Status> {
    let (path, query) = http.target.split_once('?').unwrap_or((&http.target, ""));
    let path = url::decode(path, false)
        .filter(|path| path.starts_with('/'))
        .ok_or_else(|| Status::bad_request(format!("invalid URL escape in {path:?}")))?;
    let parameters = url::query(query)?;
    let form = accept::negotiate(http, &path)?;
    let mut request = match url::place(&path) {
        None => about_no_resource(http, &path, parameters, form)?,
        Some(place) => about_a_resource(http, place, parameters)?,
    };
    request.options.as_table = form.shape == Shape::Table;
    request.user_agent = http.header("user-agent").into();
    identify(http, &mut request, administrator)?;
    Ok(Translation { request, form })
}

fn about_no_resource(
    http: &http::Request,
    path: &str,
    parameters: Vec<(Text, Text)>,
    form: Form,
) -> Result<Request, Status> {
    if !matches!(http.method.as_str(), "GET" | "HEAD") {
        return Err(method_not_allowed());
    }
    let mut request = request::path(path);
    request.options.parameters = parameters;
    if form.media == http::Media::AggregatedDiscovery {
        request.options.parameters.push(("aggregated".into(), "".into()));
    }
    Ok(request)
}

fn about_a_resource(
    http: &http::Request,
    place: Place,
    parameters: Vec<(Text, Text)>,
) -> Result<Request, Status> {
    let (options, is_watch) = url::options(parameters)?;
    let is_collection = place.name.is_empty();
    let is_stream = matches!(place.subresource.as_str(), "exec" | "attach" | "portforward");
    let verb = match http.method.as_str() {
        "GET" | "HEAD" if place.is_old_watch => Verb::Watch,
        "GET" | "HEAD" if is_collection && is_watch => Verb::Watch,
        "GET" | "HEAD" if is_collection => Verb::List,
        "GET" | "HEAD" => Verb::Get,
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch(patch_type(http)?),
        "DELETE" if is_collection => Verb::DeleteCollection,
        "DELETE" => Verb::Delete,
        _ => return Err(method_not_allowed()),
    };
    if is_stream && http.header("upgrade").is_empty() {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let mut request = request::get(&place.resource, &place.namespace, &place.name);
    request.verb = if is_stream { Verb::Create } else { verb };
    request.subresource = place.subresource;
    request.options = options;
    if !place.rest.is_empty() {
        request.options.parameters.push(("path".into(), place.rest));
    }
    if place.is_old_watch && !is_collection {
        // The old address names one object; the new way to say so is a selector.
        request.options.field_selector = Text::from(format!("metadata.name={}", request.name));
        request.name = Text::new();
    }
    if is_stream {
        // Whoever holds the conversation has waited until all that a command reads had come.
        request.options.parameters.push(("input".into(), http.body.as_str().into()));
    } else if !verb.is_read() && request.subresource != "proxy" {
        read_body(http, &mut request)?;
    }
    Ok(request)
}

fn media_type(http: &http::Request) -> &str {
    http.header("content-type").split(';').next().unwrap_or("").trim()
}

fn patch_type(http: &http::Request) -> Result<PatchType, Status> {
    let media = media_type(http);
    PATCHES
        .iter()
        .find(|(known, _)| *known == media)
        .map(|(_, patch)| *patch)
        .ok_or_else(|| Status::unsupported_media_type(&PATCHES.map(|(known, _)| known)))
}

fn read_body(http: &http::Request, request: &mut Request) -> Result<(), Status> {
    let media = media_type(http);
    if http.body.is_empty() && matches!(request.verb, Verb::Delete | Verb::DeleteCollection) {
        return Ok(());
    }
    let is_yaml = match request.verb {
        Verb::Patch(patch) => patch == PatchType::Apply,
        _ if media.is_empty() || media == BODIES[0] => false,
        _ if media == BODIES[1] => true,
        _ => return Err(Status::unsupported_media_type(&BODIES)),
    };
    let error =
        |problem: &str| Status::bad_request(format!("error decoding the body of the request: {problem}"));
    if !is_yaml {
        request.body = serde_json::from_str(&http.body).map_err(|problem| {
            let told = yaml::read(&http.body).into_iter().find_map(Result::err);
            match told.map(|told| told.to_string()) {
                Some(told) if told.contains("json: ") => error(&told),
                _ => error(&problem.to_string()),
            }
        })?;
    }
    match yaml::read(&http.body).into_iter().next() {
        Some(Ok(document)) => {
            if is_yaml {
                request.body = document.value.clone();
            }
            request.options.duplicates = document.duplicate_paths().into_iter().map(Text::from).collect();
        }
        Some(Err(problem)) if is_yaml => return Err(error(&problem.to_string())),
        _ => {}
    }
    if request.body.is_null() {
        return Err(error("unexpected end of JSON input"));
    }
    // Deletions say in their body what other requests say in their URL.
    let deletion = match request.subresource.as_str() {
        "eviction" => request.body.at("deleteOptions"),
        _ if matches!(request.verb, Verb::Delete | Verb::DeleteCollection) => &request.body,
        _ => &crate::api::Value::Null,
    };
    request.options.dry_run |= !deletion.items("dryRun").is_empty();
    // A collection's create names no object in its URL; the simulated client tells it in the form.
    if request.verb == Verb::Create && request.subresource.is_empty() && request.name.is_empty() {
        request.name = request.body.shared_text("metadata.name");
    }
    Ok(())
}

/// Who asks: whom a proxy has seen (`X-Remote-User`, which only our own listener can say: by a certificate, or nobody), a
/// service account by its token, somebody who is impersonated (`processImpersonationHeaders`), or the administrator, as for
/// one who comes through `kubectl proxy`.
fn identify(http: &http::Request, request: &mut Request, administrator: &Arc<User>) -> Result<(), Status> {
    let seen = http.header("x-remote-user");
    request.user = if http.headers.iter().any(|(name, _)| name == "x-remote-user") {
        let groups = http.headers_of("x-remote-group").map(Text::from).collect();
        Arc::new(User::new(seen.into(), groups))
    } else {
        Arc::clone(administrator)
    };
    if seen.is_empty()
        && let Some((scheme, token)) = http.header("authorization").split_once(' ')
        && scheme.eq_ignore_ascii_case("bearer")
    {
        request.user = Arc::default();
        request.options.bearer_token = token.trim().into();
    }
    let groups = http.headers_of("impersonate-group").map(Text::from).collect();
    let mut other = User::new(http.header("impersonate-user").into(), groups);
    other.uid = http.header("impersonate-uid").into();
    for (name, value) in &http.headers {
        if let Some(key) = name.strip_prefix("impersonate-extra-") {
            let key = url::decode(key, false).unwrap_or_else(|| key.to_owned());
            other.add_extra(&key, value);
        }
    }
    if other != User::default() {
        if other.name.is_empty() {
            return Err(Status::bad_request(nobody(&other)));
        }
        request.options.impersonate = Some(Arc::new(other));
    }
    Ok(())
}

/// What is said of one who names no user, as Go prints it (`%#v`).
fn nobody(other: &User) -> String {
    let list = |texts: &mut dyn Iterator<Item = &str>| {
        ["[]string{", &texts.map(go_quote).collect::<Vec<_>>().join(", "), "}"].concat()
    };
    let groups = match &other.groups[..] {
        [] => "[]string(nil)".to_owned(),
        groups => list(&mut groups.iter().map(Text::as_str)),
    };
    let entries: Vec<String> = (other.extra.as_object().iter().flat_map(|extra| extra.iter()))
        .map(|(key, values)| {
            let values = values.as_array().unwrap_or(&[]);
            [&go_quote(key), ":", &list(&mut values.iter().filter_map(Value::as_str))].concat()
        })
        .collect();
    let extra = if entries.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", entries.join(", ")) };
    format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{}, Groups:{groups}, Extra:map[string][]string{extra}}} without impersonating a user name",
        go_quote(&other.uid)
    )
}

fn method_not_allowed() -> Status {
    let message = "the server does not allow this method on the requested resource";
    Status::new(405, Reason::MethodNotAllowed, message).with_no_details()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
        let http = http::Request {
            method: method.into(),
            target: target.into(),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: body.into(),
        };
        match translate(&http, &Arc::default()) {
            Ok(Translation { request, .. }) => {
                let sub = &request.subresource;
                format!(
                    "{} {} {:?} {sub} {}",
                    request.verb,
                    request.url_path(),
                    request.name.as_str(),
                    request.body
                )
            }
            Err(status) => format!("{} {}", status.code, status.message),
        }
    }

    #[test]
    fn requests_become_forms_or_are_handed_back() {
        let json = ("content-type", "application/json");
        /// Method, path, headers, body, and what becomes of them.
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
        let cases: &[Case] = &[
            ("GET", "/api/v1/pods?watch=1", &[], "", "watch /api/v1/pods \"\"  null"),
            ("GET", "/api/v1/namespaces/a/pods/b", &[], "", "get /api/v1/namespaces/a/pods/b \"b\"  null"),
            ("GET", "/api/v1/watch/pods", &[], "", "watch /api/v1/pods \"\"  null"),
            (
                "DELETE",
                "/api/v1/namespaces/a/pods",
                &[],
                "",
                "deletecollection /api/v1/namespaces/a/pods \"\"  null",
            ),
            ("POST", "/api/v1/namespaces", &[json], "{\"a\":1}", "create /api/v1/namespaces \"\"  {\"a\":1}"),
            (
                "POST",
                "/api/v1/namespaces",
                &[("content-type", "application/yaml")],
                "a: 1",
                "create /api/v1/namespaces \"\"  {\"a\":1}",
            ),
            (
                "POST",
                "/api/v1/namespaces",
                &[("content-type", "application/vnd.kubernetes.protobuf")],
                "k8s",
                "415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
            ),
            (
                "PATCH",
                "/api/v1/namespaces/a",
                &[json],
                "{}",
                "415 the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
            ),
            (
                "PATCH",
                "/api/v1/namespaces/a",
                &[("content-type", "application/apply-patch+yaml; charset=utf-8")],
                "a: b",
                "patch /api/v1/namespaces/a \"a\"  {\"a\":\"b\"}",
            ),
            ("GET", "/version", &[], "", "get /version \"\"  null"),
            (
                "POST",
                "/version",
                &[json],
                "{}",
                "405 the server does not allow this method on the requested resource",
            ),
            (
                "BREW",
                "/api/v1/pods",
                &[],
                "",
                "405 the server does not allow this method on the requested resource",
            ),
            ("GET", "/api/v1/pods?limit=a", &[], "", "400 strconv.ParseInt: parsing \"a\": invalid syntax"),
            ("GET", "/api/v1/%zz", &[], "", "400 invalid URL escape in \"/api/v1/%zz\""),
            ("POST", "/api/v1/namespaces/a/pods/b/exec?command=ls", &[], "", "400 Upgrade request required"),
            (
                "GET",
                "/api/v1/pods",
                &[("impersonate-group", "x")],
                "",
                "400 requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"x\"}, Extra:map[string][]string(nil)} without impersonating a user name",
            ),
            (
                "GET",
                "/api/v1/pods",
                &[
                    ("impersonate-extra-a%2fb", "c"),
                    ("impersonate-uid", "1"),
                    ("impersonate-extra-a%2fb", "d"),
                ],
                "",
                "400 requested &user.DefaultInfo{Name:\"\", UID:\"1\", Groups:[]string(nil), Extra:map[string][]string{\"a/b\":[]string{\"c\", \"d\"}}} without impersonating a user name",
            ),
        ];
        for (method, target, headers, body, expected) in cases {
            assert_eq!(told(method, target, headers, body), *expected, "{method} {target}");
        }
        for bad in ["", "{", "{\"a\":}", "[1,", "nul", "\u{0}"] {
            let told = told("POST", "/api/v1/namespaces", &[json], bad);
            assert!(told.starts_with("400 "), "{bad:?}: {told}");
        }
    }
}
