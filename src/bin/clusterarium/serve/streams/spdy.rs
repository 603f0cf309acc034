//! Channels over SPDY/3.1, the telephone of older clients and of `kubectl port-forward`.
//!
//! Picture to hold in mind: a switchboard. The subscriber plugs in one cord after the other and says of each what it is
//! for; what is to be said on a cord that is not plugged in yet waits beside the board.
//!
//! As much of the protocol as `github.com/moby/spdystream` speaks: no flow control, no priorities. Follows the SPDY
//! draft 3.1, `k8s.io/streaming/pkg/httpstream/spdy`, and for what the streams are called
//! `k8s.io/cri-streaming/pkg/streaming` (remotecommand/httpstream.go, portforward/httpstream.go).

use std::collections::BTreeMap;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use hyper::header::{HeaderMap, HeaderName, UPGRADE};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Call, FromClient, Kind, ToClient, Wire};

static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const EXEC_PROTOCOLS: [&str; 4] =
    ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const PORT_FORWARD_PROTOCOLS: [&str; 1] = ["portforward.k8s.io"];

/// The largest frame that is taken.
const FRAME_BYTES: usize = 1 << 20;
/// The largest list of headers, unpacked.
const HEADER_BYTES: usize = 1 << 16;
/// The most streams of one connection.
const STREAMS: usize = 4096;

/// Chooses a protocol; what the answer's headers say.
pub fn shake_hands(kind: Kind, headers: &HeaderMap) -> Result<Vec<(HeaderName, String)>, String> {
    let known: &[&str] = if kind == Kind::PortForward { &PORT_FORWARD_PROTOCOLS } else { &EXEC_PROTOCOLS };
    let offered = headers.get_all(&PROTOCOL_VERSION).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|list| list.split(',')).map(str::trim).collect();
    let mut answer = vec![(UPGRADE, "SPDY/3.1".into())];
    match offered.iter().find(|name| known.contains(name)) {
        Some(name) => answer.push((PROTOCOL_VERSION.clone(), (*name).to_owned())),
        // A client of the first version does not say.
        None if offered.is_empty() => {}
        None => {
            return Err(format!(
                "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {known:?}"
            ));
        }
    }
    Ok(answer)
}

/// How many streams the client will open before it expects anything; 0: as many as it likes, when it likes.
pub fn expected_streams(call: &Call) -> usize {
    if call.kind == Kind::PortForward {
        return 0;
    }
    let is_terminal = call.is_set("tty");
    let wanted = ["stdin", "stdout", "stderr"].iter().filter(|name| call.is_set(name)).count();
    // A terminal has one output, and tells its size; the stream of errors is always there.
    let stderr = usize::from(is_terminal && call.is_set("stderr") && call.is_set("stdout"));
    wanted - stderr + 1
}

/// A frame of the client.
#[derive(Debug, PartialEq)]
enum Frame {
    Open {
        stream: u32,
        headers: Vec<(String, String)>,
        is_last: bool,
    },
    Data {
        stream: u32,
        bytes: Vec<u8>,
        is_last: bool,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Settings, windows, and what nobody here needs.
    Other,
}

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const FIN: u8 = 1;
const REFUSED_STREAM: u32 = 3;

/// Reads frames until the client goes, or says something that is no SPDY.
async fn listen<R: AsyncRead + Unpin>(mut reader: R, frames: mpsc::Sender<Frame>) {
    let mut inflater = Decompress::new(true);
    let mut head = [0; 8];
    while reader.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
        if length > FRAME_BYTES {
            return;
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).await.is_err() {
            return;
        }
        let Some(frame) = frame(&head, body, &mut inflater) else { return };
        if frames.send(frame).await.is_err() {
            return;
        }
    }
}

/// `None`: this is no SPDY.
fn frame(head: &[u8; 8], body: Vec<u8>, inflater: &mut Decompress) -> Option<Frame> {
    let word = |place: usize| -> Option<u32> {
        Some(u32::from_be_bytes(body.get(place..place + 4)?.try_into().ok()?) & 0x7fff_ffff)
    };
    let is_last = head[4] & FIN != 0;
    if head[0] & 0x80 == 0 {
        let stream = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        return Some(Frame::Data { stream, bytes: body, is_last });
    }
    if u16::from_be_bytes([head[0] & 0x7f, head[1]]) != 3 {
        return None;
    }
    Some(match u16::from_be_bytes([head[2], head[3]]) {
        SYN_STREAM => {
            let headers = headers(&inflate(inflater, body.get(10..)?)?)?;
            Frame::Open { stream: word(0)?, headers, is_last }
        }
        RST_STREAM => Frame::Reset { stream: word(0)? },
        PING => Frame::Ping { id: u32::from_be_bytes(body.get(..4)?.try_into().ok()?) },
        GO_AWAY => Frame::GoAway,
        _ => Frame::Other,
    })
}

