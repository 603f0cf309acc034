//! `kubectl set env`: the variables of containers, set, taken away and listed.
//!
//! Picture to hold in mind: the pigeonholes beside a desk: notes are put in and taken out, and somebody reads aloud what
//! each one says, or where it says to look.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/set/set_env.go` and `env/`.

use crate::api::Value;
use crate::api::base64::STANDARD;
use crate::api::field::go_quote;
use crate::api::quantity::Quantity;
use crate::arrange::{Arrange, Gather};
use crate::client::request;
use crate::object;
use crate::sorted::SortedMap;

use super::super::builder::{Info, Rules};
use super::super::change::for_each;
use super::super::failure::{Failure, Outcome, Stop, fail};
use super::super::generate::config;
use super::super::session::Session;
use super::{Words, change_spec, is_chosen, rules, spec_path};

/// The variables to set and the names to remove that the words and `--from` tell of.
fn variables(session: &mut Session, words: &[String]) -> Outcome<(Vec<Value>, Vec<String>)> {
    let flags = session.flags.clone();
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    let variable = |name: &str, value: &str| object! { "name" => name, "value" => value };
    for word in flags.list("env").iter().chain(words) {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((name, value)), _) => {
                config::check_variable(name)?;
                added.push(variable(name, value));
            }
            (None, Some("")) => {
                let text = session.cli.stdin()?;
                let lines = text.lines().map(|line| line.split('#').next().unwrap_or(""));
                added.extend(
                    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| variable(name, value)),
                );
            }
            (None, Some(name)) => removed.push(name.to_string()),
            (None, None) => return fail(["unknown environment variable: ", word].concat()),
        }
    }
    if added.iter().any(|new| removed.iter().any(|name| name == new.text("name"))) {
        return fail("can not both modify and remove the same environment variable in the same command");
    }
    if !flags.text("from").is_empty() {
        let rules = Rules { all_without_selector: flags.switch("all"), ..Rules::default() };
        let sources = session.find(&[flags.text("from").to_string()], rules)?;
        Failure::many(sources.1.clone())?;
        let keys = flags.list("keys");
        for source in &sources.0 {
            let field = match source.mapping.info.kind.as_str() {
                "ConfigMap" => "configMapKeyRef",
                "Secret" => "secretKeyRef",
                _ => return fail("unsupported resource specified in --from"),
            };
            for (key, _) in source.object.map("data").iter() {
                if !keys.is_empty() && !keys.iter().any(|wanted| wanted == key.as_str()) {
                    continue;
                }
                let upper: String = key
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                    .collect();
                if upper != key.as_str() {
                    session.eprintln(["Warning: key ", key, " transferred to ", &upper].concat());
                }
                let mut from = Value::object();
                from.set(field, object! { "key" => key, "name" => source.name.as_str() });
                added.push(object! { "name" => upper, "valueFrom" => from });
            }
        }
    }
    let prefix = flags.text("prefix");
    if !prefix.is_empty() {
        for new in &mut added {
            let name = [prefix, new.text("name")].concat();
            new.set("name", name);
        }
    }
    Ok((added, removed))
}

/// The variables after the change (`updateEnv`): each new one where the first of its name stood, or at the end.
fn changed_variables(before: &[Value], added: &[Value], removed: &[String]) -> Vec<Value> {
    let mut covered: Vec<&str> = removed.iter().map(String::as_str).gather();
    let mut after = Vec::new();
    for old in before.iter().filter(|old| !removed.iter().any(|name| name == old.text("name"))) {
        let name = old.text("name");
        match added.iter().find(|new| new.text("name") == name) {
            Some(_) if covered.contains(&name) => {}
            Some(new) => {
                covered.push(name);
                after.push(new.clone());
            }
            None => after.push(old.clone()),
        }
    }
    for new in added {
        if !covered.contains(&new.text("name")) {
            covered.push(new.text("name"));
            after.push(new.clone());
        }
    }
    after
}

