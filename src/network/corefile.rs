//! The Corefile: which names a server of CoreDNS answers for, and by which plugins in which order.
//!
//! Picture to hold in mind: the rule book of directory inquiries. A chapter for each family of names; in it the desks
//! that a question is passed along, always in the house's own order, whatever the order on the page.
//!
//! Follows coredns/caddy's parser (`caddyfile/parse.go`, `dispenser.go`), `plugin.cfg`, and the `setup.go` of each plugin:
//! what is wrong is told in their words. Names are kept in lower case and with a dot at the end.

use core::net::IpAddr;

use crate::api::regex::Regex;

use super::template::{self, Template};

/// Where the file lies in the container.
const FILE: &str = "/etc/coredns/Corefile";

/// Plugins that CoreDNS is built with (`plugin.cfg`).
const DIRECTIVES: &str = " root metadata geoip cancel tls quic timeouts multisocket reload nsid bufsize bind debug trace ready health pprof prometheus errors log dnstap local dns64 acl any chaos loadbalance tsig cache rewrite header dnssec autopath minimal template transfer hosts route53 azure clouddns k8s_external kubernetes file auto secondary etcd loop forward grpc erratic whoami on sign view nomad import ";
/// What stands in the blocks of those that are looked into.
const PROPERTIES: [(&str, &str); 4] = [
    (
        "kubernetes",
        " pods fallthrough ttl endpoint_pod_names endpoint tls kubeconfig namespaces labels namespace_labels noendpoints ignore multicluster apiserver_qps apiserver_burst startup_timeout ",
    ),
    (
        "forward",
        " except max_fails health_check force_tcp prefer_udp expire tls tls_servername policy max_concurrent next failover failfast_all_unhealthy_upstreams max_connect_attempts max_idle_conns max_age ",
    ),
    ("cache", " success denial disable prefetch serve_stale servfail keepttl "),
    ("hosts", " fallthrough ttl no_reverse reload "),
];

/// Whether a word is one of a list of words between blanks.
fn is_one_of(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| !known.is_empty() && known == word)
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corefile {
    pub servers: Vec<Server>,
}

/// A server block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    pub zones: Vec<String>,
    pub port: u16,
    pub kubernetes: Option<Kubernetes>,
    pub hosts: Option<Hosts>,
    pub forward: Vec<Forward>,
    pub rewrites: Vec<Rewrite>,
    pub templates: Vec<Template>,
    pub cache: Option<Cache>,
    pub logs: bool,
    pub tells_errors: bool,
    pub finds_loops: bool,
    pub shuffles: bool,
    /// Seconds between two looks at the file, and by how much they may differ.
    pub reload: Option<(u64, u64)>,
    /// Ports on which the process answers besides.
    pub ports: Vec<u16>,
}

/// Where a plugin passes a question on that it has no answer to. Without zones: always.
pub type Fallthrough = Option<Vec<String>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pods {
    Disabled,
    Insecure,
    Verified,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Kubernetes {
    pub zones: Vec<String>,
    pub pods: Pods,
    pub fallthrough: Fallthrough,
    pub ttl: u32,
    pub has_pod_names: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hosts {
    pub entries: Vec<(IpAddr, String)>,
    pub fallthrough: Fallthrough,
    pub ttl: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    pub from: String,
    pub to: Vec<String>,
    pub except: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Exact,
    Prefix,
    Suffix,
    Substring,
    Regex,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    pub place: Place,
    pub from: String,
    /// What `from` is where it is a regular expression; `{1}` in `to` is its first group.
    pub pattern: Option<Regex>,
    pub to: String,
    /// Rules that follow are looked at, too.
    pub goes_on: bool,
}

/// Seconds for which answers are kept at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    pub success: u32,
    pub denial: u32,
    /// Zones whose answers are not kept: of both kinds.
    pub not_success: Vec<String>,
    pub not_denial: Vec<String>,
}

/// `Cluster.Local` as `cluster.local.`
pub fn normal(name: &str) -> String {
    let mut name = name.trim_end_matches('.').to_ascii_lowercase();
    name.push('.');
    name
}
/// Whether a normal name lies in a normal zone.
pub fn is_in(name: &str, zone: &str) -> bool {
    zone == "." || name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}
pub fn falls_through(fallthrough: &Fallthrough, name: &str) -> bool {
    fallthrough.as_ref().is_some_and(|zones| zones.is_empty() || zones.iter().any(|zone| is_in(name, zone)))
}

#[derive(Clone, Debug)]
struct Token {
    line: usize,
    text: String,
}

/// Words, with the lines that they stand in: quoted ones may have blanks, `#` begins a comment.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            let (word, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
            };
            found.push(Token { line: number + 1, text: word.into() });
            rest = after.trim_start();
        }
    }
    found
}

