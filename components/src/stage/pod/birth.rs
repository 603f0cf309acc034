//! The steps of a pod's making: what is done, what is under way, what is still to come.
//!
//! Picture to hold in mind: a tram line with its stops. The tram has passed some; the rest are known from the map.

use clusterarium::picture::{ContainerRole, Pod, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Done,
    Failed,
    /// The last that happened, while more is to come.
    Now,
    ToCome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub title: String,
    pub detail: String,
    pub progress: Progress,
}

/// How a sandbox is made: the engine's word for each step, and what it is called here.
const SANDBOX: [(&str, &str); 9] = [
    ("PauseContainerCreated", "sandbox asked for"),
    ("NamespacesCreated", "namespaces"),
    ("PauseContainerStarted", "pause runs"),
    ("CniAdd", "CNI ADD"),
    ("VethPairCreated", "veth pair"),
    ("AddressAllocated", "address"),
    ("RoutesSet", "routes"),
    ("DnsConfigured", "resolv.conf"),
    ("SandboxReady", "sandbox ready"),
];
/// The same for a pod on the host's network: nothing is called and no cable is pulled.
const HOST_NETWORK: [&str; 4] =
    ["PauseContainerCreated", "NamespacesCreated", "PauseContainerStarted", "SandboxReady"];

/// The stops of the pod's present sandbox, then one for each container.
pub fn stops(pod: &Pod, story: &[Step]) -> Vec<Stop> {
    let begin = story.iter().rposition(|step| step.step == SANDBOX[0].0).unwrap_or(0);
    let story = &story[begin..];
    let on_host = pod.sandbox.as_ref().is_some_and(|sandbox| sandbox.host_network);
    let mut stops: Vec<Stop> = SANDBOX
        .iter()
        .filter(|(word, _)| !on_host || HOST_NETWORK.contains(word))
        .map(|(word, title)| {
            let step = story.iter().find(|step| step.step == *word);
            Stop {
                title: title.to_string(),
                detail: step.map_or(String::new(), |step| brief(word, &step.detail)),
                progress: if step.is_some() { Progress::Done } else { Progress::ToCome },
            }
        })
        .collect();
    if let Some(failure) = story.iter().rev().find(|step| step.step == "SandboxFailed")
        && let Some(next) = stops.iter_mut().find(|stop| stop.progress == Progress::ToCome)
    {
        (next.progress, next.detail) = (Progress::Failed, failure.detail.clone());
    }
    for container in &pod.containers {
        let last = story.iter().rev().find(|step| step.container == container.name);
        let role = match container.role {
            ContainerRole::Init => "init ",
            ContainerRole::Sidecar => "sidecar ",
            ContainerRole::App => "",
        };
        let (what, progress) = match last.map(|step| (step.step.as_str(), step.is_failure)) {
            Some(("ContainerStarted", _)) => ("runs".to_string(), Progress::Done),
            Some(("ContainerExited", failed)) => {
                let progress = if failed { Progress::Failed } else { Progress::Done };
                (container.state.clone(), progress)
            }
            Some(("ContainerCreated", _)) => ("created".to_string(), Progress::Now),
            _ => (container.state.clone(), Progress::ToCome),
        };
        stops.push(Stop { title: format!("{role}{}", container.name), detail: what, progress });
    }
    let is_open = stops.iter().any(|stop| stop.progress == Progress::ToCome);
    let last_done = stops.iter().rposition(|stop| stop.progress == Progress::Done);
    if let (true, Some(last)) = (is_open, last_done) {
        stops[last].progress = Progress::Now;
    }
    stops
}

/// Of a step's detail what fits on one line: the plugin's JSON becomes its name.
fn brief(word: &str, detail: &str) -> String {
    if word == "CniAdd" {
        let after = |key: &str| {
            let at = detail.find(&format!("\"{key}\":"))?;
            detail[at..].split('"').nth(3).map(str::to_string)
        };
        return [after("type"), after("bridge")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    }
    let line = detail.lines().next().unwrap_or_default();
    // The plugin's result says what the steps before it said.
    if line.starts_with('{') {
        return String::new();
    }
    // An identity is told by its beginning, as crictl does.
    let is_identity = line.len() > 32 && line.chars().all(|letter| letter.is_ascii_hexdigit());
    if is_identity { line[..13].to_string() } else { line.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterarium::picture::Container;

    fn step(word: &str, detail: &str, container: &str) -> Step {
        Step { step: word.into(), detail: detail.into(), container: container.into(), ..Step::default() }
    }

    #[test]
    fn the_last_stop_that_was_reached_is_the_present_one_until_all_are() {
        let pod = Pod {
            containers: vec![Container {
                name: "web".into(),
                state: "Waiting".into(),
                ..Container::default()
            }],
            ..Pod::default()
        };
        let whole: Vec<Step> = SANDBOX
            .iter()
            .map(|(word, _)| step(word, "x", ""))
            .chain([step("ContainerCreated", "web 1", "web"), step("ContainerStarted", "web 1", "web")])
            .collect();
        for length in 0..=whole.len() {
            let stops = stops(&pod, &whole[..length]);
            assert_eq!(stops.len(), SANDBOX.len() + 1);
            let now = stops.iter().filter(|stop| stop.progress == Progress::Now).count();
            let is_whole = length == whole.len();
            assert_eq!(now, usize::from(length > 0 && !is_whole), "{length}: {stops:?}");
        }
    }

    #[test]
    fn a_new_sandbox_begins_the_line_anew() {
        let story = [step("SandboxReady", "", ""), step("PauseContainerCreated", "", "")];
        let stops = stops(&Pod::default(), &story);
        assert_eq!(stops[0].progress, Progress::Now);
        assert_eq!(stops[8].progress, Progress::ToCome);
    }

    #[test]
    fn the_plugins_configuration_is_told_by_its_name() {
        let json = r#"{"cniVersion":"1.0.0","name":"cni0","type":"bridge","bridge":"cni0"}"#;
        assert_eq!(brief("CniAdd", json), "bridge cni0");
        assert_eq!(brief("SandboxReady", json), "");
        assert_eq!(brief("PauseContainerCreated", &"ab12".repeat(16)), "ab12ab12ab12a");
        assert_eq!(brief("AddressAllocated", "10.244.1.2/24"), "10.244.1.2/24");
    }
}
