//! Connections to ports of a pod.
//!
//! Picture to hold in mind: an extension cord into a doll's house. At the far end somebody reads what comes through the
//! wire and acts it out with the dolls: what speaks HTTP there answers, anything else just has its door opened.
//!
//! Simulated containers speak HTTP at most, one question and one answer; so that is what goes through. Follows
//! `k8s.io/cri-streaming/pkg/streaming/portforward`; the words are containerd's.

use std::collections::BTreeMap;
use std::sync::Arc;

use clusterarium::message::http::Answer;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::{Call, FromClient, Line, ToClient, accepted};
use crate::serve::desk::Desk;

/// Bytes that wait in each direction.
const PIPE_BYTES: usize = 1 << 16;
/// Connections at one time; a client that opens more gets no answer on them.
const CONNECTIONS: usize = 256;

/// The ports that a request names; their channels are two each, in order.
pub fn ports(call: &Call) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for text in call.all("port").chain(call.all("ports")) {
        for port in text.split(',') {
            match port.parse() {
                Ok(port) if port > 0 => ports.push(port),
                Ok(_) => return Err(format!("port {port:?} must be > 0")),
                Err(_) => return Err(format!("unable to parse {port:?} as a port")),
            }
        }
    }
    if ports.len() > CONNECTIONS { Err("too many ports".into()) } else { Ok(ports) }
}

#[derive(Clone)]
pub struct Forward {
    desk: Arc<Desk>,
    call: Arc<Call>,
}

impl Forward {
    /// Looks whether there is such a pod.
    ///
    /// # Errors
    /// The answer that refuses the request.
    pub async fn open(desk: Arc<Desk>, call: Call) -> Result<Forward, Answer> {
        accepted(desk.ask(call.letter("GET", "", &[], String::new())).await)?;
        Ok(Forward { desk, call: Arc::new(call) })
    }

    /// Connects what is `open` from the start until all of it is over, or else whatever the client opens until it goes.
    pub async fn talk(self, open: Vec<u16>, line: Line) {
        let Line { mut input, output } = line;
        let mut inward: BTreeMap<u32, WriteHalf<DuplexStream>> = BTreeMap::new();
        let connect =
            |inward: &mut BTreeMap<_, _>, channel: u32, port: u16, output: &mpsc::Sender<ToClient>| {
                if inward.len() < CONNECTIONS {
                    let (near, far) = tokio::io::duplex(PIPE_BYTES);
                    let (outward, into) = tokio::io::split(near);
                    inward.insert(channel, into);
                    tokio::spawn(self.clone().connection(channel, port, outward, far, output.clone()));
                }
            };
        let opens_later = open.is_empty();
        for (place, port) in open.into_iter().enumerate() {
            let channel = 2 * place as u32;
            for channel in [channel, channel + 1] {
                let bytes = port.to_le_bytes().to_vec();
                let _ = output.send(ToClient::Data { channel, bytes }).await;
            }
            connect(&mut inward, channel, port, &output);
        }
        // The line ends with the last who may say something on it.
        let output = Some(output).filter(|_| opens_later);
        while let Some(heard) = input.recv().await {
            match heard {
                FromClient::Open { channel, port } => {
                    if let Some(output) = &output {
                        connect(&mut inward, channel, port, output);
                    }
                }
                FromClient::Data { channel, bytes } => {
                    // A connection that is over takes nothing more.
                    if let Some(pipe) = inward.get_mut(&channel)
                        && pipe.write_all(&bytes).await.is_err()
                    {
                        inward.remove(&channel);
                    }
                }
                FromClient::End { channel } => {
                    if let Some(mut pipe) = inward.remove(&channel) {
                        let _ = pipe.shutdown().await;
                    }
                }
            }
        }
    }

    async fn connection(
        self,
        channel: u32,
        port: u16,
        mut outward: ReadHalf<DuplexStream>,
        far: DuplexStream,
        output: mpsc::Sender<ToClient>,
    ) {
        let dialled = self.dial(port, None).await;
        if dialled.code >= 300 {
            let pod = self.call.pod.rsplit('/').next().unwrap_or("");
            let message = format!(
                "error forwarding port {port} to pod {pod}, uid : failed to execute portforward in network namespace: failed to connect to localhost:{port} inside namespace: dial tcp4 127.0.0.1:{port}: connect: {}",
                dialled.body.text("message")
            );
            let _ = output.send(ToClient::Data { channel: channel + 1, bytes: message.into() }).await;
        } else {
            let service = service_fn(|request| self.serve(port, request));
            let serving =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
            let carrying = async {
                let mut buffer = vec![0; PIPE_BYTES];
                while let Ok(count) = outward.read(&mut buffer).await
                    && count > 0
                {
                    let bytes = buffer[..count].to_vec();
                    if output.send(ToClient::Data { channel, bytes }).await.is_err() {
                        break;
                    }
                }
            };
            // What is no HTTP ends the connection, as a server would.
            let _ = tokio::join!(serving, carrying);
        }
        for channel in [channel, channel + 1] {
            let _ = output.send(ToClient::End { channel }).await;
        }
    }

    async fn dial(&self, port: u16, path: Option<&str>) -> Answer {
        let port = port.to_string();
        let mut parameters = vec![("port", port.as_str())];
        parameters.extend(path.map(|path| ("path", path)));
        self.desk.ask(self.call.letter("POST", "/portforward", &parameters, String::new())).await
    }

    /// One question to what listens there.
    async fn serve(
        &self,
        port: u16,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let answer = self.dial(port, Some(&path)).await;
        if answer.code >= 300 {
            // Whoever listens there speaks something else.
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        let code = answer.body.integer("status").and_then(|code| u16::try_from(code).ok()).unwrap_or(200);
        let is_head = request.method() == Method::HEAD;
        let body = if is_head { Bytes::new() } else { answer.body.text("body").to_owned().into() };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
        Ok::<_, std::io::Error>(response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn ports_are_read_or_refused() {
        for (text, expected) in [
            (&["80", "81,82"][..], Ok(vec![80, 81, 82])),
            (&[], Ok(vec![])),
            (&["0"], Err("port \"0\" must be > 0".to_owned())),
            (&["x"], Err("unable to parse \"x\" as a port".to_owned())),
            (&["65536"], Err("unable to parse \"65536\" as a port".to_owned())),
        ] {
            let call = Call {
                kind: Kind::PortForward,
                pod: String::new(),
                parameters: text.iter().map(|text| ("ports".into(), (*text).into())).collect(),
                headers: Vec::new(),
            };
            assert_eq!(ports(&call), expected);
        }
    }
}