/// Unpacks a list of headers; all lists of a connection are one packed text.
fn inflate(inflater: &mut Decompress, packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::with_capacity(HEADER_BYTES);
    let start = inflater.total_in();
    loop {
        let read = (inflater.total_in() - start) as usize;
        let before = unpacked.len();
        match inflater.decompress_vec(packed.get(read..)?, &mut unpacked, FlushDecompress::Sync) {
            Ok(Status::StreamEnd) => return Some(unpacked),
            Ok(_) if unpacked.len() == unpacked.capacity() => return None,
            Ok(_) => {
                let read_now = (inflater.total_in() - start) as usize;
                if read_now >= packed.len() || (read_now == read && unpacked.len() == before) {
                    return Some(unpacked);
                }
            }
            Err(error) => {
                error.needs_dictionary()?;
                inflater.set_dictionary(&dictionary()).ok()?;
            }
        }
    }
}

/// Names and values, names in lower case.
fn headers(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let count = number(&mut bytes)?;
    (0..count.min(64)).map(|_| Some((text(&mut bytes)?, text(&mut bytes)?))).collect()
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*word))
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = number(bytes)? as usize;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// What both sides have read before the first list of headers (section 2.6.10.1 of the draft).
fn dictionary() -> Vec<u8> {
    const NAMES: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
        accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
        content-length content-location content-md5 content-range content-type date etag expect expires from host \
        if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards \
        pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding \
        upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public \
        set-cookie keep-alive origin";
    const REST: &str = "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045052\
        03 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
        404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug \
        Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
        application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=\
        utf-8charset=iso-8859-1,utf-,*,enq=0.";
    let mut bytes = Vec::new();
    for name in NAMES.split(' ') {
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend(name.replace('_', " ").bytes());
    }
    bytes.extend(REST.bytes());
    bytes
}

/// A cord that is plugged in.
struct Cord {
    channel: u32,
    /// The client has said its last on it.
    is_heard: bool,
    /// And this side has.
    is_said: bool,
}

/// The board: which stream is which channel.
#[derive(Default)]
struct Board {
    cords: BTreeMap<u32, Cord>,
    /// Of forwarded ports: the pair that a request's two streams make.
    pairs: BTreeMap<String, Pair>,
    next_pair: u32,
    /// How many have ever been plugged in.
    opened: usize,
}

#[derive(Default)]
struct Pair {
    channel: u32,
    has_data: bool,
    has_error: bool,
}

impl Board {
    /// Plugs a stream in; what the other end of the line is to hear. `None`: it is for nothing that is known.
    fn plug_in(&mut self, stream: u32, headers: &[(String, String)]) -> Option<Option<FromClient>> {
        let header =
            |name: &str| headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        if self.cords.len() >= STREAMS || self.cords.contains_key(&stream) {
            return None;
        }
        let kind = header("streamtype")?;
        let (channel, event) = match (header("port"), kind) {
            (None, "stdin") => (0, None),
            (None, "stdout") => (1, None),
            (None, "stderr") => (2, None),
            (None, "error") => (3, None),
            (None, "resize") => (4, None),
            (Some(port), "data" | "error") => {
                let port = port.parse().ok().filter(|port: &u16| *port > 0)?;
                // Without a number of the request, its streams follow each other: errors first.
                let first = if kind == "data" { stream.saturating_sub(2) } else { stream };
                let request = header("requestid").map_or_else(|| first.to_string(), str::to_owned);
                let next = &mut self.next_pair;
                let pair = self.pairs.entry(request.clone()).or_insert_with(|| {
                    *next += 2;
                    Pair { channel: *next - 2, ..Pair::default() }
                });
                let is_taken = std::mem::replace(
                    if kind == "data" { &mut pair.has_data } else { &mut pair.has_error },
                    true,
                );
                if is_taken {
                    return None;
                }
                let first = pair.channel;
                let is_whole = pair.has_data && pair.has_error;
                if is_whole {
                    self.pairs.remove(&request);
                }
                let channel = if kind == "data" { first } else { first + 1 };
                (channel, is_whole.then_some(FromClient::Open { channel: first, port }))
            }
            _ => return None,
        };
        self.cords.insert(stream, Cord { channel, is_heard: false, is_said: false });
        self.opened += 1;
        Some(event)
    }
    fn stream_of(&self, channel: u32) -> Option<u32> {
        self.cords.iter().find(|(_, cord)| cord.channel == channel).map(|(stream, _)| *stream)
    }
    /// Pulls a cord out once both sides have said their last.
    fn tidy(&mut self, stream: u32) {
        if self.cords.get(&stream).is_some_and(|cord| cord.is_heard && cord.is_said) {
            self.cords.remove(&stream);
        }
    }
}

