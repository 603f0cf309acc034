//! Commands from JSON, the form in which a log is stored and in which the page sends them.
//!
//! Picture to hold in mind: a form with a heading and a few lines, `{"Exec": {"session": 0, "line": "ls", "stdin": ""}}`.
//! Writing it is derived. The reader that serde would derive looks at each line of each form with code of its own, a
//! hundredth of the page; this one reads any form as an object first, and then picks out what its heading wants.

use serde::de::{Deserialize, Deserializer, Error};

use super::{Command, PodNetwork, Scenario};
use crate::api::Value;
use crate::message::http;

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Command, D::Error> {
        command(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn command(form: &Value) -> Result<Command, String> {
    let lines = form.as_object().filter(|lines| lines.len() == 1).and_then(|lines| lines.iter().next());
    let (heading, lines) = match (form.as_str(), lines) {
        (Some(heading), _) => (heading, &Value::Null),
        (None, Some((heading, lines))) => (heading.as_str(), lines),
        (None, None) => return Err("a command is an object with one field, its name".into()),
    };
    filled(heading, &Lines(lines)).map_err(|problem| format!("command {heading}: {problem}"))
}

fn filled(heading: &str, lines: &Lines) -> Result<Command, String> {
    Ok(match heading {
        "Boot" => Command::Boot(scenario(lines)?),
        "Exec" => Command::Exec {
            session: lines.number("session")?,
            line: lines.text("line")?,
            stdin: lines.text("stdin")?,
        },
        "Interrupt" => Command::Interrupt { session: lines.number("session")? },
        "Http" => Command::Http {
            exchange: lines.number("exchange")?,
            request: request(&Lines(lines.line("request")?))?,
        },
        "HangUp" => Command::HangUp { exchange: lines.number("exchange")? },
        "WriteFile" => Command::WriteFile {
            path: lines.text("path")?,
            content: match lines.line("content") {
                Ok(content) if !content.is_null() => Some(lines.text("content")?),
                _ => None,
            },
        },
        "StopProcess" => Command::StopProcess { process: lines.text("process")? },
        "StartProcess" => Command::StartProcess { process: lines.text("process")? },
        "StopHost" => Command::StopHost { host: lines.text("host")? },
        "StartHost" => Command::StartHost { host: lines.text("host")? },
        "KillContainer" => Command::KillContainer {
            namespace: lines.text("namespace")?,
            pod: lines.text("pod")?,
            container: lines.text("container")?,
        },
        "CutLink" => Command::CutLink { a: lines.text("a")?, b: lines.text("b")? },
        "JoinLink" => Command::JoinLink { a: lines.text("a")?, b: lines.text("b")? },
        "CutOneWay" => Command::CutOneWay { from: lines.text("from")?, to: lines.text("to")? },
        "DegradeLink" => Command::DegradeLink {
            from: lines.text("from")?,
            to: lines.text("to")?,
            extra_delay_us: lines.number("extra_delay_us")?,
            loss_per_million: lines.number("loss_per_million")?,
        },
        "HealNetwork" => Command::HealNetwork,
        "DropMessage" => Command::DropMessage { record: lines.number("record")? },
        "DelayMessage" => {
            Command::DelayMessage { record: lines.number("record")?, by_us: lines.number("by_us")? }
        }
        "Campaign" => Command::Campaign {
            member: lines.text("member")?,
            // Logs of earlier versions have none.
            after_us: lines.number("after_us").unwrap_or(0),
        },
        "TransferLeader" => Command::TransferLeader { member: lines.text("member")? },
        "SlowDisk" => {
            Command::SlowDisk { member: lines.text("member")?, latency_us: lines.number("latency_us")? }
        }
        "CorruptDisk" => Command::CorruptDisk { member: lines.text("member")? },
        "SetQuota" => Command::SetQuota { member: lines.text("member")?, bytes: lines.number("bytes")? },
        "SetFlags" => {
            let flags = lines.line("flags")?.as_array().and_then(texts);
            let flags = flags.ok_or("flags is no list of flags")?;
            Command::SetFlags { member: lines.text("member")?, flags }
        }
        "AddEtcdMember" => {
            Command::AddEtcdMember { name: lines.text("name")?, is_learner: lines.mark("is_learner")? }
        }
        "Partition" => {
            let side = |side: &Value| texts(side.as_array()?);
            let sides = lines.line("sides")?.as_array();
            let sides = sides.and_then(|sides| sides.iter().map(side).collect());
            Command::Partition { sides: sides.ok_or("sides is no list of lists of names")? }
        }
        "AddNode" => Command::AddNode { name: lines.text("name")? },
        "StartLoad" => Command::StartLoad {
            source: lines.text("source")?,
            url: lines.text("url")?,
            host: lines.text("host").unwrap_or_default(),
            requests_per_second: lines.number("requests_per_second")?,
            // Logs of earlier versions have none.
            keeps_connections: lines.mark("keeps_connections").unwrap_or(false),
        },
        "StopLoad" => Command::StopLoad,
        _ => return Err("there is none of this name".into()),
    })
}

fn scenario(lines: &Lines) -> Result<Scenario, String> {
    let scenario = Scenario {
        control_plane_nodes: lines.number("control_plane_nodes")?,
        workers: lines.number("workers")?,
        etcd_members: lines.number("etcd_members")?,
        hollow: lines.mark("hollow")?,
        // Logs of earlier versions have none of these.
        external_etcd: lines.mark("external_etcd").unwrap_or(false),
        audit: lines.mark("audit").unwrap_or(false),
        network: match lines.text("network").as_deref() {
            Ok("Flannel") => PodNetwork::Flannel,
            Ok("Calico") => PodNetwork::Calico,
            _ => PodNetwork::Bridge,
        },
        dual_stack: lines.mark("dual_stack").unwrap_or(false),
        local_etcd: lines.mark("local_etcd").unwrap_or(false),
        authority: lines.text("authority").unwrap_or_default(),
    };
    scenario.refusal().map_or(Ok(scenario), Err)
}

fn request(lines: &Lines) -> Result<http::Request, String> {
    let header = |header: &Value| match header.as_array()? {
        [name, value] => Some((name.as_str()?.to_string(), value.as_str()?.to_string())),
        _ => None,
    };
    let headers = lines.line("headers")?.as_array();
    Ok(http::Request {
        method: lines.text("method")?,
        target: lines.text("target")?,
        headers: headers
            .and_then(|headers| headers.iter().map(header).collect())
            .ok_or("headers is no list of names and values")?,
        body: lines.text("body")?,
    })
}

fn texts(items: &[Value]) -> Option<Vec<String>> {
    items.iter().map(|item| item.as_str().map(String::from)).collect()
}

/// What is filled in.
struct Lines<'a>(&'a Value);

impl<'a> Lines<'a> {
    fn line(&self, name: &str) -> Result<&'a Value, String> {
        self.0.get(name).ok_or_else(|| format!("{name} is missing"))
    }
    fn text(&self, name: &str) -> Result<String, String> {
        let text = self.line(name)?.as_str();
        text.map(String::from).ok_or_else(|| format!("{name} is no text"))
    }
    fn number<N: TryFrom<i64>>(&self, name: &str) -> Result<N, String> {
        let number = self.line(name)?.as_integer().and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| format!("{name} is no number that fits"))
    }
    fn mark(&self, name: &str) -> Result<bool, String> {
        self.line(name)?.as_bool().ok_or_else(|| format!("{name} is neither true nor false"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command of each kind; a new kind does not compile until [`place`] knows it, and fails until it stands here.
    fn one_of_each() -> Vec<Command> {
        let text = String::from;
        vec![
            Command::Boot(Scenario {
                audit: true,
                workers: 7,
                network: PodNetwork::Calico,
                dual_stack: true,
                ..Scenario::default()
            }),
            Command::Exec { session: 2, line: text("echo \"ü\" | cat"), stdin: text("\u{0}\n") },
            Command::Interrupt { session: 1 },
            Command::Http {
                exchange: 9,
                request: http::Request {
                    method: text("GET"),
                    target: text("/api?limit=5"),
                    headers: vec![(text("accept"), text("*/*"))],
                    body: text("{}"),
                },
            },
            Command::HangUp { exchange: 9 },
            Command::WriteFile { path: text("a.yaml"), content: Some(text("kind: Pod")) },
            Command::StopProcess { process: text("p") },
            Command::StartProcess { process: text("p") },
            Command::StopHost { host: text("h") },
            Command::StartHost { host: text("h") },
            Command::KillContainer { namespace: text("n"), pod: text("p"), container: text("c") },
            Command::CutLink { a: text("a"), b: text("b") },
            Command::JoinLink { a: text("a"), b: text("b") },
            Command::DegradeLink {
                from: text("a"),
                to: text("b"),
                extra_delay_us: 1 << 40,
                loss_per_million: u32::MAX,
            },
            Command::HealNetwork,
            Command::DropMessage { record: 3 },
            Command::DelayMessage { record: 3, by_us: 4 },
            Command::Campaign { member: text("m"), after_us: 5 },
            Command::TransferLeader { member: text("m") },
            Command::SlowDisk { member: text("m"), latency_us: 0 },
            Command::SetQuota { member: text("m"), bytes: 1 },
            Command::AddEtcdMember { name: text("m"), is_learner: true },
            Command::Partition { sides: vec![vec![text("a"), text("b")], vec![]] },
            Command::AddNode { name: text("n") },
            Command::CutOneWay { from: text("a"), to: text("b") },
            Command::SetFlags { member: text("m"), flags: vec![text("--pre-vote=false")] },
            Command::CorruptDisk { member: text("m") },
            Command::StartLoad {
                source: text("s"),
                url: text("u"),
                host: text("h"),
                requests_per_second: 7,
                keeps_connections: true,
            },
            Command::StopLoad,
        ]
    }

    fn place(command: &Command) -> usize {
        match command {
            Command::Boot(_) => 0,
            Command::Exec { .. } => 1,
            Command::Interrupt { .. } => 2,
            Command::Http { .. } => 3,
            Command::HangUp { .. } => 4,
            Command::WriteFile { .. } => 5,
            Command::StopProcess { .. } => 6,
            Command::StartProcess { .. } => 7,
            Command::StopHost { .. } => 8,
            Command::StartHost { .. } => 9,
            Command::KillContainer { .. } => 10,
            Command::CutLink { .. } => 11,
            Command::JoinLink { .. } => 12,
            Command::DegradeLink { .. } => 13,
            Command::HealNetwork => 14,
            Command::DropMessage { .. } => 15,
            Command::DelayMessage { .. } => 16,
            Command::Campaign { .. } => 17,
            Command::TransferLeader { .. } => 18,
            Command::SlowDisk { .. } => 19,
            Command::SetQuota { .. } => 20,
            Command::AddEtcdMember { .. } => 21,
            Command::Partition { .. } => 22,
            Command::AddNode { .. } => 23,
            Command::CutOneWay { .. } => 24,
            Command::SetFlags { .. } => 25,
            Command::CorruptDisk { .. } => 26,
            Command::StartLoad { .. } => 27,
            Command::StopLoad => 28,
        }
    }

    #[test]
    fn every_command_is_read_as_it_was_written() {
        let commands = one_of_each();
        assert!(commands.iter().map(place).eq(0..commands.len()));
        let removed = Command::WriteFile { path: "a".into(), content: None };
        for command in commands.into_iter().chain([removed]) {
            let text = serde_json::to_string(&command).expect("commands can be written");
            assert_eq!(
                serde_json::from_str::<Command>(&text).map_err(|error| error.to_string()),
                Ok(command)
            );
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_a_reason() {
        for (text, reason) in [
            ("[]", "an object with one field"),
            ("{}", "an object with one field"),
            ("{\"Exec\":{},\"AddNode\":{}}", "an object with one field"),
            ("\"Dance\"", "Dance: there is none"),
            ("{\"Exec\":{\"session\":1,\"line\":\"a\"}}", "Exec: stdin is missing"),
            ("{\"Exec\":{\"session\":-1,\"line\":\"a\",\"stdin\":\"\"}}", "session is no number that fits"),
            ("{\"AddNode\":{\"name\":5}}", "name is no text"),
            ("{\"WriteFile\":{\"path\":\"a\",\"content\":5}}", "content is no text"),
            ("{\"AddEtcdMember\":{\"name\":\"m\",\"is_learner\":0}}", "neither true nor false"),
            ("{\"Partition\":{\"sides\":[[\"a\"],5]}}", "list of lists"),
            ("{\"SetFlags\":{\"member\":\"m\",\"flags\":[5]}}", "flags is no list"),
            ("{\"Boot\":{\"workers\":4294967296}}", "control_plane_nodes is missing"),
            (
                "{\"Boot\":{\"control_plane_nodes\":9,\"workers\":1,\"etcd_members\":1,\"hollow\":false}}",
                "9 control-plane nodes are not possible: between 1 and 5",
            ),
        ] {
            let refusal = serde_json::from_str::<Command>(text).expect_err(text).to_string();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }
}
