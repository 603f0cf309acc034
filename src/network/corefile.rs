//! The Corefile: which names a server of CoreDNS answers for, and by which plugins in which order.
//!
//! Picture to hold in mind: the rule book of directory inquiries. A chapter for each family of names; in it the desks
//! that a question is passed along, always in the house's own order, whatever the order on the page.
//!
//! Follows coredns/caddy's parser (`caddyfile/parse.go`, `dispenser.go`), `plugin.cfg`, and the `setup.go` of each plugin:
//! what is wrong is told in their words. Names are kept in lower case and with a dot at the end.

use core::net::IpAddr;

/// Where the file lies in the container.
const FILE: &str = "/etc/coredns/Corefile";

/// Plugins that CoreDNS is built with (`plugin.cfg`).
const DIRECTIVES: &[&str] = &[
    "root",
    "metadata",
    "geoip",
    "cancel",
    "tls",
    "quic",
    "timeouts",
    "multisocket",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "acl",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "cache",
    "rewrite",
    "header",
    "dnssec",
    "autopath",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
    "import",
];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corefile {
    pub servers: Vec<Server>,
}

/// A server block.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub zones: Vec<String>,
    pub port: u16,
    pub kubernetes: Option<Kubernetes>,
    pub hosts: Option<Hosts>,
    pub forward: Vec<Forward>,
    pub rewrites: Vec<Rewrite>,
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
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    pub place: Place,
    pub from: String,
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
    fn unknown(&self, line: &[Token]) -> String {
        self.wrong(line, &format!("unknown property '{}'", line[0].text))
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
            if !DIRECTIVES.contains(&first.text.as_str()) {
                return Err(parsing(first.line, &format!("Unknown directive '{}'", first.text)));
            }
            let (words, opens) = self.line(first, false)?;
            let mut block = Vec::new();
            while opens {
                let first = self.next().ok_or_else(|| self.end())?;
                if first.text == "}" {
                    break;
                }
                let (line, is_nested) = self.line(first, true)?;
                if is_nested {
                    // Blocks in blocks are of plugins that are not looked into.
                    while self.next().ok_or_else(|| self.end())?.text != "}" {}
                }
                block.push(line);
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
    let mut server = Server {
        zones: Vec::new(),
        port: 53,
        kubernetes: None,
        hosts: None,
        forward: Vec::new(),
        rewrites: Vec::new(),
        cache: None,
        logs: false,
        tells_errors: false,
        finds_loops: false,
        shuffles: false,
        reload: None,
        ports: Vec::new(),
    };
    for key in keys {
        let key = key.strip_prefix("dns://").unwrap_or(key);
        let (zone, port) = key.rsplit_once(':').unwrap_or((key, "53"));
        server.port = port.parse().map_err(|_| parsing(line, &format!("invalid port '{port}'")))?;
        server.zones.push(normal(zone));
    }
    let zones = server.zones.clone();
    let named = |words: &[&str]| match words {
        [] => zones.clone(),
        words => words.iter().map(|word| normal(word)).collect(),
    };
    for directive in directives {
        let arguments = directive.arguments();
        match directive.name() {
            "kubernetes" => server.kubernetes = Some(kubernetes(directive, named(&arguments))?),
            "hosts" => server.hosts = Some(hosts(directive)?),
            "forward" => server.forward.push(forward(directive)?),
            "rewrite" => server.rewrites.extend(rewrite(directive)?),
            "cache" => server.cache = Some(cache(directive)?),
            "log" => server.logs = true,
            "errors" => server.tells_errors = true,
            "loop" => server.finds_loops = true,
            "loadbalance" => server.shuffles = true,
            "reload" => {
                let mut seconds = arguments.iter().map(|word| duration(word));
                let wrong = || directive.wrong(&directive.words, &format!("invalid duration {arguments:?}"));
                let interval = seconds.next().unwrap_or(Some(30)).ok_or_else(wrong)?.max(2);
                let jitter = seconds.next().unwrap_or(Some(interval / 2)).ok_or_else(wrong)?.max(1);
                server.reload = Some((interval, jitter.min(interval)));
            }
            "health" | "ready" | "prometheus" => {
                let port = match directive.name() {
                    "health" => 8080,
                    "ready" => 8181,
                    _ => 9153,
                };
                let given = arguments.first().and_then(|word| word.rsplit(':').next()?.parse().ok());
                server.ports.push(given.unwrap_or(port));
            }
            _ => {}
        }
    }
    Ok(server)
}

/// Whole seconds of a duration: `30`, `30s`, `5m`, `1h`.
fn duration(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match &word[digits.len()..] {
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "ms" => Some(number / 1000),
        _ => None,
    }
}

fn number(directive: &Directive, line: &[Token]) -> Result<u32, String> {
    let [_, value] = line else { return Err(directive.count(line)) };
    value
        .text
        .parse()
        .ok()
        .filter(|ttl| (0..=3600).contains(ttl))
        .ok_or_else(|| directive.wrong(line, &format!("ttl must be in range [0, 3600]: {}", value.text)))
}

fn kubernetes(directive: &Directive, zones: Vec<String>) -> Result<Kubernetes, String> {
    let mut plugin =
        Kubernetes { zones, pods: Pods::Disabled, fallthrough: None, ttl: 5, has_pod_names: false };
    for line in &directive.block {
        let words = texts(line);
        match words[0] {
            "pods" => {
                plugin.pods = match words[1..] {
                    ["disabled"] => Pods::Disabled,
                    ["insecure"] => Pods::Insecure,
                    ["verified"] => Pods::Verified,
                    [other] => {
                        return Err(format!(
                            "plugin/kubernetes: wrong value for pods: {other},  must be one of: disabled, verified, insecure"
                        ));
                    }
                    _ => return Err(directive.count(line)),
                }
            }
            "fallthrough" => plugin.fallthrough = Some(words[1..].iter().map(|zone| normal(zone)).collect()),
            "ttl" => plugin.ttl = number(directive, line)?,
            "endpoint_pod_names" => plugin.has_pod_names = true,
            "endpoint" | "tls" | "kubeconfig" | "namespaces" | "labels" | "namespace_labels"
            | "noendpoints" | "ignore" | "multicluster" | "apiserver_qps" | "apiserver_burst"
            | "startup_timeout" => {}
            _ => return Err(directive.unknown(line)),
        }
    }
    Ok(plugin)
}

fn hosts(directive: &Directive) -> Result<Hosts, String> {
    let mut plugin = Hosts { entries: Vec::new(), fallthrough: None, ttl: 3600 };
    for line in &directive.block {
        let words = texts(line);
        match words[0] {
            "fallthrough" => plugin.fallthrough = Some(words[1..].iter().map(|zone| normal(zone)).collect()),
            "ttl" => plugin.ttl = number(directive, line)?,
            "no_reverse" | "reload" => {}
            address => match address.parse::<IpAddr>() {
                Ok(address) => {
                    plugin.entries.extend(words[1..].iter().map(|name| (address, normal(name))));
                }
                Err(_) => return Err(directive.unknown(line)),
            },
        }
    }
    Ok(plugin)
}

fn forward(directive: &Directive) -> Result<Forward, String> {
    let arguments = directive.arguments();
    let [from, to @ ..] = arguments.as_slice() else { return Err(directive.count(&directive.words)) };
    if to.is_empty() {
        return Err(directive.count(&directive.words));
    }
    let mut plugin = Forward { from: normal(from), to: Vec::new(), except: Vec::new() };
    for target in to {
        let host = target.rsplit("://").next().unwrap_or(target);
        let host = match host.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => host,
            _ => host,
        };
        if host.parse::<IpAddr>().is_err() && !host.starts_with('/') {
            return Err(format!("plugin/forward: not an IP address or file: \"{target}\""));
        }
        plugin.to.push(host.into());
    }
    for line in &directive.block {
        let words = texts(line);
        match words[0] {
            "except" => plugin.except.extend(words[1..].iter().map(|zone| normal(zone))),
            "max_fails"
            | "health_check"
            | "force_tcp"
            | "prefer_udp"
            | "expire"
            | "tls"
            | "tls_servername"
            | "policy"
            | "max_concurrent"
            | "next"
            | "failover"
            | "failfast_all_unhealthy_upstreams"
            | "max_connect_attempts"
            | "max_idle_conns"
            | "max_age" => {}
            _ => return Err(directive.unknown(line)),
        }
    }
    Ok(plugin)
}

