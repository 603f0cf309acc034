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
        match network.query("", Kind::Address, &candidate) {
            Err(_) => return Err(Unresolved::NoServer),
            Ok(Err(Failure::ServerFailure)) => trouble = Unresolved::NoServer,
            Ok(Err(_)) => {}
            Ok(Ok((_, records))) => {
                if let Some(address) = address_of(&records) {
                    return Ok(address.to_string().into());
                }
            }
        }
    }
    Err(trouble)
}

/// The kind of records that a word names.
fn kind_of(word: &str) -> Option<Kind> {
    let kinds = [Kind::Address, Kind::Address6, Kind::Service, Kind::Pointer];
    kinds.into_iter().find(|kind| word.eq_ignore_ascii_case(kind.name()))
}

/// A question to a name server: empty, the one of resolv.conf.
struct Ask<'a> {
    network: &'a dyn Reach,
    server: &'a str,
    kind: Kind,
    /// As it is to be asked for.
    name: String,
}

impl Tool<'_, '_, '_> {
    pub(super) fn look_up(&mut self) -> Option<Outcome> {
        let operands = self.operands(&["-t"]);
        let mut names = operands.into_iter().filter(|word| !matches!(*word, "hosts" | "ahosts"));
        let option = self.arguments.iter().find_map(|word| {
            word.strip_prefix("-type=").or(word.strip_prefix("-q=")).or(word.strip_prefix("-query="))
        });
        let kind = option.or(self.option("-t")).and_then(kind_of);
        let network = self.userland.network;
        // Whoever asks for an address wants to know whose it is.
        let ask = |name: &str, server, kind: Option<Kind>| match name.parse() {
            Ok(address) if kind.is_none() => {
                Ask { network, server, kind: Kind::Pointer, name: dns::reverse(address) }
            }
            _ => Ask { network, server, kind: kind.unwrap_or(Kind::Address), name: name.into() },
        };
        Some(match self.name {
            "getent" => {
                let name = names.next()?;
                match resolve(network, name) {
                    Ok(address) => lines([format!("{address}  {name}")]),
                    Err(_) => fails(2, ""),
                }
            }
            "dig" => {
                let (marked, words): (Vec<&str>, Vec<&str>) =
                    names.partition(|word| word.starts_with(['+', '@']));
                let server = marked.iter().find_map(|word| word.strip_prefix('@')).unwrap_or("");
                let (kinds, words): (Vec<&str>, Vec<&str>) =
                    words.into_iter().partition(|word| kind_of(word).is_some());
                let kind = kinds.first().and_then(|word| kind_of(word)).or(kind);
                // Without `-x`, an address is a name like others.
                let reversed = self.arguments.contains(&"-x");
                let kind = if reversed { kind } else { kind.or(Some(Kind::Address)) };
                dig(ask(words.first()?, server, kind), self.arguments)
            }
            tool => {
                let name = names.next()?;
                let given = names.next().unwrap_or("");
                // The server may be named, as anybody else.
                let server = match given {
                    "" => Text::new(),
                    given => match resolve(network, given) {
                        Ok(address) => address,
                        Err(_) => return Some(fails(1, format!("{tool}: bad address '{given}'\n"))),
                    },
                };
                let ask = ask(name, &server, kind);
                if tool == "host" { host(ask) } else { nslookup(ask) }
            }
        })
    }
}

const NO_SERVERS: &str = ";; connection timed out; no servers could be reached\n";

impl Ask<'_> {
    /// The names that are asked for, and what was said of each, until one has records. `None`: nobody answers.
    fn search(&self) -> Option<Vec<(String, Answer)>> {
        let config = self.network.resolver();
        let mut said = Vec::new();
        for candidate in dns::candidates(&self.name, &config.searches, &config.options) {
            let answer = self.network.query(self.server, self.kind, &candidate).ok()?;
            let is_found = answer.as_ref().is_ok_and(|(_, records)| !records.is_empty());
            said.push((candidate.trim_end_matches('.').to_string(), answer));
            if is_found {
                break;
            }
        }
        Some(said)
    }
    fn server(&self) -> Text {
        match self.server {
            "" => self.network.resolver().servers.first().cloned().unwrap_or_default(),
            server => server.into(),
        }
    }
}