/// Carries what is said until this side has said everything, or the client has gone.
pub async fn carry<S>(io: S, expected: usize, wire: Wire)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reader, mut writer) = tokio::io::split(io);
    let (sender, mut frames) = mpsc::channel(super::BACKLOG);
    let listening = tokio::spawn(listen(reader, sender));
    let Wire { input, mut output } = wire;
    let mut packer = Compress::new(Compression::fast(), true);
    let mut board = Board::default();
    // What is to be said on cords that are not plugged in yet.
    let mut waiting: Vec<ToClient> = Vec::new();
    // What has been heard while nobody took it; nothing more is read then.
    let mut pending: Vec<FromClient> = Vec::new();
    let mut is_over = false;
    loop {
        if is_over && waiting.is_empty() && board.opened >= expected {
            break;
        }
        let mut bytes = Vec::new();
        tokio::select! {
            biased;
            said = output.recv(), if !is_over => match said {
                Some(said) => say(said, &mut board, &mut waiting, &mut bytes),
                None => is_over = true,
            },
            place = input.reserve(), if !pending.is_empty() => {
                let heard = pending.remove(0);
                if let Ok(place) = place {
                    place.send(heard);
                }
            }
            frame = frames.recv(), if pending.is_empty() => match frame {
                None | Some(Frame::GoAway) => break,
                Some(frame) => {
                    hear(frame, &mut board, &mut packer, &mut pending, &mut bytes);
                    for said in std::mem::take(&mut waiting) {
                        say(said, &mut board, &mut waiting, &mut bytes);
                    }
                }
            },
        }
        if !bytes.is_empty() && writer.write_all(&bytes).await.is_err() {
            break;
        }
    }
    let mut bytes = Vec::new();
    for (stream, _) in board.cords.iter().filter(|(_, cord)| !cord.is_said) {
        data(*stream, &[], true, &mut bytes);
    }
    control(GO_AWAY, 0, &[0; 8], &mut bytes);
    let _ = writer.write_all(&bytes).await;
    let _ = writer.shutdown().await;
    listening.abort();
}

fn hear(
    frame: Frame,
    board: &mut Board,
    packer: &mut Compress,
    heard: &mut Vec<FromClient>,
    bytes: &mut Vec<u8>,
) {
    match frame {
        Frame::Open { stream, headers, is_last } => {
            let Some(event) = board.plug_in(stream, &headers) else {
                let body = [stream.to_be_bytes(), REFUSED_STREAM.to_be_bytes()].concat();
                return control(RST_STREAM, 0, &body, bytes);
            };
            let mut body = stream.to_be_bytes().to_vec();
            body.extend(no_headers(packer));
            control(SYN_REPLY, 0, &body, bytes);
            heard.extend(event);
            if is_last {
                ended(stream, board, heard);
            }
        }
        Frame::Data { stream, bytes: data, is_last } => {
            if let Some(cord) = board.cords.get(&stream) {
                let channel = cord.channel;
                if !data.is_empty() {
                    heard.push(FromClient::Data { channel, bytes: data });
                }
                if is_last {
                    ended(stream, board, heard);
                }
            }
        }
        Frame::Reset { stream } => {
            if let Some(cord) = board.cords.get_mut(&stream) {
                cord.is_said = true;
                ended(stream, board, heard);
            }
        }
        // Its own pings come back to the client; those of a server would have even numbers.
        Frame::Ping { id } if id % 2 == 1 => control(PING, 0, &id.to_be_bytes(), bytes),
        Frame::Ping { .. } | Frame::GoAway | Frame::Other => {}
    }
}

fn ended(stream: u32, board: &mut Board, heard: &mut Vec<FromClient>) {
    if let Some(cord) = board.cords.get_mut(&stream) {
        cord.is_heard = true;
        heard.push(FromClient::End { channel: cord.channel });
        board.tidy(stream);
    }
}

fn say(said: ToClient, board: &mut Board, waiting: &mut Vec<ToClient>, bytes: &mut Vec<u8>) {
    let channel = match &said {
        ToClient::Data { bytes, .. } if bytes.is_empty() => return,
        ToClient::Data { channel, .. } | ToClient::End { channel } => *channel,
    };
    let Some(stream) = board.stream_of(channel) else {
        // The end of a cord that has been pulled out is no news.
        if !matches!(said, ToClient::End { .. }) {
            waiting.push(said);
        }
        return;
    };
    match said {
        ToClient::Data { bytes: said, .. } => {
            said.chunks(FRAME_BYTES).for_each(|piece| data(stream, piece, false, bytes));
        }
        ToClient::End { .. } => {
            data(stream, &[], true, bytes);
            if let Some(cord) = board.cords.get_mut(&stream) {
                cord.is_said = true;
            }
            board.tidy(stream);
        }
    }
}

