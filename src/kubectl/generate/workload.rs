//! Deployments, Jobs, CronJobs, Pods.
//!
//! Picture to hold in mind: see [`super`]. Follows `create_deployment.go`, `create_job.go`, `create_cronjob.go`.

use crate::api::Value;
use crate::arrange::Gather;
use crate::client::request;
use crate::{array, object};

use super::super::failure::{Failure, Outcome, fail};
use super::super::session::Session;

fn command_of(session: &Session) -> Vec<Value> {
    session.flags.after_dashes.clone().unwrap_or_default().into_iter().map(Value::from).collect()
}

/// `nginx:1.27` of `docker.io/library/nginx:1.27@sha256:...`: the container's name, the image without its place,
/// tag and digest.
fn image_name(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' })
        .gather()
}

pub fn deployment(session: &mut Session, name: &str) -> Outcome<Value> {
    let images: Vec<String> = session
        .flags
        .list("image")
        .iter()
        .flat_map(|image| image.split(',').map(String::from).gather::<Vec<_>>())
        .gather();
    let command = command_of(session);
    if images.len() > 1 && !command.is_empty() {
        return fail("cannot specify multiple --image options and command");
    }
    let port = session.flags.number("port").filter(|port| *port >= 0);
    let replicas = session.flags.number("replicas").unwrap_or(1);
    let mut names: Vec<String> = Vec::new();
    let mut containers = Vec::new();
    for image in &images {
        // The second container of one name gets a random end upstream; here its number.
        let mut own = image_name(image);
        if names.contains(&own) {
            own = format!("{own}-{}", names.len() + 1);
        }
        names.push(own.clone());
        let mut container = object! { "image" => image.as_str(), "name" => own, "resources" => object! {} };
        if !command.is_empty() {
            container.set("command", command.clone());
        }
        if let Some(port) = port
            && containers.is_empty()
        {
            container.set("ports", array![object! { "containerPort" => port }]);
        }
        containers.push(container);
    }
    let labels = object! { "app" => name };
    Ok(object! {
        "apiVersion" => "apps/v1",
        "kind" => "Deployment",
        "metadata" => object! { "labels" => labels.clone(), "name" => name },
        "spec" => object! {
            "replicas" => replicas,
            "selector" => object! { "matchLabels" => labels.clone() },
            "strategy" => object! {},
            "template" => object! {
                "metadata" => object! { "labels" => labels },
                "spec" => object! { "containers" => containers },
            },
        },
        "status" => object! {},
    })
}

fn job_template(name: &str, image: &str, command: Vec<Value>, restart: &str) -> Value {
    let mut container = object! { "image" => image, "name" => name, "resources" => object! {} };
    if !command.is_empty() {
        container.set("command", command);
    }
    object! {
        "template" => object! {
            "metadata" => object! {},
            "spec" => object! { "containers" => array![container], "restartPolicy" => restart },
        },
    }
}

pub fn job(session: &mut Session, name: &str) -> Outcome<Value> {
    let (image, from) = (session.flags.text("image").to_string(), session.flags.text("from").to_string());
    if image.is_empty() == from.is_empty() {
        return fail("either --image or --from must be specified");
    }
    let command = command_of(session);
    let mut job = object! {
        "apiVersion" => "batch/v1", "kind" => "Job", "metadata" => object! { "name" => name }, "status" => object! {},
    };
    if from.is_empty() {
        job.set("spec", job_template(name, &image, command, "Never"));
        return Ok(job);
    }
    if !command.is_empty() {
        return fail("cannot specify --from and command");
    }
    let (kind, owner) = from.split_once('/').unwrap_or(("cronjobs", &from));
    let mapping = session.resource(kind)?;
    let namespace = session.namespace();
    let owner = session.send(request::get(&mapping.resource(), &namespace, owner))?;
    if mapping.info.kind != "CronJob" {
        return fail(["unknown object type *", &mapping.version, ".", &mapping.info.kind].concat());
    }
    let mut annotations = object! { "cronjob.kubernetes.io/instantiate" => "manual" };
    for (key, value) in owner.map("spec.jobTemplate.metadata.annotations").iter() {
        annotations.make_object().insert(key.clone(), value.clone());
    }
    job.set("metadata.annotations", annotations);
    if owner.has("spec.jobTemplate.metadata.labels") {
        job.set("metadata.labels", owner.at("spec.jobTemplate.metadata.labels"));
    }
    job.set(
        "metadata.ownerReferences",
        array![object! {
            "apiVersion" => "batch/v1", "controller" => true, "kind" => "CronJob",
            "name" => owner.shared_text("metadata.name"), "uid" => owner.shared_text("metadata.uid"),
        }],
    );
    job.set("spec", owner.at("spec.jobTemplate.spec"));
    Ok(job)
}