fn nslookup(ask: Ask) -> Outcome {
    let Some(said) = ask.search() else {
        return Outcome { status: 1, ..text(NO_SERVERS.to_string() + "\n") };
    };
    let server = ask.server();
    let mut out = format!("Server:\t\t{server}\nAddress:\t{server}:{}\n\n", dns::PORT);
    let mut status = 1;
    for (mut asked, answer) in said {
        match answer {
            Err(failure) => out += &format!("** server can't find {asked}: {}\n\n", failure.name()),
            Ok((_, records)) if records.is_empty() => {
                out += &format!("*** Can't find {asked}: No answer\n\n");
            }
            Ok((_, records)) => {
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
                        Record::Pointer(name) => {
                            out += &format!("{asked}\tname = {}\n", name.trim_end_matches('.'));
                        }
                    }
                }
                out.push('\n');
            }
        }
    }
    Outcome { status, ..text(out) }
}

fn host(ask: Ask) -> Outcome {
    let Some(said) = ask.search() else {
        return Outcome { status: 1, ..text(NO_SERVERS) };
    };
    let name = &ask.name;
    match said.into_iter().next_back() {
        Some((mut asked, Ok((_, records)))) if !records.is_empty() => {
            let mut rows = Vec::new();
            for record in records {
                rows.push(match record {
                    Record::Address(address) if address.is_ipv6() => {
                        format!("{asked} has IPv6 address {address}")
                    }
                    Record::Address(address) => format!("{asked} has address {address}"),
                    Record::Alias(target) => {
                        let row = format!("{asked} is an alias for {target}");
                        asked = target.trim_end_matches('.').to_string();
                        row
                    }
                    Record::Service { port, target } => {
                        format!("{asked} has SRV record 0 100 {port} {target}")
                    }
                    Record::Pointer(name) => format!("{asked} domain name pointer {name}"),
                });
            }
            lines(rows)
        }
        Some((asked, Ok(_))) => lines([format!("{asked} has no {} record", ask.kind.name())]),
        Some((_, Err(Failure::ServerFailure))) => {
            Outcome { status: 1, ..lines([format!("Host {name} not found: 2(SERVFAIL)")]) }
        }
        Some((_, Err(Failure::Refused))) => {
            Outcome { status: 1, ..lines([format!("Host {name} not found: 5(REFUSED)")]) }
        }
        _ => Outcome { status: 1, ..lines([format!("Host {name} not found: 3(NXDOMAIN)")]) },
    }
}

/// Asks for the name as it stands, unless `+search` says otherwise.
fn dig(mut ask: Ask, arguments: &[&str]) -> Outcome {
    if !arguments.contains(&"+search") {
        ask.name = format!("{}.", ask.name.trim_end_matches('.'));
    }
    let Some((asked, answer)) = ask.search().and_then(|said| said.into_iter().next_back()) else {
        return Outcome { status: 9, ..text(NO_SERVERS) };
    };
    let mut owner = format!("{asked}.");
    let (mut short, mut rows) = (Vec::new(), Vec::new());
    for (ttl, records) in answer.iter() {
        for record in records {
            let (kind, data) = record.show();
            rows.push(format!("{owner}\t{ttl}\tIN\t{kind}\t{data}"));
            if let Record::Alias(target) = record {
                owner.clone_from(target);
            }
            short.push(data);
        }
    }
    if arguments.contains(&"+short") {
        return lines(short);
    }
    let code = answer.as_ref().err().map_or("NOERROR", |failure| failure.name());
    let (server, kind_name) = (ask.server(), ask.kind.name());
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