fn data(stream: u32, piece: &[u8], is_last: bool, bytes: &mut Vec<u8>) {
    bytes.extend(stream.to_be_bytes());
    length(if is_last { FIN } else { 0 }, piece.len(), bytes);
    bytes.extend(piece);
}

fn control(kind: u16, flags: u8, body: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend([0x80, 3]);
    bytes.extend(kind.to_be_bytes());
    length(flags, body.len(), bytes);
    bytes.extend(body);
}

fn length(flags: u8, length: usize, bytes: &mut Vec<u8>) {
    bytes.extend((u32::from(flags) << 24 | length as u32).to_be_bytes());
}

/// An empty list of headers, as the next piece of the packed text.
fn no_headers(packer: &mut Compress) -> Vec<u8> {
    let mut packed = Vec::with_capacity(64);
    // Four zeros always fit.
    let _ = packer.compress_vec(&[0; 4], &mut packed, FlushCompress::Sync);
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(stream: u32, headers: &[(&str, &str)], packer: &mut Compress) -> Vec<u8> {
        let mut list = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            list.extend((text.len() as u32).to_be_bytes());
            list.extend(text.bytes());
        }
        let mut packed = Vec::with_capacity(4096);
        packer.compress_vec(&list, &mut packed, FlushCompress::Sync).unwrap();
        let mut body = stream.to_be_bytes().to_vec();
        body.extend([0; 6]);
        body.extend(packed);
        let mut bytes = Vec::new();
        control(SYN_STREAM, 0, &body, &mut bytes);
        bytes
    }

    async fn heard(bytes: &[u8]) -> Vec<Frame> {
        let (sender, mut frames) = mpsc::channel(100);
        listen(bytes, sender).await;
        let mut all = Vec::new();
        while let Some(frame) = frames.recv().await {
            all.push(frame);
        }
        all
    }

    #[tokio::test]
    async fn frames_are_read_and_nonsense_ends_the_connection() {
        let mut packer = Compress::new(Compression::fast(), true);
        packer.set_dictionary(&dictionary()).unwrap();
        let first = open(1, &[("streamtype", "error"), ("content-type", "text/plain")], &mut packer);
        let second = open(3, &[("streamtype", "stdin")], &mut packer);
        let mut bytes = [first, second].concat();
        data(3, b"hello", true, &mut bytes);
        let text = |text: &str| text.to_owned();
        let expected = [
            Frame::Open {
                stream: 1,
                headers: vec![
                    (text("streamtype"), text("error")),
                    (text("content-type"), text("text/plain")),
                ],
                is_last: false,
            },
            Frame::Open { stream: 3, headers: vec![(text("streamtype"), text("stdin"))], is_last: false },
            Frame::Data { stream: 3, bytes: b"hello".to_vec(), is_last: true },
        ];
        assert_eq!(heard(&bytes).await, expected);
        // Whatever byte is damaged: no panic, and no end without an end.
        for place in 0..bytes.len() {
            for damage in [0xff, 0x80, 0x01] {
                let mut damaged = bytes.clone();
                damaged[place] ^= damage;
                heard(&damaged).await;
            }
        }
    }

    #[test]
    fn streams_of_one_request_are_one_connection() {
        let mut board = Board::default();
        let mut plug = |stream: u32, list: &[(&str, &str)]| {
            let list: Vec<_> = list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            board.plug_in(stream, &list)
        };
        let port = ("port", "80");
        for (stream, list, expected) in [
            (1, vec![("streamtype", "error"), port, ("requestid", "0")], Some(None)),
            (3, vec![("streamtype", "error"), port, ("requestid", "1")], Some(None)),
            (
                5,
                vec![("streamtype", "data"), port, ("requestid", "1")],
                Some(Some(FromClient::Open { channel: 2, port: 80 })),
            ),
            (
                7,
                vec![("streamtype", "data"), port, ("requestid", "0")],
                Some(Some(FromClient::Open { channel: 0, port: 80 })),
            ),
            // Of an old client.
            (9, vec![("streamtype", "error"), port], Some(None)),
            (11, vec![("streamtype", "data"), port], Some(Some(FromClient::Open { channel: 4, port: 80 }))),
            (13, vec![("streamtype", "data"), ("port", "0")], None),
            (15, vec![("streamtype", "other")], None),
            (11, vec![("streamtype", "stdin")], None),
            (17, vec![], None),
        ] {
            assert_eq!(plug(stream, &list), expected, "{stream}");
        }
    }
}
