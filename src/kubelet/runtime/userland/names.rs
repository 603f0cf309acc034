//! The resolver in a container, and the programs that show what it is told: `nslookup`, `host`, `dig`, `getent`.
//!
//! Picture to hold in mind: a caller with a list of surnames to try and the number of directory inquiries on a note by
//! the telephone (`/etc/resolv.conf`). Each question is a call of its own, and the line may be dead.
//!
//! After resolv.conf(5), busybox' `nslookup` and bind's `host` and `dig`.

use core::net::IpAddr;

use crate::api::Text;
use crate::network::dns::{self, Answer, Failure, Kind, Record};
use crate::shell::system::Outcome;

use super::Reach;
use super::tools::{Tool, fails, lines, text};

/// Why a name has no address.
pub(super) enum Unresolved {
    NotFound,
    /// Nobody answers, or only that he does not know.
    NoServer,
}

fn address_of(records: &[Record]) -> Option<IpAddr> {
    records.iter().find_map(|record| match record {
        Record::Address(address) => Some(*address),
        _ => None,
    })
}

/// As `getaddrinfo` does it.
pub(super) fn resolve(network: &dyn Reach, name: &str) -> Result<Text, Unresolved> {
    if name.parse::<IpAddr>().is_ok() {
        return Ok(name.into());
    }
    if let Some(address) = network.hosts_entry(name) {
        return Ok(address);
    }
    let config = network.resolver();
    let mut trouble = Unresolved::NotFound;
    for candidate in dns::candidates(name, &config.searches, &config.options) {
        match network.query(Kind::Address, &candidate) {
            Err(_) => return Err(Unresolved::NoServer),
            Ok(Err(Failure::ServerFailure)) => trouble = Unresolved::NoServer,
            Ok(Err(Failure::NoSuchName)) => {}
            Ok(Ok(records)) => {
                if let Some(address) = address_of(&records) {
                    return Ok(address.to_string().into());
                }
            }
        }
    }
    Err(trouble)
}

impl Tool<'_, '_, '_> {
    pub(super) fn look_up(&mut self) -> Option<Outcome> {
        let operands = self.operands(&["-t"]);
        let mut names = operands.into_iter().filter(|word| !matches!(*word, "hosts" | "ahosts"));
        let kind_of =
            |word: &str| if word.eq_ignore_ascii_case("SRV") { Kind::Service } else { Kind::Address };
        let option = self.arguments.iter().find_map(|word| {
            word.strip_prefix("-type=").or(word.strip_prefix("-q=")).or(word.strip_prefix("-query="))
        });
        let kind = option.or(self.option("-t")).map_or(Kind::Address, kind_of);
        let network = self.userland.network;
        Some(match self.name {
            "getent" => {
                let name = names.next()?;
                match resolve(network, name) {
                    Ok(address) => lines([format!("{address}  {name}")]),
                    Err(_) => fails(2, ""),
                }
            }
            "dig" => {
                let is_kind = |word: &&str| matches!(*word, "A" | "a" | "SRV" | "srv" | "ANY" | "any");
                let words: Vec<&str> = names.filter(|word| !word.starts_with(['+', '@'])).collect();
                let kind = words.iter().copied().find(|word| is_kind(word)).map_or(kind, kind_of);
                let name = words.iter().copied().find(|word| !is_kind(word))?;
                dig(network, name, kind, self.arguments)
            }
            "host" => host(network, names.next()?, kind),
            _ => nslookup(network, names.next()?, kind),
        })
    }
}

const NO_SERVERS: &str = ";; connection timed out; no servers could be reached\n";

/// The names that are asked for, and what was said of each, until one has records. `None`: nobody answers.
fn search(network: &dyn Reach, name: &str, kind: Kind) -> Option<Vec<(String, Answer)>> {
    let config = network.resolver();
    let mut said = Vec::new();
    for candidate in dns::candidates(name, &config.searches, &config.options) {
        let answer = network.query(kind, &candidate).ok()?;
        let is_found = answer.as_ref().is_ok_and(|records| !records.is_empty());
        said.push((candidate.trim_end_matches('.').to_string(), answer));
        if is_found {
            break;
        }
    }
    Some(said)
}

