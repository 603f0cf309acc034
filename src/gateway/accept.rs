//! In which form an answer is wanted, by its `Accept` header.
//!
//! Picture to hold in mind: an order at the counter: "a table if you have one, otherwise just the thing".
//!
//! Follows `k8s.io/apiserver/pkg/endpoints/handlers/negotiation` for a server that has JSON and YAML but no protobuf.

use crate::api::Value;
use crate::api::status::Status;
use crate::arrange::{Arrange, Gather};
use crate::message::http::{Media, Request};
use crate::object;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub media: Media,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Whole,
    /// `meta.k8s.io/v1` Table.
    Table,
    /// `PartialObjectMetadata`, alone or in a list.
    Metadata,
}

const SUPPORTED: [&str; 2] = ["application/json", "application/yaml"];
const OPEN_API_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// One of the things that a client would take.
struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// Thousandths.
    quality: u32,
}

impl<'a> Clause<'a> {
    fn read(text: &'a str) -> Clause<'a> {
        let mut words = text.split(';').map(str::trim);
        let media = words.next().unwrap_or("");
        let mut clause = Clause { media, parameters: Vec::new(), quality: 1000 };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            if name == "q" {
                clause.quality = thousandths(value);
            } else {
                clause.parameters.push((name, value));
            }
        }
        clause
    }
    fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(other, _)| *other == name).map_or("", |(_, value)| value)
    }
}

/// `0.5` is 500; what cannot be read counts in full.
fn thousandths(text: &str) -> u32 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let below = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit.wrapping_sub(b'0') % 10));
    match whole {
        "0" | "" => below,
        _ => 1000,
    }
}

/// Chooses the first form that is wanted and can be given; `path` is the decoded path of the request.
pub fn negotiate(request: &Request, path: &str) -> Result<Form, Status> {
    let agent = request.header("user-agent");
    let pretty = ["curl", "Wget", "Mozilla/5.0"].iter().any(|browser| agent.starts_with(browser));
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let pretty = query
        .split('&')
        .find_map(|part| part.strip_prefix("pretty="))
        .map_or(pretty, |value| !matches!(value, "0" | "false"));
    // What is no resource is written by hand upstream, and spread out.
    let media = Media::Json { pretty: pretty || path.trim_end_matches('/') == "/version" };
    let headers: Vec<&str> = request.headers_of("accept").collect();
    let mut clauses: Vec<Clause> = headers
        .iter()
        .flat_map(|header| header.split(','))
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(Clause::read)
        .gather();
    clauses.arrange_by(|a, b| b.quality.cmp(&a.quality));
    // Health checks and the like answer with text, whatever is asked for.
    if clauses.is_empty() {
        return Ok(Form { media, shape: Shape::Whole });
    }
    for clause in &clauses {
        let shape = match (clause.parameter("as"), clause.parameter("g"), clause.parameter("v")) {
            ("", ..) => Shape::Whole,
            ("Table", "meta.k8s.io", "v1") => Shape::Table,
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => Shape::Metadata,
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => {
                if clause.media == "application/json"
                    && matches!(path.trim_end_matches('/'), "/api" | "/apis")
                {
                    return Ok(Form { media: Media::AggregatedDiscovery, shape: Shape::Whole });
                }
                continue;
            }
            _ => continue,
        };
        match clause.media {
            "application/json" | "*/*" | "application/*" => return Ok(Form { media, shape }),
            "application/yaml" => return Ok(Form { media: Media::Yaml, shape }),
            OPEN_API_V2_PROTOBUF if path == "/openapi/v2" => {
                return Ok(Form { media: Media::OpenApiV2Protobuf, shape });
            }
            _ => {}
        }
    }
    if crate::client::url::place(path).is_none() && !path.starts_with("/api") {
        return Ok(Form { media, shape: Shape::Whole });
    }
    Err(Status::not_acceptable(&SUPPORTED))
}

/// Only who an object is, not what is in it.
pub fn metadata_only(object: &Value) -> Value {
    let kind = object.text("kind");
    if kind == "Status" {
        return object.clone();
    }
    if object.get("items").is_some() {
        return object! {
            "kind" => "PartialObjectMetadataList",
            "apiVersion" => "meta.k8s.io/v1",
            "metadata" => object.at("metadata"),
            "items" => Value::array(object.items("items").iter().map(metadata_only)),
        };
    }
    object! {
        "kind" => "PartialObjectMetadata",
        "apiVersion" => "meta.k8s.io/v1",
        "metadata" => object.at("metadata"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_given_is() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let json = "Json { pretty: false }";
        let cases = [
            ("/api/v1/pods", String::new(), format!("{json} Whole")),
            ("/api/v1/pods", "application/json".into(), format!("{json} Whole")),
            ("/api/v1/pods", "*/*".into(), format!("{json} Whole")),
            (
                "/api/v1/pods",
                "application/vnd.kubernetes.protobuf, application/json".into(),
                format!("{json} Whole"),
            ),
            ("/api/v1/pods", "application/vnd.kubernetes.protobuf".into(), "406".into()),
            ("/api/v1/pods", format!("{table},application/json"), format!("{json} Table")),
            (
                "/api/v1/pods",
                format!("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,{table}"),
                format!("{json} Table"),
            ),
            ("/api/v1/pods", "application/json;as=Table;v=v2;g=meta.k8s.io".into(), "406".into()),
            ("/api/v1/pods", "application/json;q=0.1, application/yaml;q=0.9".into(), "Yaml Whole".into()),
            (
                "/api/v1/pods",
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io".into(),
                format!("{json} Metadata"),
            ),
            (
                "/apis",
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
                    .into(),
                "AggregatedDiscovery Whole".into(),
            ),
            (
                "/apis",
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
                    .into(),
                format!("{json} Whole"),
            ),
            ("/openapi/v2", OPEN_API_V2_PROTOBUF.into(), "OpenApiV2Protobuf Whole".into()),
            ("/livez", "text/plain".into(), format!("{json} Whole")),
        ];
        for (path, accept, expected) in cases {
            let headers =
                if accept.is_empty() { vec![] } else { vec![("accept".to_owned(), accept.clone())] };
            let request = Request { target: path.into(), headers, ..Request::default() };
            let told = match negotiate(&request, path) {
                Ok(form) => format!("{:?} {:?}", form.media, form.shape),
                Err(status) => status.code.to_string(),
            };
            assert_eq!(told, expected, "{path} {accept}");
        }
    }
}
