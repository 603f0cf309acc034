//! `exec`, `attach` and `portforward`: requests that turn into a conversation.
//!
//! Picture to hold in mind: a telephone exchange. A subscriber asks for a line and says which kind of telephone he has
//! ([`websocket`], [`spdy`]); once the line is up, numbered channels go both ways on it, and whoever talks at this end
//! ([`exec`], [`forward`]) need not know what kind of telephone is at the other.
//!
//! Inside the simulation a command in a container is one request and one answer; what makes a conversation of it is
//! here. Follows `k8s.io/cri-streaming` (remotecommand, portforward) and `k8s.io/streaming/pkg/httpstream`.

mod exec;
mod forward;
mod spdy;
mod typing;
mod websocket;

use std::pin::Pin;
use std::sync::Arc;

use clusterarium::api::status::{Reason, Status};
use clusterarium::client::url;
use clusterarium::message::http::{Answer, Request as Letter};
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::desk::{Desk, refusal};

/// Pieces that wait for the other side before whoever sends more has to wait too.
const BACKLOG: usize = 64;

/// What comes from the client.
#[derive(Debug, PartialEq)]
pub enum FromClient {
    /// A connection to a port begins on this channel, and its errors go to the next one.
    Open {
        channel: u32,
        port: u16,
    },
    Data {
        channel: u32,
        bytes: Vec<u8>,
    },
    /// No more will come on this channel.
    End {
        channel: u32,
    },
}

/// What goes to the client.
#[derive(Debug, PartialEq)]
pub enum ToClient {
    Data { channel: u32, bytes: Vec<u8> },
    End { channel: u32 },
}

/// The two ends of a line, as whoever talks at this side holds them.
pub struct Line {
    pub input: mpsc::Receiver<FromClient>,
    pub output: mpsc::Sender<ToClient>,
}

impl Line {
    /// Sends `bytes`, false when the client has gone.
    pub async fn send(&self, channel: u32, bytes: impl Into<Vec<u8>>) -> bool {
        self.output.send(ToClient::Data { channel, bytes: bytes.into() }).await.is_ok()
    }
}

/// The same line as the telephone holds it.
pub struct Wire {
    pub input: mpsc::Sender<FromClient>,
    pub output: mpsc::Receiver<ToClient>,
}

fn line() -> (Line, Wire) {
    let (to_us, input) = mpsc::channel(BACKLOG);
    let (output, to_client) = mpsc::channel(BACKLOG);
    (Line { input, output }, Wire { input: to_us, output: to_client })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Exec,
    Attach,
    PortForward,
}

/// Who asks for what: the request, read.
#[derive(Clone, Debug)]
pub struct Call {
    pub kind: Kind,
    /// The pod's own path: `/api/v1/namespaces/default/pods/web`.
    pub pod: String,
    pub parameters: Vec<(String, String)>,
    /// Headers that say who asks.
    headers: Vec<(String, String)>,
}

impl Call {
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }
    pub fn is_set(&self, name: &str) -> bool {
        self.all(name).any(|value| matches!(value, "true" | "1"))
    }
    /// A request about the pod or a part of it, by the same user.
    pub fn letter(
        &self,
        method: &str,
        subresource: &str,
        parameters: &[(&str, &str)],
        body: String,
    ) -> Letter {
        let mut target = format!("{}{subresource}", self.pod);
        for (place, (name, value)) in parameters.iter().enumerate() {
            target.push(if place == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.extend(value.bytes().map(escaped));
        }
        Letter { method: method.into(), target, headers: self.headers.clone(), body }
    }
}

/// A byte as it may stand in a query.
fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }
}

/// Whether the connection is to become something else after this request.
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

/// The conversation that a request asks for, if it does.
pub fn call(letter: &Letter) -> Option<Call> {
    let (path, query) = letter.target.split_once('?').unwrap_or((&letter.target, ""));
    let place = url::place(&url::decode(path, false)?)?;
    let kind = match place.subresource.as_str() {
        "exec" => Kind::Exec,
        "attach" => Kind::Attach,
        "portforward" => Kind::PortForward,
        _ => return None,
    };
    let (pod, _) = path.trim_end_matches('/').rsplit_once('/')?;
    let parameters = url::query(query).ok()?;
    let parameters = parameters.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let who = |name: &str| {
        matches!(name, "authorization" | "upgrade" | "user-agent")
            || name.starts_with("impersonate-")
            || name.starts_with("x-remote-")
    };
    Some(Call {
        kind,
        pod: pod.into(),
        parameters: parameters.collect(),
        headers: letter.headers.iter().filter(|(name, _)| who(name)).cloned().collect(),
    })
}