fn parsing(line: usize, words: &str) -> String {
    format!("{FILE}:{line} - Error during parsing: {words}")
}

/// One directive: its line's words, the first its name, and the lines of its block.
struct Directive {
    words: Vec<Token>,
    block: Vec<Vec<Token>>,
}

impl Directive {
    fn name(&self) -> &str {
        &self.words[0].text
    }
    fn arguments(&self) -> Vec<&str> {
        self.words[1..].iter().map(|word| word.text.as_str()).collect()
    }
    fn wrong(&self, line: &[Token], words: &str) -> String {
        format!("plugin/{}: {}", self.name(), parsing(line[0].line, words))
    }
    /// `ArgErr`.
    fn count(&self, line: &[Token]) -> String {
        let last = line.last().map_or("", |word| &word.text);
        self.wrong(line, &format!("Wrong argument count or unexpected line ending after '{last}'"))
    }
}

fn texts(words: &[Token]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }
    fn end(&self) -> String {
        parsing(self.tokens.last().map_or(1, |token| token.line), "Unexpected EOF")
    }
    /// What stands in the line of `first` still, but for a brace that opens a block, or closes the one around it.
    fn line(&mut self, first: Token, is_nested: bool) -> Result<(Vec<Token>, bool), String> {
        let mut words = vec![first];
        while let Some(token) = self.tokens.get(self.at).filter(|token| token.line == words[0].line) {
            if token.text == "}" && is_nested {
                break;
            }
            if token.text == "}" {
                let why = "Unexpected '}' because no matching opening brace";
                return Err(parsing(token.line, why));
            }
            self.at += 1;
            if token.text == "{" {
                return Ok((words, true));
            }
            words.push(token.clone());
        }
        Ok((words, false))
    }
    fn directives(&mut self) -> Result<Vec<Directive>, String> {
        let mut found = Vec::new();
        loop {
            let first = self.next().ok_or_else(|| self.end())?;
            if first.text == "}" {
                return Ok(found);
            }
            if !is_one_of(DIRECTIVES, &first.text) {
                return Err(parsing(first.line, &format!("Unknown directive '{}'", first.text)));
            }
            let (words, opens) = self.line(first, false)?;
            let mut block = Vec::new();
            let mut is_open = opens;
            while is_open {
                let first = self.next().ok_or_else(|| self.end())?;
                is_open = first.text != "}";
                if is_open {
                    let (line, is_nested) = self.line(first, true)?;
                    if is_nested {
                        // Blocks in blocks are of plugins that are not looked into.
                        while self.next().ok_or_else(|| self.end())?.text != "}" {}
                    }
                    block.push(line);
                }
            }
            found.push(Directive { words, block });
        }
    }
}

/// Reads a Corefile. The error: why CoreDNS would not start, in its words.
pub fn read(text: &str) -> Result<Corefile, String> {
    let mut reader = Reader { tokens: tokens(text), at: 0 };
    let mut servers: Vec<Server> = Vec::new();
    while let Some(first) = reader.next() {
        let line = first.line;
        let mut keys = Vec::new();
        let mut key = Some(first);
        // Keys may stand in several lines, with commas between.
        while let Some(token) = key {
            if token.text == "{" {
                break;
            }
            keys.extend(token.text.split(',').filter(|key| !key.is_empty()).map(String::from));
            key = reader.next();
            if key.is_none() {
                return Err(reader.end());
            }
        }
        let directives = reader.directives()?;
        if keys.first().is_some_and(|key| key.starts_with('(')) {
            continue;
        }
        let server = server(&keys, line, &directives)?;
        for zone in &server.zones {
            let is_taken = |one: &Server| one.port == server.port && one.zones.contains(zone);
            if servers.iter().any(is_taken) {
                return Err(format!("cannot serve dns://{zone}:{} - it is already defined", server.port));
            }
        }
        servers.push(server);
    }
    Ok(Corefile { servers })
}

