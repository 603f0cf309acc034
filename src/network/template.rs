//! CoreDNS' plugin template: answers made of the question.
//!
//! Picture to hold in mind: a rubber stamp with gaps, into which parts of the asked name are written.
//!
//! Follows `plugin/template` (`setup.go`, `template.go`): of Go's templates there are `{{ .Name }}`, `{{ .Zone }}`,
//! `{{ .Class }}`, `{{ .Type }}`, `{{ .Group.NAME }}`, `{{ .Group.1 }}` and `{{ index .Match 1 }}`.

use crate::api::regex::Regex;

use super::corefile::{Fallthrough, falls_through, is_in, zones};
use super::dns::{Answer, Failure, Kind, Record};

#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// `A`, `AAAA` ..., or `ANY`.
    kind: String,
    zones: Vec<String>,
    /// Without one everything matches. With the names of its groups.
    patterns: Vec<(Regex, Vec<String>)>,
    answers: Vec<String>,
    failure: Option<Failure>,
    fallthrough: Fallthrough,
}

/// The names of a pattern's groups, in their order; most have none.
fn names(pattern: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in pattern.match_indices('(').filter(|(at, _)| !pattern[..*at].ends_with('\\')) {
        let rest = &pattern[at + 1..];
        let named = rest.strip_prefix("?P<").or_else(|| rest.strip_prefix("?<"));
        match named.and_then(|rest| rest.split_once('>')) {
            Some((name, _)) => found.push(name.to_string()),
            None if !rest.starts_with('?') => found.push(String::new()),
            None => {}
        }
    }
    found
}

/// The error: what is wrong with it; empty: there is too little.
pub fn read(arguments: &[&str], own: &[String], block: &[Vec<&str>]) -> Result<Template, String> {
    let [class, kind, named @ ..] = arguments else { return Err(String::new()) };
    if !["IN", "ANY"].contains(&class.to_ascii_uppercase().as_str()) {
        return Err(format!("invalid RR class {class}"));
    }
    let mut template = Template {
        kind: kind.to_ascii_uppercase(),
        zones: if named.is_empty() { own.to_vec() } else { zones(named) },
        patterns: Vec::new(),
        answers: Vec::new(),
        failure: None,
        fallthrough: None,
    };
    for line in block {
        let (name, rest) = (line[0], &line[1..]);
        match (name, rest) {
            ("match", patterns) => {
                for pattern in patterns {
                    let why =
                        |error| format!("could not parse regex: {pattern}, error parsing regexp: {error}");
                    template.patterns.push((Regex::go(pattern).map_err(why)?, names(pattern)));
                }
            }
            ("answer", texts) => template.answers.extend(texts.iter().map(|text| text.to_string())),
            ("rcode", [code]) => {
                let all = [Failure::NoSuchName, Failure::ServerFailure, Failure::Refused];
                template.failure =
                    all.into_iter().find(|failure| failure.name() == code.to_ascii_uppercase());
                if template.failure.is_none() && !code.eq_ignore_ascii_case("NOERROR") {
                    return Err(format!("unknown rcode {code}"));
                }
            }
            ("fallthrough", named) => template.fallthrough = Some(zones(named)),
            ("additional" | "authority" | "upstream" | "ederror", _) => {}
            _ => return Err(format!("unknown property '{name}'")),
        }
    }
    if template.answers.is_empty()
        && template.failure.is_none()
        && !block.iter().any(|line| line[0] == "rcode")
    {
        return Err("no answer section for template found".into());
    }
    Ok(template)
}

/// What the first template says that the question fits; `None`: it is passed on.
pub fn answer(templates: &[Template], kind: Kind, name: &str) -> Option<Answer> {
    for template in templates {
        let Some(zone) = template.zones.iter().find(|zone| is_in(name, zone)) else { continue };
        if template.kind != "ANY" && template.kind != kind.name() {
            continue;
        }
        let no_names = Vec::new();
        let mut found = template.patterns.iter();
        let found = found.find_map(|(pattern, names)| Some((pattern.groups(name)?, names)));
        let (groups, names) = match found {
            Some(found) => found,
            None if template.patterns.is_empty() => (Vec::new(), &no_names),
            None if falls_through(&template.fallthrough, name) => continue,
            None => return Some(Err(Failure::NoSuchName)),
        };
        if let Some(failure) = template.failure {
            return Some(Err(failure));
        }
        let gap = |gap: &str| -> &str {
            let group = gap.strip_prefix(".Group.").or_else(|| gap.strip_prefix("index .Match "));
            match (gap, group) {
                (".Name", _) => name,
                (".Zone", _) => zone,
                (".Class", _) => "IN",
                (".Type", _) => kind.name(),
                (_, Some(group)) => {
                    let named = names.iter().position(|name| name == group).map(|at| at + 1);
                    let number = named.or(group.parse().ok());
                    number.and_then(|number| groups.get(number)).map_or("", String::as_str)
                }
                _ => "",
            }
        };
        let mut records = Vec::new();
        let mut least = 3600;
        for answer in &template.answers {
            let Some((ttl, record)) = record(&filled(answer, &gap)) else {
                return Some(Err(Failure::ServerFailure));
            };
            least = least.min(ttl);
            records.push(record);
        }
        return Some(Ok((least, records)));
    }
    None
}

fn filled<'a>(text: &str, gap: &dyn Fn(&str) -> &'a str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(gap(name.trim()));
        rest = after;
    }
    out + rest
}

/// `NAME [TTL] [IN] TYPE DATA`, as zone files have it.
fn record(line: &str) -> Option<(u32, Record)> {
    let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
    words.retain(|word| *word != "IN");
    let ttl = words.first()?.parse().ok();
    let [kind, data, ..] = &words[usize::from(ttl.is_some())..] else { return None };
    let record = match *kind {
        "A" | "AAAA" => Record::Address(data.parse().ok()?),
        "CNAME" => Record::Alias((*data).into()),
        "PTR" => Record::Pointer((*data).into()),
        _ => return None,
    };
    Some((ttl.unwrap_or(3600), record))
}