pub fn cron_job(session: &mut Session, name: &str) -> Outcome<Value> {
    let (image, schedule) =
        (session.flags.text("image").to_string(), session.flags.text("schedule").to_string());
    let restart = match session.flags.is_set("restart") {
        true => session.flags.text("restart").to_string(),
        false => "OnFailure".into(),
    };
    let template = job_template(name, &image, command_of(session), &restart);
    Ok(object! {
        "apiVersion" => "batch/v1",
        "kind" => "CronJob",
        "metadata" => object! { "name" => name },
        "spec" => object! {
            "jobTemplate" => object! { "metadata" => object! { "name" => name }, "spec" => template },
            "schedule" => schedule,
        },
        "status" => object! {},
    })
}

/// The Pod of `kubectl run`.
pub fn pod(session: &mut Session, name: &str) -> Outcome<Value> {
    let flags = session.flags.clone();
    let image = flags.text("image").to_string();
    let restart = flags.text("restart").to_string();
    let mut container = object! { "image" => image, "name" => name, "resources" => object! {} };
    let mut words: Vec<Value> =
        session.operands()[1..].iter().map(|word| Value::from(word.as_str())).collect();
    words.extend(command_of(session));
    if !words.is_empty() {
        container.set(if flags.switch("command") { "command" } else { "args" }, words);
    }
    let environment = environment(&flags.list("env"))?;
    if !environment.is_empty() {
        container.set("env", environment);
    }
    match flags.text("port") {
        "" => {}
        port => match port.parse::<i64>() {
            Ok(port) => drop(container.set("ports", array![object! { "containerPort" => port }])),
            Err(_) => return fail(format!("strconv.Atoi: parsing {port:?}: invalid syntax")),
        },
    }
    if !flags.text("image-pull-policy").is_empty() {
        container.set("imagePullPolicy", flags.text("image-pull-policy"));
    }
    if flags.switch("stdin") {
        container.set("stdin", true).set("stdinOnce", true);
    }
    if flags.switch("tty") {
        container.set("tty", true);
    }
    if flags.switch("privileged") {
        container.set("securityContext.privileged", true);
    }
    let labels = match flags.text("labels") {
        "" => object! { "run" => name },
        text => labels(text)?,
    };
    let mut metadata = object! { "labels" => labels, "name" => name };
    for annotation in flags.list("annotations") {
        match annotation.split_once('=') {
            Some((key, value)) => metadata.at_mut("annotations").make_object().insert(key, value),
            None => return fail(format!("annotations: unexpected annotation {annotation}")),
        }
    }
    Ok(object! {
        "apiVersion" => "v1",
        "kind" => "Pod",
        "metadata" => metadata,
        "spec" => object! {
            "containers" => array![container], "dnsPolicy" => "ClusterFirst", "restartPolicy" => restart,
        },
        "status" => object! {},
    })
}

/// `a=b,c=d` as a map.
pub fn labels(text: &str) -> Outcome<Value> {
    let mut labels = Value::object();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if !value.contains('=') => labels.make_object().insert(key, value),
            _ => return Err(Failure::Message(format!("unexpected label spec: {part}")).into()),
        }
    }
    Ok(labels)
}

/// `A=1` as entries of `env`.
pub fn environment(words: &[String]) -> Outcome<Vec<Value>> {
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(object! { "name" => name, "value" => value }),
            _ => fail(format!("invalid env: {word}")),
        })
        .collect()
}

/// Whether `text` names an image as `distribution/reference` wants it: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
pub fn is_image_reference(text: &str) -> bool {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    let is_digest = |digest: &str| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
                && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || "+.-_".contains(c))
                && hex.len() >= 32
                && hex.chars().all(|c| c.is_ascii_hexdigit())
        })
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return false;
    }
    // A colon behind the last slash begins a tag; one before it, a port.
    let tag_at = text.rfind(':').filter(|colon| !text[*colon..].contains('/'));
    let (name, tag) = match tag_at {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    };
    let is_tag = |tag: &str| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return false;
    }
    let is_component = |part: &str| {
        !part.contains("...")
            && !part.contains("___")
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_host = |part: &str| {
        let (host, port) = part.split_once(':').unwrap_or((part, "0"));
        let is_label = |label: &str| {
            label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && label.starts_with(|c: char| c.is_ascii_alphanumeric())
                && label.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) && host.split('.').all(is_label)
    };
    let mut parts: Vec<&str> = name.split('/').gather();
    if parts.len() > 1 && is_host(parts[0]) {
        parts.remove(0);
    }
    parts.into_iter().all(is_component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_registries_want_it() {
        for good in [
            "nginx",
            "nginx:1.27",
            "registry.k8s.io/pause:3.10",
            "localhost:5000/a/b_c.d-e:latest",
            "Host.example/app",
            "a@sha256:0123456789abcdef0123456789abcdef",
        ] {
            assert!(is_image_reference(good), "{good}");
        }
        for bad in ["", "nginx:", "Nginx", "a//b", "-a", "a b", "a@sha256:12", "a:-b", "app/Web"] {
            assert!(!is_image_reference(bad), "{bad}");
        }
    }
}