pub fn env(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    let is_variable = |word: &String| word.find('=').is_some_and(|place| place > 0) || word.ends_with('-');
    let first = operands.iter().position(is_variable).unwrap_or(operands.len());
    let (resources, words) = operands.split_at(first);
    if !words.iter().all(is_variable) {
        return fail(
            ["all resources must be specified before environment changes: ", &operands.join(" ")].concat(),
        );
    }
    if resources.is_empty() && !session.has_files() {
        return fail("one or more resources must be specified as <resource> <name> or <resource>/<name>");
    }
    let lists = flags.switch("list");
    if lists && !flags.text("output").is_empty() {
        return fail("--list and --output may not be specified together");
    }
    if flags.is_set("keys") && flags.text("from").is_empty() {
        return fail("when specifying --keys, a configmap or secret must be provided with --from");
    }
    let (added, removed) = variables(session, words)?;
    let overwrite = flags.switch("overwrite");
    let pattern = flags.text("containers").to_string();
    let change = |session: &mut Session, info: &Info, spec: &mut Value| {
        let mut listed = Vec::new();
        // These come before those that start first.
        for field in ["containers", "initContainers"] {
            if !spec.has(field) {
                continue;
            }
            for container in spec.at_mut(field).make_array() {
                if !is_chosen(&pattern, container.text("name")) {
                    continue;
                }
                let before = container.items("env");
                let clash = added.iter().find_map(|new| {
                    let old = before.iter().find(|old| old.text("name") == new.text("name"))?;
                    (old.text("value") != new.text("value")).then_some(old)
                });
                if let Some(old) = clash.filter(|_| !overwrite) {
                    return fail(format!(
                        "error: {} '{}' already has a value ({}), and --overwrite is false",
                        info.object_name(),
                        old.text("name"),
                        old.text("value")
                    ));
                }
                let after = changed_variables(before, &added, &removed);
                if after.is_empty() {
                    container.remove("env");
                } else {
                    container.set("env", after);
                }
                listed.push(container.clone());
            }
        }
        if listed.is_empty() {
            session.eprintln(format!(
                "Warning: {}/{} does not have any containers matching {pattern:?}",
                info.mapping.info.kind, info.name
            ));
        }
        Ok(listed)
    };
    if lists {
        let rules = rules(session, resources)?;
        for_each(session, resources, rules, |session, info| {
            let Some(path) = spec_path(&info.mapping.info.kind) else { return Ok(()) };
            // What does not fit is not told of here.
            let containers = match change(session, info, &mut info.object.at(path).clone()) {
                Err(Stop::Failure(_)) => return Ok(()),
                containers => containers?,
            };
            for container in containers {
                list_env(session, info, &container)?;
            }
            Ok(())
        })?;
        return Ok(());
    }
    let words = Words { done: "env updated", failed: "env update to pod template:", always: false };
    change_spec(session, resources, &words, |session, info, spec| {
        change(session, info, spec).map(|_| Vec::new())
    })
}

fn list_env(session: &mut Session, info: &Info, container: &Value) -> Outcome {
    let resolves = session.flags.switch("resolve");
    session.println(format!(
        "# {} {}, container {}",
        info.mapping.info.kind,
        info.name,
        container.text("name")
    ));
    let mut unresolved: SortedMap<String, Vec<&str>> = SortedMap::new();
    for variable in container.items("env") {
        let name = variable.text("name");
        let Some((kind, source)) = variable.at("valueFrom").as_object().and_then(|map| map.iter().next())
        else {
            session.println([name, "=", variable.text("value")].concat());
            continue;
        };
        if resolves {
            match resolved(session, info, container, kind, source)? {
                Ok(value) => {
                    session.println([name, "=", &value].concat());
                    continue;
                }
                Err(why) => unresolved.entry(why).or_default().push(name),
            }
        }
        let what = match kind.as_str() {
            "configMapKeyRef" => format!("configmap {}, key {}", source.text("name"), source.text("key")),
            "secretKeyRef" => format!("secret {}, key {}", source.text("name"), source.text("key")),
            "fieldRef" => format!("field path {}", source.text("fieldPath")),
            "resourceFieldRef" => {
                let place = match source.text("containerName") {
                    "" => String::new(),
                    name => format!("{name}/"),
                };
                format!("resource field {place}{}", source.text("resource"))
            }
            _ => "invalid valueFrom".into(),
        };
        session.println(["# ", name, " from ", &what].concat());
    }
    for (why, mut names) in unresolved {
        names.arrange();
        session.eprintln(format!("error retrieving reference for {}: {why}", names.join(", ")));
    }
    Ok(())
}

