//! From an answer of the simulation to the bytes of HTTP.
//!
//! Picture to hold in mind: the envelope is closed, stamped and addressed.
//!
//! Follows `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/writers.go` and the filters that add headers.

use clusterarium::api::{Value, yaml};
use clusterarium::message::http::{Answer, Media};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::order::InOrder;

/// Status line and headers.
pub fn head<B>(answer: &Answer, is_stream: bool, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let content_type = match (answer.media, &answer.body) {
        (Media::Json { .. } | Media::Yaml, Value::String(_)) => "text/plain",
        (Media::Yaml, _) if !is_stream => "application/yaml",
        (Media::AggregatedDiscovery, _) => {
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        }
        (Media::OpenApiV2Protobuf, _) => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        _ => "application/json",
    };
    put(headers, header::CONTENT_TYPE, content_type);
    put(headers, header::CACHE_CONTROL, "no-cache, private");
    for warning in &answer.warnings {
        put(headers, header::WARNING, &format!("299 - {}", quoted(warning)));
    }
    if let Some(seconds) = answer.retry_after_seconds {
        put(headers, header::RETRY_AFTER, &seconds.to_string());
    }
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.append(name, value);
    }
}

/// A quoted string of RFC 7234; what no header may hold becomes a space.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => quoted.push(' '),
            character => quoted.push(character),
        }
    }
    quoted + "\""
}

/// A whole body.
pub fn body(answer: &Answer) -> Bytes {
    match (answer.media, &answer.body) {
        (Media::Json { .. } | Media::Yaml, Value::String(text)) => text.to_string().into(),
        (Media::Json { pretty: true }, value) => {
            let pretty = serde_json::to_string_pretty(&InOrder::new(value)).unwrap_or_default();
            (pretty + "\n").into()
        }
        (Media::Yaml, value) => yaml::to_string(value).into(),
        (Media::OpenApiV2Protobuf, value) => super::openapi::encode(value).into(),
        (_, value) => line(value),
    }
}

/// A piece of a stream: an event as a line, a text as it is.
pub fn piece(value: &Value) -> Bytes {
    match value {
        Value::String(text) => text.to_string().into(),
        value => line(value),
    }
}

fn line(value: &Value) -> Bytes {
    let mut bytes = serde_json::to_vec(&InOrder::new(value)).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}
