//! Channels over a WebSocket.
//!
//! Picture to hold in mind: a pneumatic post. Each capsule has the number of its channel as its first byte.
//!
//! Follows `k8s.io/streaming/pkg/httpstream/wsstream` for the binary protocols (`channel.k8s.io`, `v4`, and `v5`, in which
//! a capsule of channel 255 tells that another channel has ended), and `client-go/tools/portforward/tunneling_dialer.go`
//! for a WebSocket that only carries SPDY.

use futures_util::{SinkExt, StreamExt};
use hyper::header::{
    HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::{FromClient, Kind, Telephone, ToClient, Wire};

/// Tells that the channel whose number follows has ended.
const CLOSE_CHANNEL: u8 = 255;
/// The largest capsule that is taken.
const MESSAGE_BYTES: usize = 1 << 20;
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protocol {
    pub has_status: bool,
    has_close: bool,
}

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("v5.channel.k8s.io", Protocol { has_status: true, has_close: true }),
    ("v4.channel.k8s.io", Protocol { has_status: true, has_close: false }),
    ("channel.k8s.io", Protocol { has_status: false, has_close: false }),
];

/// Chooses a protocol; what the answer's headers say.
pub fn shake_hands(
    kind: Kind,
    headers: &HeaderMap,
) -> Result<(Telephone, Vec<(HeaderName, String)>), String> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let key = text(&SEC_WEBSOCKET_KEY);
    if key.is_empty() || text(&SEC_WEBSOCKET_VERSION) != "13" {
        return Err("unable to upgrade: no WebSocket of version 13".into());
    }
    let mut answer =
        vec![(UPGRADE, "websocket".into()), (SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))];
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|list| list.split(',')).map(str::trim).collect();
    let mut chosen = offered.iter().find_map(|name| {
        let known = PROTOCOLS.iter().find(|(known, _)| known == name);
        // Version 5 is for commands; ports are forwarded over version 4 or a tunnel.
        let known = known.filter(|(_, protocol)| kind != Kind::PortForward || !protocol.has_close);
        match (known, kind) {
            (Some((name, protocol)), _) => Some((*name, Telephone::WebSocket(*protocol))),
            (None, Kind::PortForward) if *name == TUNNEL => Some((TUNNEL, Telephone::Tunnel)),
            _ => None,
        }
    });
    if offered.is_empty() {
        chosen = Some(("", Telephone::WebSocket(PROTOCOLS[2].1)));
    }
    let Some((name, telephone)) = chosen else {
        return Err(format!("unable to upgrade: unable to negotiate protocol: client supports {offered:?}"));
    };
    if !name.is_empty() {
        answer.push((SEC_WEBSOCKET_PROTOCOL, name.into()));
    }
    Ok((telephone, answer))
}

async fn socket<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> WebSocketStream<S> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES)).max_frame_size(Some(MESSAGE_BYTES));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// Carries capsules until this side has said everything, or the client has gone.
pub async fn carry<S: AsyncRead + AsyncWrite + Unpin>(io: S, protocol: Protocol, wire: Wire) {
    let mut socket = socket(io).await;
    let Wire { input, mut output } = wire;
    // What is heard while nobody takes it; nothing more is read then, but this side may go on talking.
    let mut pending = None;
    loop {
        tokio::select! {
            biased;
            said = output.recv() => match said {
                Some(ToClient::Data { channel, bytes }) => {
                    let mut capsule = vec![channel as u8];
                    capsule.extend(bytes);
                    if socket.send(Message::Binary(capsule.into())).await.is_err() {
                        return;
                    }
                }
                // The others have no word for it.
                Some(ToClient::End { .. }) => {}
                None => {
                    // Go's client takes an end without a code for a broken line.
                    let end = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                    let _ = socket.close(Some(end)).await;
                    return;
                }
            },
            place = input.reserve(), if pending.is_some() => {
                let heard = pending.take();
                // Where nobody listens any more, what is left to say is still said.
                if let (Ok(place), Some(heard)) = (place, heard) {
                    place.send(heard);
                }
            }
            heard = socket.next(), if pending.is_none() => match heard {
                Some(Ok(message)) => pending = read(message, protocol),
                Some(Err(_)) | None => return,
            },
        }
    }
}

fn read(message: Message, protocol: Protocol) -> Option<FromClient> {
    let bytes = match message {
        Message::Binary(bytes) => bytes,
        Message::Text(text) => text.into(),
        _ => return None,
    };
    match *bytes.first()? {
        CLOSE_CHANNEL if protocol.has_close => {
            bytes.get(1).map(|channel| FromClient::End { channel: u32::from(*channel) })
        }
        channel => Some(FromClient::Data { channel: u32::from(channel), bytes: bytes[1..].to_vec() }),
    }
}

/// Bytes read when the tunnel is asked once.
const TUNNEL_BYTES: usize = 1 << 16;

/// The bytes that are carried inside of a WebSocket, as a pipe.
pub async fn tunnel<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: S) -> tokio::io::DuplexStream {
    let mut socket = socket(io).await;
    let (near, mut far) = tokio::io::duplex(TUNNEL_BYTES);
    tokio::spawn(async move {
        let mut buffer = vec![0; TUNNEL_BYTES];
        loop {
            tokio::select! {
                read = far.read(&mut buffer) => match read {
                    Ok(count) if count > 0 => {
                        let message = Message::Binary(buffer[..count].to_vec().into());
                        if socket.send(message).await.is_err() {
                            return;
                        }
                    }
                    _ => {
                        let _ = socket.close(None).await;
                        return;
                    }
                },
                heard = socket.next() => match heard {
                    Some(Ok(Message::Binary(bytes))) => {
                        if far.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
            }
        }
    });
    near
}