fn server(keys: &[String], line: usize, directives: &[Directive]) -> Result<Server, String> {
    let mut server = Server { port: 53, ..Server::default() };
    for key in keys {
        let key = key.strip_prefix("dns://").unwrap_or(key);
        let (zone, port) = key.rsplit_once(':').unwrap_or((key, "53"));
        server.port = port.parse().map_err(|_| parsing(line, "invalid port"))?;
        server.zones.push(normal(zone));
    }
    for directive in directives {
        let arguments = directive.arguments();
        let first = arguments.first().copied().unwrap_or("");
        let port = |usual: u16| first.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(usual);
        match directive.name() {
            "kubernetes" => {
                let zones = if arguments.is_empty() { server.zones.clone() } else { zones(&arguments) };
                server.kubernetes = Some(Kubernetes {
                    zones,
                    pods: Pods::Disabled,
                    fallthrough: None,
                    ttl: 5,
                    has_pod_names: false,
                });
            }
            "hosts" => server.hosts = Some(Hosts { entries: Vec::new(), fallthrough: None, ttl: 3600 }),
            "forward" => server.forward.push(forward(directive, &arguments)?),
            "template" => {
                let lines: Vec<Vec<&str>> = directive.block.iter().map(|line| texts(line)).collect();
                let template = template::read(&arguments, &server.zones, &lines);
                server.templates.push(template.map_err(|words| match words.as_str() {
                    "" => directive.count(&directive.words),
                    words => directive.wrong(&directive.words, words),
                })?);
            }
            "rewrite" => server.rewrites.extend(rewrite(directive, &arguments)?),
            "cache" => {
                let ttl = first.parse().ok();
                let (success, denial) = (ttl.unwrap_or(3600), ttl.unwrap_or(1800));
                server.cache =
                    Some(Cache { success, denial, not_success: Vec::new(), not_denial: Vec::new() });
            }
            "log" => server.logs = true,
            "errors" => server.tells_errors = true,
            "loop" => server.finds_loops = true,
            "loadbalance" => server.shuffles = true,
            "reload" => {
                let interval = duration(first, 30).max(2);
                let jitter = arguments.get(1).map_or(interval / 2, |word| duration(word, 15));
                server.reload = Some((interval, jitter.clamp(1, interval)));
            }
            "health" => server.ports.push(port(8080)),
            "ready" => server.ports.push(port(8181)),
            "prometheus" => server.ports.push(port(9153)),
            _ => {}
        }
        if let Some((_, known)) = PROPERTIES.iter().find(|(name, _)| *name == directive.name()) {
            for line in &directive.block {
                property(directive, known, line, &mut server)?;
            }
        }
    }
    Ok(server)
}

pub(super) fn zones(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| normal(word)).collect()
}

/// Whole seconds of a duration: `30`, `30s`, `5m`, `1h`.
fn duration(word: &str, usual: u64) -> u64 {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &word[digits.len()..] {
        "m" => 60,
        "h" => 3600,
        _ => 1,
    };
    digits.parse::<u64>().map_or(usual, |number| number.saturating_mul(unit))
}

/// Takes a line of a plugin's block over.
fn property(directive: &Directive, known: &str, line: &[Token], server: &mut Server) -> Result<(), String> {
    let words = texts(line);
    let (name, rest) = (words[0], &words[1..]);
    let first = rest.first().copied().unwrap_or("");
    if !is_one_of(known, name) {
        let address =
            name.parse::<IpAddr>().ok().zip(server.hosts.as_mut().filter(|_| directive.name() == "hosts"));
        return match address {
            Some((address, hosts)) => {
                hosts.entries.extend(rest.iter().map(|name| (address, normal(name))));
                Ok(())
            }
            None => Err(directive.wrong(line, &format!("unknown property '{name}'"))),
        };
    }
    let Server { kubernetes, hosts, forward, cache, .. } = server;
    match (directive.name(), name) {
        ("kubernetes", "pods") => {
            let pods = match first {
                "disabled" => Pods::Disabled,
                "insecure" => Pods::Insecure,
                "verified" => Pods::Verified,
                "" => return Err(directive.count(line)),
                other => {
                    return Err(format!(
                        "plugin/kubernetes: wrong value for pods: {other},  must be one of: disabled, verified, insecure"
                    ));
                }
            };
            kubernetes.iter_mut().for_each(|plugin| plugin.pods = pods);
        }
        ("kubernetes", "endpoint_pod_names") => {
            kubernetes.iter_mut().for_each(|plugin| plugin.has_pod_names = true)
        }
        (plugin, "fallthrough") => {
            let passes = Some(zones(rest));
            match plugin {
                "hosts" => hosts.iter_mut().for_each(|hosts| hosts.fallthrough.clone_from(&passes)),
                _ => kubernetes.iter_mut().for_each(|plugin| plugin.fallthrough.clone_from(&passes)),
            }
        }
        (plugin, "ttl") => {
            let Some(ttl) = first.parse().ok().filter(|ttl| *ttl <= 3600) else {
                return Err(directive.wrong(line, &format!("ttl must be in range [0, 3600]: {first}")));
            };
            match plugin {
                "hosts" => hosts.iter_mut().for_each(|hosts| hosts.ttl = ttl),
                _ => kubernetes.iter_mut().for_each(|plugin| plugin.ttl = ttl),
            }
        }
        ("forward", "except") => {
            forward.iter_mut().next_back().into_iter().for_each(|one| one.except.extend(zones(rest)))
        }
        ("cache", kind) => {
            let Some(cache) = cache else { return Ok(()) };
            let ttl = rest.get(1).and_then(|word| word.parse().ok());
            let of = if kind == "disable" { &rest[rest.len().min(1)..] } else { rest };
            let named = if of.is_empty() { vec![normal("")] } else { zones(of) };
            match (kind, first) {
                ("success", _) => cache.success = ttl.unwrap_or(cache.success),
                ("denial", _) => cache.denial = ttl.unwrap_or(cache.denial),
                ("disable", "success") => cache.not_success = named,
                ("disable", "denial") => cache.not_denial = named,
                _ => {}
            }
        }
        _ => {}
    }
    Ok(())
}