/// A line that is up as far as this side is concerned.
pub struct Opened {
    telephone: Telephone,
    headers: Vec<(HeaderName, String)>,
    /// Who talks at this end.
    talk: Pin<Box<dyn Future<Output = ()> + Send>>,
    wire: Wire,
    /// Streams that the client opens first, where it opens streams.
    expected_streams: usize,
}

enum Telephone {
    WebSocket(websocket::Protocol),
    /// A WebSocket whose messages are the bytes of SPDY.
    Tunnel,
    Spdy,
}

impl Opened {
    /// The answer that hands the connection over, and the conversation that follows.
    pub fn begin(self, upgrade: OnUpgrade) -> (Response<()>, impl Future<Output = ()> + Send) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        let Opened { telephone, talk, wire, expected_streams, .. } = self;
        let conversation = async move {
            let Ok(io) = upgrade.await else { return };
            let io = TokioIo::new(io);
            let carry = async move {
                match telephone {
                    Telephone::WebSocket(protocol) => websocket::carry(io, protocol, wire).await,
                    Telephone::Tunnel => spdy::carry(websocket::tunnel(io).await, 0, wire).await,
                    Telephone::Spdy => spdy::carry(io, expected_streams, wire).await,
                }
            };
            // The telephone puts down when this side has said everything; this side stops when nobody listens.
            tokio::join!(talk, carry);
        };
        (response, conversation)
    }
}

/// Takes a call: refuses it as any request is refused, or has the line ready.
///
/// # Errors
/// The answer to give instead: the API server's or the kubelet's own, or 400 where no telephone of that kind is known.
pub async fn open(desk: &Arc<Desk>, call: Call, headers: &HeaderMap) -> Result<Opened, Answer> {
    let bad = |why: &str| refusal(&Status::bad_request(why));
    let (telephone, answer_headers) = telephone(call.kind, headers).map_err(|why| bad(&why))?;
    // A version 4 client reads a Status at the end, an older one words.
    let has_status = match &telephone {
        Telephone::WebSocket(protocol) => protocol.has_status,
        Telephone::Tunnel => true,
        Telephone::Spdy => answer_headers.iter().any(|(_, value)| value.starts_with("v4.")),
    };
    let expected_streams = spdy::expected_streams(&call);
    let (line, wire) = line();
    let desk = Arc::clone(desk);
    let talk: Pin<Box<dyn Future<Output = ()> + Send>> = match call.kind {
        Kind::Exec => Box::pin(exec::Exec::open(desk, call, has_status).await?.talk(line)),
        Kind::Attach => Box::pin(exec::attach(desk, call, has_status).await?(line)),
        Kind::PortForward => {
            let opens = match &telephone {
                Telephone::WebSocket(_) => {
                    let ports = forward::ports(&call).map_err(|why| bad(&why))?;
                    if ports.is_empty() {
                        return Err(bad("query parameter \"port\" is required"));
                    }
                    ports
                }
                // These name the port with each connection.
                Telephone::Tunnel | Telephone::Spdy => Vec::new(),
            };
            Box::pin(forward::Forward::open(desk, call).await?.talk(opens, line))
        }
    };
    Ok(Opened { telephone, headers: answer_headers, talk, wire, expected_streams })
}

/// Which telephone the client has, and what the answer's headers say about it.
fn telephone(kind: Kind, headers: &HeaderMap) -> Result<(Telephone, Vec<(HeaderName, String)>), String> {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if upgrade.eq_ignore_ascii_case("websocket") {
        return websocket::shake_hands(kind, headers);
    }
    if upgrade.eq_ignore_ascii_case("spdy/3.1") {
        return Ok((Telephone::Spdy, spdy::shake_hands(kind, headers)?));
    }
    Err(format!("unable to upgrade: unknown protocol {upgrade:?}"))
}

/// Whether an answer is a refusal.
fn accepted(answer: Answer) -> Result<Answer, Answer> {
    if answer.code < 300 { Ok(answer) } else { Err(answer) }
}

/// The status at the end of a command that could not be run.
fn internal_error(why: &str) -> Status {
    Status::new(500, Reason::InternalError, format!("Internal error occurred: {why}"))
}
