//! Conversations in the words of the protocol: commands in containers and ports of pods over WebSockets.
//!
//! Picture to hold in mind: a tapped line. What the client says is written down with `>`, what it hears with `<`.

use std::net::TcpStream;
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use super::program::Program;

/// Opens a line; or what the refusal says.
fn dial(program: &Program, target: &str, protocols: &str) -> Result<WebSocket<TcpStream>, String> {
    let stream = TcpStream::connect(&program.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut request = format!("ws://{}{target}", program.address).into_client_request().unwrap();
    if !protocols.is_empty() {
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocols.parse().unwrap());
    }
    match client(request, stream) {
        Ok((socket, answer)) => {
            let chosen = answer.headers().get("Sec-WebSocket-Protocol");
            assert!(chosen.is_some() || protocols.is_empty());
            Ok(socket)
        }
        Err(tokio_tungstenite::tungstenite::HandshakeError::Failure(
            tokio_tungstenite::tungstenite::Error::Http(answer),
        )) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let status: clusterarium::api::Value = serde_json::from_slice(body).unwrap_or_default();
            Err(format!("{} {}", answer.status().as_u16(), status.text("message")))
        }
        Err(error) => panic!("{error}"),
    }
}

/// What is heard until the line goes dead, capsules of one channel joined: `1 text`.
fn heard(socket: &mut WebSocket<TcpStream>) -> Vec<String> {
    let mut heard: Vec<(u8, String)> = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => {
                let text = String::from_utf8_lossy(&bytes[1..]).into_owned();
                match heard.last_mut().filter(|(channel, _)| *channel == bytes[0]) {
                    Some((_, last)) => *last += &text,
                    None => heard.push((bytes[0], text)),
                }
            }
            Ok(Message::Close(frame)) => {
                let code = frame.map_or(0, |frame| frame.code.into());
                heard.push((0, format!("closed {code}")));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // The sign that the line is up says nothing.
    heard.retain(|(_, text)| !text.is_empty());
    heard.into_iter().map(|(channel, text)| format!("{channel} {text}")).collect()
}

const SUCCESS: &str = r#"3 {"metadata":{},"status":"Success"}"#;

#[test]
fn conversations_are_held() {
    let program = Program::start(&["--speed", "4", "--workers", "1"]);
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"web","image":"nginx"}]}}"#;
    assert_eq!(program.post("/api/v1/namespaces/default/pods", pod).code, 201);
    let running =
        || program.get("/api/v1/namespaces/default/pods/web").json().text("status.phase") == "Running";
    while !running() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let exec = "/api/v1/namespaces/default/pods/web/exec?stdout=1&stderr=1";
    // Parameters, protocols, what is said, what is heard.
    type Case<'a> = (&'a str, &'a str, &'a [&'a [u8]], &'a [&'a str]);
    let cases: &[Case] = &[
        ("&command=echo&command=a%20b", "v5.channel.k8s.io", &[], &["1 a b\n", SUCCESS, "0 closed 1000"]),
        ("&command=echo&command=old", "v4.channel.k8s.io", &[], &["1 old\n", SUCCESS, "0 closed 1000"]),
        // The first version has words for errors only.
        ("&command=echo&command=older", "", &[], &["1 older\n", "0 closed 1000"]),
        (
            "&command=false",
            "channel.k8s.io",
            &[],
            &[
                "3 command terminated with non-zero exit code: error executing command [false], exit code 1",
                "0 closed 1000",
            ],
        ),
        (
            "&stdin=1&command=cat",
            "v5.channel.k8s.io",
            &[b"\0read ", b"\0and written\n", b"\xff\0"],
            &["1 read and written\n", SUCCESS, "0 closed 1000"],
        ),
        // Lines that a command does not read are its shell's.
        (
            "&stdin=1&command=sh",
            "v5.channel.k8s.io",
            &[b"\0x=5; sleep 1\necho $x; read y\nz\necho $y >&2", b"\xff\0"],
            &["1 5\n", "2 z\n", SUCCESS, "0 closed 1000"],
        ),
        // A terminal shows what is typed.
        (
            "&stdin=1&tty=1&command=sh",
            "v5.channel.k8s.io",
            &[b"\0echo hu\x7fi\r", b"\0\x04"],
            &["1 # echo hu\x08 \x08i\r\nhi\r\n# ", SUCCESS, "0 closed 1000"],
        ),
        // What belongs to no channel is not listened to.
        (
            "&stdin=1&command=cat",
            "v5.channel.k8s.io",
            &[b"", b"\x04{\"Width\":80}", b"\x09x", b"\xff", b"\xff\x07", b"\xff\0"],
            &[SUCCESS, "0 closed 1000"],
        ),
    ];
    for (parameters, protocols, said, expected) in cases {
        let mut socket = dial(&program, &format!("{exec}{parameters}"), protocols).unwrap();
        for bytes in *said {
            socket.send(Message::Binary(bytes.to_vec().into())).unwrap();
        }
        assert_eq!(heard(&mut socket), *expected, "{parameters} {protocols}");
    }
    interrupted_and_abandoned(&program, exec);
    refused(&program);
    ports(&program);
}

fn interrupted_and_abandoned(program: &Program, exec: &str) {
    // Ctrl+C ends what runs, not the shell.
    let mut socket = dial(program, &format!("{exec}&stdin=1&tty=1&command=sh"), "v5.channel.k8s.io").unwrap();
    let mut say =
        |text: &str| socket.send(Message::Binary([b"\0", text.as_bytes()].concat().into())).unwrap();
    say("while true; do date; sleep 1; done\r");
    std::thread::sleep(Duration::from_secs(1));
    say("\x03");
    std::thread::sleep(Duration::from_millis(300));
    say("echo over\r");
    say("exit 7\r");
    let heard = heard(&mut socket);
    assert!(
        heard[0].contains(" UTC ") && heard[0].contains("^C\r\n") && heard[0].contains("over\r\n"),
        "{heard:?}"
    );
    assert!(heard[1].contains(r#""reason":"ExitCode","message":"7""#), "{heard:?}");
    // Who leaves in the middle harms nobody.
    drop(dial(program, &format!("{exec}&stdin=1&command=cat"), "v5.channel.k8s.io").unwrap());
    assert_eq!(program.get("/livez").text, "ok");
}

fn refused(program: &Program) {
    let pods = "/api/v1/namespaces/default/pods";
    for (target, protocols, expected) in [
        ("/nothing/exec?command=ls", "v4.channel.k8s.io", "404 pods \"nothing\" not found"),
        ("/nothing/exec?command=sh&stdin=1", "v4.channel.k8s.io", "404 pods \"nothing\" not found"),
        ("/web/exec?command=ls&container=x", "v4.channel.k8s.io", "400 container x is not valid for pod web"),
        (
            "/web/exec?command=ls",
            "v9.example",
            "400 unable to upgrade: unable to negotiate protocol: client supports [\"v9.example\"]",
        ),
        ("/web/portforward", "v4.channel.k8s.io", "400 query parameter \"port\" is required"),
        ("/web/portforward?ports=0", "v4.channel.k8s.io", "400 port \"0\" must be > 0"),
    ] {
        let told = dial(program, &format!("{pods}{target}"), protocols).map(|_| "a line".to_owned());
        assert_eq!(told.unwrap_or_else(|told| told), expected, "{target}");
    }
    // No WebSocket at all.
    let headers = [("Connection", "Upgrade"), ("Upgrade", "carrier-pigeon")];
    let answer = program.ask("GET", &format!("{pods}/web/exec?command=ls"), &headers, "");
    assert_eq!(
        (answer.code, answer.json().text("message")),
        (400, "unable to upgrade: unknown protocol \"carrier-pigeon\"")
    );
}

fn ports(program: &Program) {
    let target = "/api/v1/namespaces/default/pods/web/portforward?ports=80&ports=81";
    let mut socket = dial(program, target, "v4.channel.k8s.io").unwrap();
    let get = b"\0GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.send(Message::Binary(get.to_vec().into())).unwrap();
    let mut channels: [String; 4] = Default::default();
    while !(channels[0].contains("404 Not Found\n") && channels[3].contains("refused")) {
        let Message::Binary(bytes) = socket.read().unwrap() else { continue };
        channels[usize::from(bytes[0])] += &String::from_utf8_lossy(&bytes[1..]);
    }
    // Each channel begins with the number of its port.
    assert!(channels[0].starts_with("P\0HTTP/1.1 404 Not Found\r\n"), "{channels:?}");
    assert_eq!((channels[1].as_str(), channels[2].as_str()), ("P\0", "Q\0"));
    assert!(channels[3].starts_with("Q\0error forwarding port 81 to pod web"), "{channels:?}");
}
