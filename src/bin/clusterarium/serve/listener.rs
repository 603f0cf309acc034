//! The port: HTTP/1.1 in, HTTP/1.1 out, with TLS around it where certificates are asked for.
//!
//! Picture to hold in mind: the letter box's flap. It checks that a letter is a letter, not too thick and from this
//! side of the street, and holds each sender's hand until the answer is through.
//!
//! Everything that comes in is untrusted. hyper answers what is no HTTP with 400; this module limits how many
//! connections there are, how long a head may take to arrive and how big a body may be, and lets no web page in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Sender as Orders;
use std::task::{Context, Poll};
use std::time::Duration;

use clusterarium::api::status::{Reason, Status};
use clusterarium::message::http::{Answer, Part, Request as Letter};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::certificates::{Guard, Peer};
use super::desk::{self, Desk, Waiting};
use super::simulation::Order;
use super::{answer, protobuf, streams};

/// `MaxRequestBodyBytes` of the real server.
const BODY_BYTES: usize = 3 << 20;
/// Open connections; more wait in the system's queue.
const CONNECTIONS: usize = 1000;
/// Conversations that go on at one time; more are refused.
const CONVERSATIONS: usize = 1000;
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// What a graceful stop gives to requests that are under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Who is let in.
#[derive(Clone, Copy)]
pub struct Access {
    pub address: SocketAddr,
    pub allows_remote: bool,
}

struct Port {
    access: Access,
    /// Of HTTPS.
    guard: Option<Guard>,
    desk: Arc<Desk>,
    /// A connection that has become a conversation is none any more to those who count connections.
    conversations: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// Listens until Ctrl+C, or until the simulation is gone.
pub fn run(
    socket: std::net::TcpListener,
    access: Access,
    guard: Option<Guard>,
    orders: Orders<Order>,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot listen: {error}"))?;
    let stop = orders.clone();
    let result = runtime.block_on(listen(socket, access, guard, orders));
    // The simulation may have gone already; then there is nobody to tell.
    let _ = stop.send(Order::Stop);
    result.map_err(|error| format!("cannot listen: {error}"))
}

async fn listen(
    socket: std::net::TcpListener,
    access: Access,
    guard: Option<Guard>,
    orders: Orders<Order>,
) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let (stop, stopping) = watch::channel(false);
    let conversations = Arc::new(Semaphore::new(CONVERSATIONS));
    let port = Arc::new(Port { access, guard, desk: Arc::new(Desk::new(orders)), conversations, stopping });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        // The semaphore is never closed: a place comes free some day.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            result = &mut interrupted => {
                result?;
                break;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of files, or a client that was gone again: neither is a reason to stop.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let port = Arc::clone(&port);
        tokio::spawn(async move {
            greet(port, stream).await;
            drop(place);
        });
    }
    drop(socket);
    println!("Stopping: open watches are ended.");
    let _ = stop.send(true);
    let everybody = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    tokio::select! {
        _ = places.acquire_many(everybody) => {}
        () = tokio::time::sleep(STOP_TIMEOUT) => {}
        // Whoever presses Ctrl+C again does not want to wait.
        _ = interrupted_again() => {}
    }
    Ok(())
}

/// Ends at Ctrl+C, and where there is such a thing at the signal to terminate.
async fn interrupted() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

async fn interrupted_again() {
    let _ = interrupted().await;
}

/// Shakes hands where HTTPS is spoken, and sees who is there.
async fn greet(port: Arc<Port>, stream: tokio::net::TcpStream) {
    let Some(guard) = port.guard.clone() else {
        return connection(port, stream, Arc::new(Peer::Administrator)).await;
    };
    let shaken = TlsAcceptor::from(Arc::clone(&guard.config)).accept(stream);
    // Whoever speaks something else, or too slowly, is no client.
    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, shaken).await {
        let peer = guard.peer(stream.get_ref().1);
        connection(port, stream, Arc::new(peer)).await;
    }
}

