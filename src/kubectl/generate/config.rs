//! Namespaces, ConfigMaps, Secrets, ServiceAccounts, quotas, budgets, priority classes.
//!
//! Picture to hold in mind: see [`super`]. Follows `create_configmap.go`, `create_secret*.go`, `create_quota.go` ...

use crate::api::base64::STANDARD;
use crate::api::field::go_quote;
use crate::api::sha256::sha256;
use crate::api::{Text, Value};
use crate::arrange::Gather;
use crate::object;
use crate::shell::files::Entry;

use super::super::apply::go_compact_json;
use super::super::failure::{Outcome, fail};
use super::super::session::Session;

pub fn namespace(_: &mut Session, name: &str) -> Outcome<Value> {
    Ok(object! {
        "apiVersion" => "v1", "kind" => "Namespace", "metadata" => object! { "name" => name },
        "spec" => object! {}, "status" => object! {},
    })
}

pub fn service_account(_: &mut Session, name: &str) -> Outcome<Value> {
    Ok(object! { "apiVersion" => "v1", "kind" => "ServiceAccount", "metadata" => object! { "name" => name } })
}

/// The pairs of `--from-file`, `--from-literal` and `--from-env-file`.
fn data(session: &mut Session, kind: &str, name: &str) -> Outcome<Vec<(String, Text)>> {
    let flags = session.flags.clone();
    let mut pairs: Vec<(String, Text)> = Vec::new();
    if flags.is_set("from-env-file") && (flags.is_set("from-file") || flags.is_set("from-literal")) {
        return fail("from-env-file cannot be combined with from-file or from-literal");
    }
    for source in flags.list("from-file") {
        let (key, path) = match source.split_once('=') {
            Some((key, path)) if !key.is_empty() && !path.is_empty() => {
                (Some(key.to_string()), path.to_string())
            }
            Some(("", _)) => {
                return fail(format!("key name for file path {} missing", source.trim_start_matches('=')));
            }
            Some((key, _)) => return fail(format!("file path for key name {key} missing")),
            None => (None, source.clone()),
        };
        let absolute = session.path(&path);
        let files = session.files();
        match files.get(&absolute) {
            Some(Entry::Folder) => {
                if key.is_some() {
                    return fail("cannot give a key name for a directory path");
                }
                for (name, entry) in files.list(&absolute) {
                    if let Entry::File(text) = entry {
                        pairs.push((name, text));
                    }
                }
            }
            Some(Entry::File(text)) => {
                let name = key.unwrap_or_else(|| path.rsplit('/').next().unwrap_or(&path).to_string());
                pairs.push((name, text.clone()));
            }
            None => return fail(format!("error reading {path}: no such file or directory")),
        }
    }
    for literal in flags.list("from-literal") {
        let Some((key, value)) = literal.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return fail(format!("invalid literal source {literal}, expected key=value"));
        };
        // The shell may have left one layer of quotes.
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) if value.len() > 1 && value.ends_with(quote) => {
                &value[1..value.len() - 1]
            }
            _ => value,
        };
        pairs.push((key.to_string(), value.into()));
    }
    for path in flags.list("from-env-file") {
        let Ok(text) = session.read_file(&path) else {
            return fail(format!("error reading {path}: no such file or directory"));
        };
        for line in
            text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (key, value) = match line.split_once('=') {
                Some((key, value)) => (key, Text::from(value)),
                // Taken from around.
                None => (line, session.cli.variable(line).unwrap_or("").into()),
            };
            check_variable(key)?;
            pairs.push((key.to_string(), value));
        }
    }
    for (index, (key, _)) in pairs.iter().enumerate() {
        let fits = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !fits {
            return fail(format!(
                "{key:?} is not a valid key name for a {kind}: a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            ));
        }
        if pairs[..index].iter().any(|(other, _)| other == key) {
            return fail(match kind {
                "Secret" => ["cannot add key ", key, ", another key by that name already exists"].concat(),
                _ => format!(
                    "cannot add key {key:?}, another key by that name already exists in Data for {kind} {name:?}"
                ),
            });
        }
    }
    Ok(pairs)
}

/// The names of variables that kubectl takes (`IsEnvVarName`); the API server takes more.
pub fn check_variable(name: &str) -> Outcome {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let mut problems = Vec::new();
    if name.is_empty()
        || name.starts_with(|letter: char| letter.is_ascii_digit())
        || !name.chars().all(is_word)
    {
        problems.push("a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')");
    }
    match name {
        "." => problems.push("must not be '.'"),
        ".." => problems.push("must not be '..'"),
        name if name.starts_with("..") => problems.push("must not start with '..'"),
        _ => {}
    }
    match problems.as_slice() {
        [] => Ok(()),
        problems => fail(format!("{name:?} is not a valid key name: {}", problems.join(";"))),
    }
}

pub fn config_map(session: &mut Session, name: &str) -> Outcome<Value> {
    let mut map =
        object! { "apiVersion" => "v1", "kind" => "ConfigMap", "metadata" => object! { "name" => name } };
    for (key, value) in data(session, "ConfigMap", name)? {
        map.at_mut("data").make_object().insert(key.as_str(), value);
    }
    Ok(map)
}

/// The end of a name that differs with what is in the object (`--append-hash`, `kubectl/pkg/util/hash`).
pub fn hash_of(object: &Value) -> String {
    let is_secret = object.text("kind") == "Secret";
    let data = Value::from(object.map("data").clone());
    let mut hashed =
        object! { "kind" => object.at("kind"), "name" => object.at("metadata.name"), "data" => data };
    if is_secret {
        hashed.set("type", object.text("type"));
    }
    let digest = sha256(go_compact_json(&hashed).as_bytes());
    let mut name = String::from("-");
    for digit in digest[..5].iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        name.push(char::from(b"gh2k456789mbcdtf"[usize::from(digit)]));
    }
    name
}