fn rewrite(directive: &Directive) -> Result<Vec<Rewrite>, String> {
    let arguments = directive.arguments();
    let (goes_on, rest) = match arguments.as_slice() {
        ["continue", rest @ ..] => (true, rest),
        ["stop", rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    // `rewrite [stop] { name ...; answer ... }`: the first line of the block is the rule.
    let inner: Vec<&str> = directive.block.first().map(|line| texts(line)).unwrap_or_default();
    let rest = if rest.is_empty() { inner.as_slice() } else { rest };
    let ["name", rest @ ..] = rest else {
        return match rest {
            [] => Err(directive.count(&directive.words)),
            // Rules about other fields change nothing that is seen here.
            ["class" | "type" | "edns0" | "ttl" | "cname" | "rcode", ..] => Ok(Vec::new()),
            [other, ..] => Err(format!("plugin/rewrite: invalid rule type \"{other}\"")),
        };
    };
    let (place, rest) = match rest {
        ["exact", rest @ ..] => (Place::Exact, rest),
        ["prefix", rest @ ..] => (Place::Prefix, rest),
        ["suffix", rest @ ..] => (Place::Suffix, rest),
        ["substring", rest @ ..] => (Place::Substring, rest),
        ["regex", ..] => {
            return Err("plugin/rewrite: regular expressions are not simulated here: use exact, prefix, suffix or substring".into());
        }
        rest => (Place::Exact, rest),
    };
    let [from, to, ..] = rest else {
        return Err("plugin/rewrite: too few arguments for a name rule".into());
    };
    let whole = |text: &str| {
        if matches!(place, Place::Exact | Place::Suffix) { normal(text) } else { text.to_ascii_lowercase() }
    };
    Ok(vec![Rewrite { place, from: whole(from), to: whole(to), goes_on }])
}

fn cache(directive: &Directive) -> Result<Cache, String> {
    let mut plugin = Cache { success: 3600, denial: 1800, not_success: Vec::new(), not_denial: Vec::new() };
    if let Some(ttl) = directive.arguments().first().and_then(|word| word.parse().ok()) {
        (plugin.success, plugin.denial) = (ttl, ttl);
    }
    for line in &directive.block {
        let words = texts(line);
        let ttl = words.get(2).and_then(|word| word.parse().ok());
        match words.as_slice() {
            ["success", ..] => plugin.success = ttl.unwrap_or(plugin.success),
            ["denial", ..] => plugin.denial = ttl.unwrap_or(plugin.denial),
            ["disable", kind @ ("success" | "denial"), zones @ ..] => {
                let zones = match zones {
                    [] => vec![normal("")],
                    zones => zones.iter().map(|zone| normal(zone)).collect(),
                };
                if *kind == "success" { plugin.not_success = zones } else { plugin.not_denial = zones }
            }
            ["prefetch" | "serve_stale" | "servfail" | "keepttl", ..] => {}
            _ => return Err(directive.count(line)),
        }
    }
    Ok(plugin)
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