/// What a variable would hold (`--resolve`), or why that cannot be said.
fn resolved(
    session: &mut Session,
    info: &Info,
    container: &Value,
    kind: &str,
    source: &Value,
) -> Outcome<Result<String, String>> {
    let (name, key) = (source.text("name"), source.text("key"));
    Ok(match kind {
        "configMapKeyRef" | "secretKeyRef" => {
            let is_secret = kind == "secretKeyRef";
            let mapping = session.built_in("", if is_secret { "secrets" } else { "configmaps" });
            let namespace = session.namespace();
            match session.attempt(request::get(&mapping.resource(), &namespace, name))? {
                Err(failure) => Err(failure.text()),
                Ok(found) => match found.map("data").get(key).and_then(Value::as_str) {
                    Some(data) if is_secret => {
                        let bytes = STANDARD.decode(data).unwrap_or_default();
                        Ok(String::from_utf8_lossy(&bytes).into_owned())
                    }
                    Some(data) => Ok(data.to_string()),
                    None => {
                        let place = if is_secret { "secret" } else { "config map" };
                        Err(format!("key {key} not found in {place} {name}"))
                    }
                },
            }
        }
        "fieldRef" => field(&info.object, source.text("fieldPath")),
        "resourceFieldRef" => {
            let wanted = source.text("resource");
            let amount = |text: &str| Quantity::parse(text).ok();
            let (side, resource) = wanted.split_once('.').unwrap_or((wanted, ""));
            let is_known = matches!(side, "limits" | "requests")
                && (matches!(resource, "cpu" | "memory" | "ephemeral-storage")
                    || resource.starts_with("hugepages-"));
            let size = |quantity: Quantity| match resource {
                "cpu" => quantity.milli_value(),
                _ => quantity.value(),
            };
            let one = if resource == "cpu" { 1000 } else { 1 };
            let divisor =
                amount(source.text("divisor")).map(size).filter(|divisor| *divisor > 0).unwrap_or(one);
            let held = container.map(&["resources.", side].concat()).get(resource).and_then(Value::as_str);
            let held = held.and_then(amount).map_or(0, size);
            match is_known {
                true => Ok((held / divisor + i64::from(held % divisor > 0)).to_string()),
                false => Err(["Unsupported container resource : ", wanted].concat()),
            }
        }
        _ => Err("invalid valueFrom".into()),
    })
}

/// A field of the object itself, as the downward API would show it (`extractFieldPathAsString`).
fn field(object: &Value, path: &str) -> Result<String, String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        return match map {
            "metadata.annotations" | "metadata.labels" => {
                Ok(object.map(map).get(key).and_then(Value::as_str).unwrap_or("").to_string())
            }
            _ => Err(["fieldPath ", &go_quote(path), " does not support subscript"].concat()),
        };
    }
    match path {
        "metadata.annotations" | "metadata.labels" => {
            let pairs = object.map(path).iter();
            let line =
                |(key, value): (&_, &Value)| format!("{key}={}", go_quote(value.as_str().unwrap_or("")));
            Ok(pairs.map(line).collect::<Vec<String>>().join("\n"))
        }
        "metadata.name" | "metadata.namespace" | "metadata.uid" => Ok(object.text(path).to_string()),
        _ => Err(["unsupported fieldPath: ", path].concat()),
    }
}
