//! The program under test, and a small client of HTTP/1.1.
//!
//! Picture to hold in mind: a telephone to a child process; it is hung up when the test is over, whatever happens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clusterarium::api::Value;

/// A read that takes longer means that nothing will come: the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running `clusterarium serve`.
pub struct Program {
    child: Child,
    pub address: String,
}

impl Program {
    /// Starts it on a free port with these arguments besides.
    pub fn start(arguments: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_clusterarium"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        lines.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit_once("://").expect("an address").1.to_owned();
        // What else it says is of no interest, but must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Program { child, address }
    }
    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.over(stream)
    }
    /// Speaks HTTP over a connection that is open.
    pub fn over(&self, stream: impl Stream + 'static) -> Connection {
        Connection { reader: BufReader::new(Box::new(stream)), host: self.address.clone() }
    }
    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.connect().ask(method, target, headers, body)
    }
    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], "")
    }
    pub fn post(&self, target: &str, body: &str) -> Answer {
        self.ask("POST", target, &[("Content-Type", "application/json")], body)
    }
    /// Presses Ctrl+C.
    #[cfg(unix)]
    pub fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }
    /// Waits for its end.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What HTTP is spoken over.
pub trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// A connection that is kept alive.
pub struct Connection {
    reader: BufReader<Box<dyn Stream>>,
    host: String,
}

#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

impl Connection {
    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        // A server that has refused a request may have closed before all of it is sent.
        let _ = self.reader.get_mut().write_all(bytes);
    }
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text += &format!("Host: {}\r\n", self.host);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(format!("{text}\r\n{body}").as_bytes());
    }
    pub fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.request(method, target, headers, body);
        let mut answer = self.head();
        if method != "HEAD" {
            answer.text = self.body(&answer);
        }
        answer
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("an answer in time");
        line.trim_end().to_owned()
    }
    /// Status line and headers.
    pub fn head(&mut self) -> Answer {
        let status = self.line();
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Answer { code: code.unwrap_or_else(|| panic!("{status:?}")), headers, text: String::new() }
    }
    fn body(&mut self, head: &Answer) -> String {
        if head.header("transfer-encoding") == "chunked" {
            return std::iter::from_fn(|| self.chunk()).collect();
        }
        let mut bytes = vec![0; head.header("content-length").parse().unwrap_or(0)];
        self.reader.read_exact(&mut bytes).expect("a whole body");
        String::from_utf8_lossy(&bytes).into_owned()
    }
    /// The next piece of a stream; `None` at its proper end.
    pub fn chunk(&mut self) -> Option<String> {
        let size = self.line();
        let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a chunk's size: {size:?}"));
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes).expect("a whole chunk");
        bytes.truncate(size);
        (size > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
    /// The next event of a watch.
    pub fn event(&mut self) -> Value {
        let chunk = self.chunk().expect("the watch goes on");
        serde_json::from_str(&chunk).unwrap_or_else(|error| panic!("{error}: {chunk:?}"))
    }
}
