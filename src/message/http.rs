//! HTTP as a client outside of the simulation speaks it, as data: what comes in at the gateway, and what goes out.
//!
//! Picture to hold in mind: the envelope with the stamps on it. Inside the house only forms travel ([`super::rest`]);
//! the envelope is opened, and later closed again, by the porter at the gate ([`crate::gateway`]).

use serde::Serialize;

use crate::api::{Text, Value};

/// A request as it came over the wire, its body read to the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Request {
    /// `GET`, `POST` ...
    pub method: String,
    /// Path and query, still percent-encoded: `/api/v1/pods?limit=500`.
    pub target: String,
    /// In the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// The first header of this name, which is in lower case; `""` where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
    /// All headers of this name, joined as a list.
    pub fn headers_of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// In which words a body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Texts as they are, anything else as JSON.
    Json {
        pretty: bool,
    },
    Yaml,
    /// The JSON of aggregated discovery, which names itself in its `Content-Type`.
    AggregatedDiscovery,
    /// `/openapi/v2` in gnostic's protobuf form, which client-go asks for.
    OpenApiV2Protobuf,
}

/// A piece of an answer, in order.
#[derive(Clone, Debug)]
pub enum Part {
    /// Status line, headers and the whole body.
    Whole(Answer),
    /// The same for a stream: pieces of the body follow.
    Opening(Answer),
    /// A piece of a stream's body: an event as one line of JSON, or text as it is.
    Piece(Value),
    /// The stream is over, as it should be.
    End,
    /// The connection behind broke: the stream ends without an ending.
    Broken,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub media: Media,
    pub body: Value,
    /// `Warning` headers.
    pub warnings: Vec<Text>,
    /// `Retry-After`, in seconds.
    pub retry_after_seconds: Option<u64>,
}