fn forward(directive: &Directive, arguments: &[&str]) -> Result<Forward, String> {
    let [from, to @ ..] = arguments else { return Err(directive.count(&directive.words)) };
    if to.is_empty() {
        return Err(directive.count(&directive.words));
    }
    let mut plugin = Forward { from: normal(from), to: Vec::new(), except: Vec::new() };
    for target in to {
        let host = target.rsplit("://").next().unwrap_or(target);
        let host = match host.rsplit_once(':') {
            Some((host, _)) if !host.contains(':') => host,
            _ => host,
        };
        if host.parse::<IpAddr>().is_err() && !host.starts_with('/') {
            return Err(format!("plugin/forward: not an IP address or file: \"{target}\""));
        }
        plugin.to.push(host.into());
    }
    Ok(plugin)
}

fn rewrite(directive: &Directive, arguments: &[&str]) -> Result<Option<Rewrite>, String> {
    // `rewrite [stop] { name ...; answer ... }`: the first line of the block is the rule.
    let mut words = arguments.to_vec();
    let goes_on = words.first() == Some(&"continue");
    if goes_on || words.first() == Some(&"stop") {
        words.remove(0);
    }
    words.extend(directive.block.first().into_iter().flat_map(|line| texts(line)));
    // Rules about other fields change nothing that is seen here.
    if words.first() != Some(&"name") {
        return if words.is_empty() { Err(directive.count(&directive.words)) } else { Ok(None) };
    }
    words.remove(0);
    let place = match words.first() {
        Some(&"prefix") => Place::Prefix,
        Some(&"suffix") => Place::Suffix,
        Some(&"substring") => Place::Substring,
        Some(&"regex") => Place::Regex,
        _ => Place::Exact,
    };
    if place != Place::Exact || words.first() == Some(&"exact") {
        words.remove(0);
    }
    let [from, to, ..] = words.as_slice() else { return Err(directive.count(&directive.words)) };
    let whole = |text: &str| {
        if matches!(place, Place::Exact | Place::Suffix) { normal(text) } else { text.to_ascii_lowercase() }
    };
    if place != Place::Regex {
        return Ok(Some(Rewrite { place, from: whole(from), pattern: None, to: whole(to), goes_on }));
    }
    let why = |_| format!("plugin/rewrite: invalid regex matching pattern in a rewrite rule: {from}");
    let pattern = Some(Regex::go(from).map_err(why)?);
    Ok(Some(Rewrite { place, from: (*from).into(), pattern, to: normal(to), goes_on }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_as_coredns_tells_it() {
        let at = |line: usize, words: &str| Err(format!("{FILE}:{line} - Error during parsing: {words}"));
        for (text, expected) in [
            (".:53 {\n  errors\n  wrong\n}", at(3, "Unknown directive 'wrong'")),
            (".:53 {\n  errors\n", at(2, "Unexpected EOF")),
            (
                ". {\n kubernetes cluster.local {\n  pods never\n }\n}",
                Err("plugin/kubernetes: wrong value for pods: never,  must be one of: disabled, verified, insecure".into()),
            ),
            (
                ". {\n forward . nowhere\n}",
                Err("plugin/forward: not an IP address or file: \"nowhere\"".into()),
            ),
            (". {\n}\n.:53 {\n}", Err("cannot serve dns://.:53 - it is already defined".into())),
            (". {\n log }", at(2, "Unexpected '}' because no matching opening brace")),
            (". { # a comment\n cache 30\n log\n}\nexample.com:1053, b.example:1053 {\n whoami\n}", Ok(())),
        ] {
            assert_eq!(read(text).map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn names_lie_in_zones() {
        for (name, zone, expected) in [
            ("web.cluster.local.", "cluster.local.", true),
            ("cluster.local.", "cluster.local.", true),
            ("mycluster.local.", "cluster.local.", false),
            ("example.com.", ".", true),
        ] {
            assert_eq!(is_in(name, zone), expected, "{name} {zone}");
        }
    }
}