fn secret(name: &str, kind: &str, pairs: Vec<(String, Text)>) -> Value {
    let mut secret =
        object! { "apiVersion" => "v1", "kind" => "Secret", "metadata" => object! { "name" => name } };
    for (key, value) in pairs {
        secret.at_mut("data").make_object().insert(key.as_str(), STANDARD.encode(value.as_bytes()));
    }
    if !kind.is_empty() {
        secret.set("type", kind);
    }
    secret
}

pub fn secret_generic(session: &mut Session, name: &str) -> Outcome<Value> {
    let pairs = data(session, "Secret", name)?;
    Ok(secret(name, session.flags.text("type"), pairs))
}

pub fn secret_docker(session: &mut Session, name: &str) -> Outcome<Value> {
    let flags = session.flags.clone();
    let pairs = data(session, "Secret", name)?;
    if let Some((_, content)) = pairs.into_iter().next() {
        return Ok(secret(
            name,
            "kubernetes.io/dockerconfigjson",
            vec![(".dockerconfigjson".into(), content)],
        ));
    }
    let (user, password, email) =
        (flags.text("docker-username"), flags.text("docker-password"), flags.text("docker-email"));
    if user.is_empty() || password.is_empty() {
        return fail(
            "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required",
        );
    }
    // Go writes a struct's fields as they are declared.
    let auth = STANDARD.encode(format!("{user}:{password}").as_bytes());
    let mut content = ["{\"auths\":{", &go_quote(flags.text("docker-server")), ":{"].concat();
    for (field, text) in [("username", user), ("password", password), ("email", email), ("auth", &auth)] {
        if !text.is_empty() {
            content.push_str(&["\"", field, "\":", &Value::from(text).to_string(), ","].concat());
        }
    }
    content.pop();
    content.push_str("}}}");
    Ok(secret(name, "kubernetes.io/dockerconfigjson", vec![(".dockerconfigjson".into(), content.into())]))
}

pub fn secret_tls(session: &mut Session, name: &str) -> Outcome<Value> {
    let (cert, key) = (session.flags.text("cert").to_string(), session.flags.text("key").to_string());
    if cert.is_empty() || key.is_empty() {
        return fail("key and cert must be specified");
    }
    let mut pairs = Vec::new();
    for (field, path) in [("tls.crt", cert), ("tls.key", key)] {
        match session.read_file(&path) {
            Ok(text) => pairs.push((field.to_string(), text)),
            Err(error) => {
                let why = error.message().to_ascii_lowercase();
                return fail(["Cannot read file ", &path, ", open ", &path, ": ", &why].concat());
            }
        }
    }
    Ok(secret(name, "kubernetes.io/tls", pairs))
}

/// `a=1,b=2` as quantities.
pub fn quantities(text: &str) -> Outcome<Value> {
    let mut map = Value::object();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            return fail(format!("Invalid argument syntax {part}, expected <resource>=<value>"));
        };
        match crate::api::quantity::Quantity::normalize(value) {
            Ok(quantity) => map.make_object().insert(key, quantity),
            Err(error) => return fail(error.to_string()),
        }
    }
    Ok(map)
}

pub fn quota(session: &mut Session, name: &str) -> Outcome<Value> {
    let mut quota = object! {
        "apiVersion" => "v1", "kind" => "ResourceQuota", "metadata" => object! { "name" => name },
        "spec" => object! {}, "status" => object! {},
    };
    let hard = quantities(session.flags.text("hard"))?;
    if !hard.is_empty() {
        quota.set("spec.hard", hard);
    }
    let scopes: Vec<Value> =
        session.flags.text("scopes").split(',').filter(|scope| !scope.is_empty()).map(Value::from).gather();
    if !scopes.is_empty() {
        quota.set("spec.scopes", scopes);
    }
    Ok(quota)
}

pub fn pod_disruption_budget(session: &mut Session, name: &str) -> Outcome<Value> {
    let flags = session.flags.clone();
    let (least, most, selector) =
        (flags.text("min-available"), flags.text("max-unavailable"), flags.text("selector"));
    if selector.is_empty() {
        return fail("a selector must be specified");
    }
    if least.is_empty() && most.is_empty() {
        return fail("one of min-available or max-unavailable must be specified");
    }
    if !least.is_empty() && !most.is_empty() {
        return fail("min-available and max-unavailable cannot be both specified");
    }
    let mut budget = object! {
        "apiVersion" => "policy/v1", "kind" => "PodDisruptionBudget", "metadata" => object! { "name" => name },
        "spec" => object! { "selector" => object! { "matchLabels" => super::workload::labels(selector)? } },
        "status" => object! { "currentHealthy" => 0, "desiredHealthy" => 0, "disruptionsAllowed" => 0, "expectedPods" => 0 },
    };
    let (field, text) = if least.is_empty() { ("maxUnavailable", most) } else { ("minAvailable", least) };
    budget.set(&format!("spec.{field}"), crate::api::int_or_string::parse(text));
    Ok(budget)
}

pub fn priority_class(session: &mut Session, name: &str) -> Outcome<Value> {
    let flags = session.flags.clone();
    let mut class = object! {
        "apiVersion" => "scheduling.k8s.io/v1", "kind" => "PriorityClass", "metadata" => object! { "name" => name },
        "value" => flags.number("value").unwrap_or(0), "preemptionPolicy" => flags.text("preemption-policy"),
    };
    if flags.switch("global-default") {
        class.set("globalDefault", true);
    }
    if !flags.text("description").is_empty() {
        class.set("description", flags.text("description"));
    }
    Ok(class)
}