async fn connection(
    port: Arc<Port>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Arc<Peer>,
) {
    let service = service_fn({
        let port = Arc::clone(&port);
        move |request| {
            let (port, peer) = (Arc::clone(&port), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(exchange(port, request, &peer).await) }
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    // What goes wrong on one connection is its client's concern.
    tokio::select! {
        _ = served.as_mut() => {}
        () = stopped(port.stopping.clone()) => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

/// Ends when the program is to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

type AnswerBody = Either<Full<Bytes>, Stream>;

/// One request and its answer.
async fn exchange(port: Arc<Port>, mut request: Request<Incoming>, peer: &Peer) -> Response<AnswerBody> {
    let is_head = request.method() == Method::HEAD;
    // Taken before the request is read to its end: what comes after the answer is a conversation of its own.
    let upgrade = streams::wants_upgrade(request.headers())
        .then(|| (hyper::upgrade::on(&mut request), request.headers().clone()));
    let letter = match letter(&port, request, peer).await {
        Ok(letter) => letter,
        Err(status) => return refusal(&status),
    };
    if let (Some((upgrade, headers)), Some(call)) = (upgrade, streams::call(&letter)) {
        let Ok(place) = Arc::clone(&port.conversations).try_acquire_owned() else {
            return refusal(&Status::service_unavailable("too many conversations are going on"));
        };
        return match streams::open(&port.desk, call, &headers).await {
            Ok(opened) => {
                let (response, talk) = opened.begin(upgrade);
                let stopping = port.stopping.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = talk => {}
                        () = stopped(stopping) => {}
                    }
                    drop(place);
                });
                response.map(|()| Either::Left(Full::new(Bytes::new())))
            }
            Err(answer) => whole(&answer, is_head),
        };
    }
    let mut waiting = match port.desk.hand_in(letter) {
        Ok(waiting) => waiting,
        Err(status) => return refusal(&status),
    };
    let first = tokio::select! {
        first = waiting.next() => first,
        () = stopped(port.stopping.clone()) => {
            // What is under way gets its answer, if it comes soon.
            tokio::time::timeout(STOP_TIMEOUT, waiting.next()).await.unwrap_or(None)
        }
    };
    match first {
        Some(Part::Whole(answer)) => whole(&answer, is_head),
        Some(Part::Opening(answer)) => {
            let stopped = Box::pin(stopped(port.stopping.clone()));
            answer::head(&answer, true, Either::Right(Stream { waiting, stopped }))
        }
        _ => refusal(&Status::service_unavailable("the request was not answered")),
    }
}

fn whole(answer: &Answer, is_head: bool) -> Response<AnswerBody> {
    let body = if is_head { Bytes::new() } else { answer::body(answer) };
    answer::head(answer, false, Either::Left(Full::new(body)))
}

fn refusal(status: &Status) -> Response<AnswerBody> {
    whole(&desk::refusal(status), false)
}

/// Headers that mean something to the API server; others stay outside.
const HEADERS: [&str; 5] = ["accept", "authorization", "content-type", "upgrade", "user-agent"];

/// Reads a request to its end.
async fn letter(port: &Port, request: Request<Incoming>, peer: &Peer) -> Result<Letter, Status> {
    check_origin(port, &request)?;
    let (head, body) = request.into_parts();
    let mut headers = Vec::new();
    for (name, value) in &head.headers {
        let name = name.as_str();
        if HEADERS.contains(&name) || name.starts_with("impersonate-") {
            headers.push((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    introduce(peer, &mut headers)?;
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let too_large = || Status::request_entity_too_large(&format!("limit is {BODY_BYTES}"));
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES).collect()).await;
    let bytes = match read {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Status::bad_request("the body of the request broke off")),
        Err(_) => {
            return Err(Status::new(408, Reason::Timeout, "the body of the request did not arrive in time"));
        }
    };
    let body = text(&mut headers, &bytes)?;
    Ok(Letter { method: head.method.as_str().to_owned(), target, headers, body })
}

/// Says who asks, in the headers of a proxy that has looked at certificates; those of the client's own never get here.
fn introduce(peer: &Peer, headers: &mut Vec<(String, String)>) -> Result<(), Status> {
    let (name, groups) = match peer {
        Peer::Administrator => return Ok(()),
        Peer::Nobody => ("", [].as_slice()),
        Peer::Holder { name, groups } => (name.as_str(), groups.as_slice()),
        // As upstream: the next way to show who one is may be a better one.
        Peer::Forger if headers.iter().any(|(name, _)| name == "authorization") => ("", [].as_slice()),
        Peer::Forger => return Err(Status::unauthorized("Unauthorized")),
    };
    headers.push(("x-remote-user".into(), name.into()));
    headers.extend(groups.iter().map(|group| ("x-remote-group".into(), group.clone())));
    Ok(())
}

/// The body as a text; a protobuf that can be read becomes JSON.
fn text(headers: &mut [(String, String)], bytes: &[u8]) -> Result<String, Status> {
    let content_type = headers.iter_mut().find(|(name, _)| name == "content-type");
    let Some((_, media)) = content_type.filter(|(_, media)| media.starts_with(protobuf::CONTENT_TYPE)) else {
        let text = std::str::from_utf8(bytes);
        return text
            .map(str::to_owned)
            .map_err(|_| Status::bad_request("the body of the request is no UTF-8 text"));
    };
    match protobuf::decode(bytes) {
        Ok(object) => {
            *media = "application/json".into();
            Ok(object.to_string())
        }
        // The content type will be refused; the body is not looked at.
        Err(protobuf::Error::Unknown) => Ok(String::new()),
        Err(protobuf::Error::Malformed) => {
            Err(Status::bad_request("the body of the request is no protobuf of the kind that it names"))
        }
    }
}

/// A web page must not reach the cluster through the browser of the one who runs it: neither by a name that was made to
/// point here, nor by a form or script of another site. `kubectl proxy` checks hosts for the same reason. Libraries that
/// open WebSockets (Python's) name the address that they connect to as the origin: that is no page.
fn check_origin(port: &Port, request: &Request<Incoming>) -> Result<(), Status> {
    let access = port.access;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let forbidden = |why: String| Err(Status::new(403, Reason::Forbidden, why));
    let authority = header("host").map(str::to_owned).or(request.uri().authority().map(ToString::to_string));
    let address = authority.as_deref().map(host_of);
    let is_own = |origin: &str| {
        let origin = origin.strip_prefix(if port.guard.is_some() { "https://" } else { "http://" });
        // A name could have been made to point here; a number could not.
        origin == authority.as_deref()
            && address.is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok() || host == "localhost")
    };
    if header("origin").is_some_and(|origin| !is_own(origin))
        || header("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin")
    {
        return forbidden("requests of web pages are not answered".into());
    }
    let Some(host) = address.filter(|_| !access.allows_remote) else { return Ok(()) };
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == access.address.ip());
    if is_loopback { Ok(()) } else { forbidden(format!("the host {host:?} is not this one")) }
}

/// `[::1]:80` is `::1`, `localhost:80` is `localhost`.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or(""),
    }
}

/// The body of a watch.
struct Stream {
    waiting: Waiting,
    /// Done when the program is to stop.
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        let Poll::Ready(part) = self.waiting.received.poll_recv(context) else { return Poll::Pending };
        self.waiting.seen(part.as_ref());
        Poll::Ready(match part {
            Some(Part::Piece(value)) => Some(Ok(Frame::data(answer::piece(&value)))),
            Some(Part::End) => None,
            // Without the last chunk, so that the client knows.
            _ => Some(Err(std::io::ErrorKind::ConnectionReset.into())),
        })
    }
}