fn nslookup(network: &dyn Reach, name: &str, kind: Kind) -> Outcome {
    let Some(said) = search(network, name, kind) else {
        return Outcome { status: 1, ..text(NO_SERVERS.to_string() + "\n") };
    };
    let server = network.resolver().servers.first().cloned().unwrap_or_default();
    let mut out = format!("Server:\t\t{server}\nAddress:\t{server}:{}\n\n", dns::PORT);
    let mut status = 1;
    for (mut asked, answer) in said {
        match answer {
            Err(failure) => out += &format!("** server can't find {asked}: {}\n\n", failure.name()),
            Ok(records) if records.is_empty() => out += &format!("*** Can't find {asked}: No answer\n\n"),
            Ok(records) => {
                status = 0;
                for record in records {
                    match record {
                        Record::Address(address) => out += &format!("Name:\t{asked}\nAddress: {address}\n"),
                        Record::Alias(target) => {
                            let target = target.trim_end_matches('.').to_string();
                            out += &format!("{asked}\tcanonical name = {target}\n");
                            asked = target;
                        }
                        Record::Service { port, target } => {
                            let target = target.trim_end_matches('.');
                            out += &format!("{asked}\tservice = 0 100 {port} {target}\n");
                        }
                    }
                }
                out.push('\n');
            }
        }
    }
    Outcome { status, ..text(out) }
}

fn host(network: &dyn Reach, name: &str, kind: Kind) -> Outcome {
    let Some(said) = search(network, name, kind) else {
        return Outcome { status: 1, ..text(NO_SERVERS) };
    };
    match said.into_iter().next_back() {
        Some((mut asked, Ok(records))) if !records.is_empty() => {
            let mut rows = Vec::new();
            for record in records {
                rows.push(match record {
                    Record::Address(address) => format!("{asked} has address {address}"),
                    Record::Alias(target) => {
                        let row = format!("{asked} is an alias for {target}");
                        asked = target.trim_end_matches('.').to_string();
                        row
                    }
                    Record::Service { port, target } => {
                        format!("{asked} has SRV record 0 100 {port} {target}")
                    }
                });
            }
            lines(rows)
        }
        Some((_, Err(Failure::ServerFailure))) => {
            Outcome { status: 1, ..lines([format!("Host {name} not found: 2(SERVFAIL)")]) }
        }
        _ => Outcome { status: 1, ..lines([format!("Host {name} not found: 3(NXDOMAIN)")]) },
    }
}

/// Asks for the name as it stands, unless `+search` says otherwise.
fn dig(network: &dyn Reach, name: &str, kind: Kind, arguments: &[&str]) -> Outcome {
    let is_searched = arguments.contains(&"+search");
    let whole = if is_searched { name.to_string() } else { format!("{}.", name.trim_end_matches('.')) };
    let Some((asked, answer)) = search(network, &whole, kind).and_then(|said| said.into_iter().next_back())
    else {
        return Outcome { status: 9, ..text(NO_SERVERS) };
    };
    let kind_name = if kind == Kind::Service { "SRV" } else { "A" };
    let mut owner = format!("{asked}.");
    let (mut short, mut rows) = (Vec::new(), Vec::new());
    for record in answer.iter().flatten() {
        let (kind, data) = match record {
            Record::Address(address) => ("A", address.to_string()),
            Record::Alias(target) => ("CNAME", target.clone()),
            Record::Service { port, target } => ("SRV", format!("0 100 {port} {target}")),
        };
        rows.push(format!("{owner}\t30\tIN\t{kind}\t{data}"));
        if let Record::Alias(target) = record {
            owner.clone_from(target);
        }
        short.push(data);
    }
    if arguments.contains(&"+short") {
        return lines(short);
    }
    let code = answer.as_ref().err().map_or("NOERROR", |failure| failure.name());
    let server = network.resolver().servers.first().cloned().unwrap_or_default();
    let mut out = vec![
        String::new(),
        format!("; <<>> DiG 9.18.39 <<>> {}", arguments.join(" ")),
        ";; global options: +cmd".to_string(),
        ";; Got answer:".to_string(),
        format!(";; ->>HEADER<<- opcode: QUERY, status: {code}, id: 1"),
        format!(";; flags: qr aa rd; QUERY: 1, ANSWER: {}, AUTHORITY: 0, ADDITIONAL: 0", rows.len()),
        String::new(),
        ";; QUESTION SECTION:".to_string(),
        format!(";{asked}.\t\tIN\t{kind_name}"),
        String::new(),
    ];
    if !rows.is_empty() {
        out.push(";; ANSWER SECTION:".into());
        out.extend(rows);
        out.push(String::new());
    }
    out.push(format!(";; SERVER: {server}#{}({server}) (UDP)", dns::PORT));
    out.push(String::new());
    lines(out)
}
