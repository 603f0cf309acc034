//! Packets through a whole cluster: scripts with transcripts.
//!
//! Picture to hold in mind: letters with a known address are handed in at many doors, and the stamps that they come
//! back with are compared with the ones in the album.
//!
//! A script in `tests/network` sets a cluster up and sends packets: `$ ` is a line for the terminal, `% ` one whose
//! output is compared, `@ ` (first) the cluster's pod network (`dual`: of both families), `+ ` one of a manifest that the next line may apply, `! ` a fault, `~ ` seconds that pass, `> ` a
//! packet, as `FROM -> TO [PORT] [PROTOCOL]`, `* ` what became of the requests of a load since the last such line. What follows a packet is its transcript; `REWRITE=1 cargo test --test packets`
//! writes it anew. Addresses are shown by whose they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clusterarium::api::{Value, meta};
use clusterarium::cluster::Cluster;
use clusterarium::command::{Command, PodNetwork, Scenario};
use clusterarium::console::{Console, Output};
use clusterarium::network::packet::Protocol;
use clusterarium::network::trace::Question;
use clusterarium::picture::{
    Envelope, Hop, HopStage, HopVerdict, PacketSource, PacketTarget, PacketTrace, PacketVerdict, build,
    trace_packet,
};
use clusterarium::playback::Playback;
use clusterarium::sim::{Duration, History};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network")
}

struct Album {
    console: Console,
    manifest: String,
    /// Address to whose it is.
    names: BTreeMap<String, String>,
    /// The same of everybody who ever had one.
    former: BTreeMap<String, String>,
    /// What was counted of the load when it was last asked for.
    counted: BTreeMap<String, u64>,
}

impl Album {
    fn open() -> Album {
        Album::of(PodNetwork::Bridge, false)
    }
    fn of(network: PodNetwork, dual_stack: bool) -> Album {
        let mut console = Console::boot(7, Scenario { network, dual_stack, ..Scenario::default() });
        assert!(console.settle(|_| {}), "the cluster does not come up");
        for name in [
            "kube-router.yaml",
            "kube-flannel.yaml",
            "calico.yaml",
            "cloud-controller-manager.yaml",
            "ingress-nginx.yaml",
        ] {
            let add_on = folder().join("../../public/examples").join(name);
            console.write_file(name, &fs::read_to_string(add_on).unwrap());
        }
        Album {
            console,
            manifest: String::new(),
            names: BTreeMap::new(),
            former: BTreeMap::new(),
            counted: BTreeMap::new(),
        }
    }

    fn exec(&mut self, line: &str) {
        let mut said = String::new();
        let code =
            self.console.exec(line, "", Duration::from_secs(600), |output| said += &format!("{output:?}\n"));
        assert_eq!(code, Some(0), "{line}\n{said}");
    }

    /// What became of the requests of the load that began last, since it was last asked for: whether they were answered, the
    /// client's words for what failed, and where they came to. How many it were is a matter of chance.
    fn load(&mut self) -> Vec<String> {
        let Some((_, load)) = self.console.history.world().loads().last() else {
            return vec!["  there is none".into()];
        };
        let mut counts = BTreeMap::new();
        counts.insert("0 answered".to_string(), load.answered);
        counts.insert("1 failed".to_string(), load.failed);
        for (words, count) in &load.errors {
            counts.insert(format!("2 {words}"), *count);
        }
        for endpoint in &load.endpoints {
            let address = endpoint.address.to_string();
            let name = self.former.get(&address).unwrap_or(&address);
            // Of a Deployment's pods the template counts.
            let name = name
                .rsplit_once('-')
                .map_or(name.as_str(), |(template, suffix)| if suffix.len() == 5 { template } else { name });
            *counts.entry(format!("3 {name} answers")).or_default() += endpoint.answered;
            *counts.entry(format!("3 {name} fails")).or_default() += endpoint.failed;
        }
        let news = |what: &str| {
            let now = counts.get(what).copied().unwrap_or(0);
            now - self.counted.get(what).copied().unwrap_or(0).min(now)
        };
        let mut lines = vec![match (news("0 answered"), news("1 failed")) {
            (0, 0) => "  nothing was sent".to_string(),
            (_, 0) => "  all are answered".to_string(),
            (0, _) => "  all fail".to_string(),
            _ => "  some are answered, some fail".to_string(),
        }];
        for what in counts.keys().filter(|what| what.starts_with(['2', '3']) && news(what) > 0) {
            lines.push(format!("  {}", &what[2..]));
        }
        if let Some((_, why)) = &load.ended {
            lines.push(format!("  over: {why}"));
        }
        self.counted = counts;
        lines
    }

    fn learn_names(&mut self) {
        self.names.clear();
        let mut learn = |address: &str, name: String| {
            if !address.is_empty() && address != "None" {
                self.names.insert(address.to_string(), name);
            }
        };
        for machine in self.console.history.world().machines() {
            learn(&machine.ip, machine.name.clone());
        }
        for number in 0..8 {
            learn(&format!("10.244.{number}.1"), format!("cni0.{number}"));
        }
        for pod in self.console.objects("/registry/pods/") {
            if !pod.is_true("spec.hostNetwork") {
                learn(pod.text("status.podIP"), meta::name(&pod).to_string());
                if let [_, second] = pod.items("status.podIPs") {
                    learn(second.text("ip"), format!("{}6", meta::name(&pod)));
                }
            }
        }
        for service in self.console.objects("/registry/services/specs/") {
            learn(service.text("spec.clusterIP"), format!("{}'s address", meta::name(&service)));
        }
        self.former.extend(self.names.clone());
    }

    fn question(&self, line: &str) -> Question {
        let (from, rest) = line.split_once(" -> ").unwrap_or_else(|| panic!("{line}"));
        let mut words = rest.split(' ');
        let namespaced = |text: &str| {
            let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
            (namespace.to_string(), name.to_string())
        };
        let from = match from.split_once(' ') {
            Some(("pod", pod)) => {
                let (namespace, name) = namespaced(pod);
                PacketSource::Pod { namespace, name }
            }
            Some(("host", name)) => PacketSource::Host { name: name.into() },
            _ => PacketSource::Outside,
        };
        let to = match (words.next(), words.next()) {
            (Some("pod"), Some(pod)) => {
                let (namespace, name) = namespaced(pod);
                PacketTarget::Pod { namespace, name }
            }
            (Some("service"), Some(service)) => {
                let (namespace, name) = namespaced(service);
                PacketTarget::Service { namespace, name }
            }
            (Some("host"), Some(name)) => PacketTarget::Host { name: name.into() },
            (Some("name"), Some(name)) => {
                let known = self.names.iter().find(|(_, owner)| *owner == name).map(|(address, _)| address);
                PacketTarget::Name(known.cloned().unwrap_or(name.into()))
            }
            other => panic!("{line}: {other:?}"),
        };
        let port = words.next().and_then(|port| port.parse().ok()).unwrap_or(0);
        let protocol = words.next().and_then(Protocol::parse).unwrap_or(Protocol::Tcp);
        Question { from, to, port, protocol, number: 1 }
    }

    fn named(&self, text: &str) -> String {
        let mut text = text.to_string();
        // The longest first, or 10.244.1.2 would be found in 10.244.1.23.
        let mut names: Vec<(&String, &String)> = self.names.iter().collect();
        names.sort_by_key(|(address, _)| std::cmp::Reverse(address.len()));
        for (address, name) in names {
            let mut rest = text.as_str();
            let mut out = String::new();
            while let Some(at) = rest.find(address.as_str()) {
                let before = rest[..at].chars().last().or(out.chars().last());
                let after = rest[at + address.len()..].chars().next();
                let is_whole = !before.is_some_and(|c| c.is_ascii_digit() || c == '.')
                    && !after.is_some_and(|c| c.is_ascii_digit());
                out += &rest[..at];
                out += if is_whole { name } else { address };
                rest = &rest[at + address.len()..];
            }
            text = out + rest;
        }
        text
    }

    fn envelope(&self, envelope: &Envelope) -> String {
        let side = |address: &str, port: u16| {
            let name = self.named(address);
            match port {
                0 => name,
                // Clients' ports say nothing.
                1024..
                    if !(30_000..32_768).contains(&port) && port != 6443 && port != 8080 && port != 10250 =>
                {
                    name
                }
                port => format!("{name}:{port}"),
            }
        };
        let to = side(&envelope.destination, envelope.destination_port);
        format!("{} > {to}", side(&envelope.source, envelope.source_port))
    }

    fn hop(&self, hop: &Hop) -> String {
        let place = match (hop.place.node.as_str(), hop.place.pod.as_str()) {
            ("", _) => "outside".to_string(),
            (node, "") => node.to_string(),
            (_, pod) => pod.to_string(),
        };
        let mut chains: Vec<String> = Vec::new();
        for rule in &hop.rules {
            let mut words = rule.split(' ');
            let chain = match (words.next(), words.next()) {
                (Some("-A"), Some(chain)) => chain.to_string(),
                _ => self.named(rule),
            };
            // An endpoint's chain is named after its address, a doorman's after the time; his is told from his comments.
            let chain = match ["KUBE-SEP", "KUBE-POD-FW"].into_iter().find(|prefix| chain.starts_with(prefix))
            {
                Some(prefix) => prefix.to_string(),
                None => match rule
                    .split('"')
                    .nth(1)
                    .filter(|_| chain.starts_with("KUBE-NWPLCY-") && chain.len() == 28)
                {
                    Some(comment) => format!("KUBE-NWPLCY ({comment})"),
                    None => chain,
                },
            };
            if chains.last() != Some(&chain) {
                chains.push(chain);
            }
        }
        let mut line = format!("  {place}: {}", hop.title);
        if !hop.outer.is_empty() {
            line += &format!(" ({})", self.named(&hop.outer));
        }
        if !chains.is_empty() {
            line += &format!(" [{}]", chains.join(" "));
        }
        if hop.verdict == HopVerdict::Translated {
            line += &format!(" {} => {}", self.envelope(&hop.before), self.envelope(&hop.after));
        } else if hop.verdict != HopVerdict::Passes {
            line += &format!(" {:?}", hop.verdict);
        }
        line
    }

    fn transcript(&self, trace: &PacketTrace) -> Vec<String> {
        let mut lines = Vec::new();
        for lookup in &trace.lookups {
            let answer = self.named(&lookup.answer);
            lines.push(format!("  {} @{}: {answer}", lookup.name, self.named(&lookup.server)));
        }
        lines.extend(trace.there.iter().map(|hop| self.hop(hop)));
        if !trace.back.is_empty() {
            lines.push("  back".into());
            lines.extend(trace.back.iter().map(|hop| self.hop(hop)));
        }
        lines.push(format!("{:?}: {}", trace.verdict, self.named(&trace.explanation)));
        if !trace.remedy.is_empty() {
            lines.push(format!("Remedy: {}", self.named(&trace.remedy)));
        }
        lines
    }

    /// What a line prints, and its exit code where it is not 0.
    fn said(&mut self, line: &str) -> Vec<String> {
        let mut said = String::new();
        let code = self.console.exec(line, "", Duration::from_secs(600), |output| match output {
            Output::Stdout(text) | Output::Stderr(text) => said += &text,
            Output::Audit(_) => {}
        });
        let mut lines: Vec<String> =
            said.lines().map(|line| format!("  | {}", self.named(line).trim_end())).collect();
        if code != Some(0) {
            lines.push(format!("  = {code:?}"));
        }
        lines
    }

    /// Reads a script, and writes it again with the transcripts that came of it.
    fn play(&mut self, script: &str) -> String {
        let mut out: Vec<String> = Vec::new();
        for line in script.lines() {
            let (kind, rest) = line.split_at_checked(2).unwrap_or((line, ""));
            match kind {
                "+ " | "+" => {
                    self.manifest += rest;
                    self.manifest.push('\n');
                }
                "$ " => {
                    if !self.manifest.is_empty() {
                        self.console.write_file("manifest.yaml", &std::mem::take(&mut self.manifest));
                    }
                    self.exec(rest);
                }
                "~ " => {
                    let time = Duration::from_secs(rest.parse().unwrap());
                    self.console.pass(time, &mut |_| {});
                }
                "% " => {
                    self.learn_names();
                    out.push(line.to_string());
                    out.extend(self.said(rest));
                    continue;
                }
                "! " => {
                    let command = fault(rest);
                    if matches!(command, Command::StartLoad { .. }) {
                        self.counted.clear();
                    }
                    let refusal = clusterarium::cluster::refusal(self.console.history.engine(), &command);
                    assert_eq!(refusal, None, "{rest}");
                    self.console.history.command(command);
                }
                "* " | "*" => {
                    self.learn_names();
                    out.push(line.to_string());
                    out.extend(self.load());
                    continue;
                }
                "> " => {
                    self.learn_names();
                    let trace = trace_packet(&self.console.history, &self.question(rest));
                    judge(&trace, rest);
                    out.push(line.to_string());
                    out.extend(self.transcript(&trace));
                    continue;
                }
                "@ " | "# " | "#" | "" => {}
                // A transcript of before.
                _ => continue,
            }
            out.push(line.to_string());
        }
        out.join("\n") + "\n"
    }
}

fn fault(line: &str) -> Command {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["cut", a, b] => Command::CutLink { a: (*a).into(), b: (*b).into() },
        ["join", a, b] => Command::JoinLink { a: (*a).into(), b: (*b).into() },
        ["stop", process] => Command::StopProcess { process: (*process).into() },
        ["start", process] => Command::StartProcess { process: (*process).into() },
        ["off", host] => Command::StopHost { host: (*host).into() },
        ["on", host] => Command::StartHost { host: (*host).into() },
        ["load", source, url, rate, rest @ ..] => Command::StartLoad {
            source: (*source).into(),
            url: (*url).into(),
            host: rest.iter().find_map(|word| word.strip_prefix("host=")).unwrap_or("").into(),
            requests_per_second: rate.parse().unwrap(),
            keeps_connections: rest.contains(&"kept"),
        },
        ["unload"] => Command::StopLoad,
        ["add", name] => Command::AddNode { name: (*name).into() },
        ["kill", pod, container] => {
            let (namespace, pod) = pod.split_once('/').unwrap();
            Command::KillContainer {
                namespace: namespace.into(),
                pod: pod.into(),
                container: (*container).into(),
            }
        }
        _ => panic!("{line}"),
    }
}

/// What holds for every packet, whatever the script says of it.
fn judge(trace: &PacketTrace, line: &str) {
    let (there, back) = (&trace.there, &trace.back);
    for pair in there.windows(2).chain(back.windows(2)) {
        let (one, next) = (&pair[0].after, &pair[1].before);
        let addresses = |of: &Envelope| (of.source.clone(), of.destination.clone(), of.destination_port);
        assert_eq!(addresses(one), addresses(next), "{line}: something changed between two hops");
    }
    if trace.verdict == PacketVerdict::Answered {
        assert!(trace.remedy.is_empty(), "{line}");
        let (Some(first), Some(last)) = (there.first(), back.last()) else { panic!("{line}") };
        let (asked, answered) = (&first.before, &last.after);
        assert_eq!(
            (&asked.source, asked.source_port),
            (&answered.destination, answered.destination_port),
            "{line}"
        );
        assert_eq!(
            (&asked.destination, asked.destination_port),
            (&answered.source, answered.source_port),
            "{line}"
        );
    } else {
        assert!(!trace.explanation.is_empty() && !trace.remedy.is_empty(), "{line}: {trace:?}");
    }
}

#[test]
fn packets_leave_the_stamps_of_the_album() {
    let packets = play_all("packets");
    assert!(packets >= 40, "only {packets} packets");
}

/// `curl`, `wget`, `nc`, `ping` in containers go by the rules that `iptables-save` shows.
#[test]
fn programs_talk_by_the_same_rules() {
    play_all("tools");
}

/// What a load meets: rolling updates, lost nodes, failing probes, names that nobody resolves.
#[test]
fn loads_are_counted() {
    play_all("loads");
}

/// A load stands in the log like any command: what it counted is counted again, and idle time is hurried through.
#[test]
fn a_load_is_played_again_as_it_was_and_holds_nothing_up() {
    let mut album = Album::open();
    album.exec("kubectl create deployment web --image=nginx --replicas=3");
    album.exec("kubectl expose deployment web --port=80");
    album.exec("kubectl run client --image=busybox -- sleep infinity");
    album.exec("kubectl wait --for=condition=Ready pod/client --timeout=60s");
    album.exec("kubectl rollout status deployment web");
    album.console.pass(Duration::from_secs(5), &mut |_| {});
    let history = &mut album.console.history;
    for line in [
        "load pod/default/nobody http://web 20",
        "load pod/default/client http:// 20",
        "load node/x http://web 5",
    ]
    .into_iter()
    .chain([
        "load pod/default/client http://web 0",
        "load pod/default/client http://web 101",
        "load x http://web 5",
        "unload",
    ]) {
        assert!(clusterarium::cluster::refusal(history.engine(), &fault(line)).is_some(), "{line}");
    }
    let begun = history.now();
    history.command(fault("load pod/default/client http://web 100"));
    history.run_until(begun + Duration::from_secs(30));
    let counted = |history: &History<Cluster>| {
        let (_, load) = history.world().loads().last().unwrap();
        (load.answered, load.failed, history.engine().hash())
    };
    let (first, now) = (counted(history), history.now());
    assert!(first.0 > 2900 && first.1 == 0, "{first:?}");
    history.seek(begun + Duration::from_secs(10));
    assert!(counted(history).0 < 1100);
    history.seek(now);
    assert_eq!(counted(history), first);
    // As fast as without it, but for the part that a call handles at most.
    let passed = |history: &mut History<Cluster>| {
        let from = history.now();
        let mut playback = Playback::default();
        playback.moved(history);
        for _ in 0..50 {
            playback.advance(history, Duration::from_millis(100));
        }
        history.now().since(from)
    };
    let with = passed(history);
    history.command(fault("unload"));
    let without = passed(history);
    assert!(with.0 > without.0 / 2, "{with:?} instead of {without:?}");
    // What the page is shown of it.
    let load = build(history).load.expect("a load");
    assert_eq!((load.endpoints.len(), load.seconds.len().min(30), load.target.as_str()), (3, 30, "web:80"));
    assert!(!load.ended.is_empty() && load.failed == 0, "{load:?}");
}

/// Plays every script of a folder; how many packets there were.
fn play_all(name: &str) -> usize {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut packets = 0;
    let mut wrong = Vec::new();
    for file in &files {
        let script = fs::read_to_string(file).unwrap();
        let head = script.lines().next().and_then(|line| line.strip_prefix("@ ")).unwrap_or("");
        let network = match head.split(' ').next() {
            Some("Flannel") => PodNetwork::Flannel,
            Some("Calico") => PodNetwork::Calico,
            _ => PodNetwork::Bridge,
        };
        let played = Album::of(network, head.ends_with(" dual")).play(&script);
        packets += played.lines().filter(|line| line.starts_with("> ")).count();
        if std::env::var_os("REWRITE").is_some() {
            fs::write(file, &played).unwrap();
        } else if played != script {
            let differs = |(a, b): &(&str, &str)| a != b;
            let pair = script.lines().zip(played.lines()).find(differs);
            wrong.push(format!("{}: {pair:?}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    packets
}

/// Laws on a cluster with many pods: no NAT between pods, only ready endpoints, an address for each, an even spread.
#[test]
fn laws_of_the_pod_network() {
    for network in [PodNetwork::Bridge, PodNetwork::Flannel, PodNetwork::Calico] {
        laws_of(network);
    }
}

fn laws_of(network: PodNetwork) {
    let mut album = Album::of(network, true);
    album.console.write_file("manifest.yaml", include_str!("network/laws.yaml"));
    album.exec("kubectl apply -f manifest.yaml");
    album.exec("kubectl rollout status deployment/web");
    album.console.pass(Duration::from_secs(5), &mut |_| {});
    let history = &album.console.history;
    let ask = |from: PacketSource, to: PacketTarget, port: u16, number: u32| {
        trace_packet(history, &Question { from, to, port, protocol: Protocol::Tcp, number })
    };
    let pods: Vec<Value> = album
        .console
        .objects("/registry/pods/")
        .into_iter()
        .filter(|pod| !pod.is_true("spec.hostNetwork") && !pod.text("status.podIP").is_empty())
        .collect();
    let mut seen = BTreeMap::new();
    for pod in &pods {
        let other = seen.insert(pod.text("status.podIP").to_string(), meta::name(pod).to_string());
        assert_eq!(other, None, "{} shares its address", meta::name(pod));
    }
    let name_of = |pod: &Value| (meta::namespace(pod).to_string(), meta::name(pod).to_string());
    let web: Vec<&Value> = pods.iter().filter(|pod| meta::label(pod, "app") == Some("web")).collect();
    assert!(web.len() >= 8);
    for from in &pods {
        for to in &web {
            let ((namespace, name), (to_namespace, to_name)) = (name_of(from), name_of(to));
            let from = PacketSource::Pod { namespace, name };
            let mut targets = vec![PacketTarget::Pod { namespace: to_namespace, name: to_name }];
            let [_, second] = to.items("status.podIPs") else { panic!("{to} has no second address") };
            targets.push(PacketTarget::Name(second.text("ip").into()));
            for target in targets {
                let trace = ask(from.clone(), target, 80, 0);
                assert_eq!(trace.verdict, PacketVerdict::Answered, "{trace:#?}");
                let is_translated = |hop: &&Hop| hop.verdict == HopVerdict::Translated;
                let nat = trace.there.iter().chain(&trace.back).find(is_translated);
                assert_eq!(nat, None, "NAT between pods: {}", trace.question);
            }
        }
    }
    // A service's connections end at ready endpoints only, and at each about as often.
    let ready: BTreeMap<String, u32> = web
        .iter()
        .filter(|pod| meta::is_condition_true(pod, "Ready"))
        .map(|pod| (pod.text("status.podIP").to_string(), 0))
        .collect();
    let unready = web.len() - ready.len();
    assert!(unready >= 1, "the manifest has a pod that never becomes ready");
    let mut counts = ready.clone();
    let packets = 1200;
    for number in 0..packets {
        let from = PacketSource::Pod { namespace: "default".into(), name: "client".into() };
        let to = PacketTarget::Service { namespace: "default".into(), name: "web".into() };
        let trace = ask(from, to, 0, number);
        assert_eq!(trace.verdict, PacketVerdict::Answered, "{trace:#?}");
        let end = trace.there.last().map(|hop| hop.after.destination.clone()).unwrap_or_default();
        *counts.get_mut(&end).unwrap_or_else(|| panic!("{end} is not ready")) += 1;
    }
    let share = packets / counts.len() as u32;
    for (address, count) in counts {
        let off = count.abs_diff(share);
        assert!(off * off < 16 * share, "{address}: {count} of {packets}, not {share}");
    }
}

/// Of a packet of a table: how it ended, whose addresses it had where it arrived, and by what way it went.
fn outcome(album: &Album, trace: &PacketTrace, line: &str) -> String {
    let mut text = format!("{:?}", trace.verdict);
    let arrived = trace.there.last().filter(|hop| hop.stage == HopStage::Receive);
    let (source, destination) = match arrived {
        Some(Hop { after, .. }) => {
            let colon = match after.destination_port {
                0 => String::new(),
                port => format!(":{port}"),
            };
            (album.named(&after.source), album.named(&after.destination) + &colon)
        }
        None => Default::default(),
    };
    // Of several endpoints each mode throws its own dice.
    if line.contains("service web") || line.contains("kube-dns") {
        return format!("{text} {}", destination.split(['-', ':']).next().unwrap_or(""));
    }
    if arrived.is_some() {
        text += &format!(" {source} > {destination}");
    }
    let mut way: Vec<&str> = Vec::new();
    for hop in &trace.there {
        let place = [&hop.place.pod, &hop.place.node].into_iter().find(|name| !name.is_empty());
        let place = place.map_or("outside", |name| name.as_str());
        if way.last() != Some(&place) {
            way.push(place);
        }
    }
    format!("{text} by {}", way.join(" "))
}

const DIFFERENT: &str = "# The modes differ.";

/// Plays a table in each mode of kube-proxy, and writes it again with what came of it; how many packets there were.
/// Where the modes differ before the part that says so, that is wrong.
fn play_table(script: &str, wrong: &mut Vec<String>) -> (String, usize) {
    let (once, rest) = script.split_once("====\n").unwrap();
    let lines: Vec<&str> = rest.lines().filter(|line| !line.starts_with("  ")).collect();
    let agreed = lines.iter().position(|line| *line == DIFFERENT).unwrap_or(lines.len());
    let mut album = Album::open();
    let mut out = album.play(once) + "====\n";
    let mut found: Vec<Vec<(&str, String)>> = vec![Vec::new(); lines.len()];
    for mode in ["iptables", "nftables", "ipvs"] {
        let change = format!("sed 's/ mode: .*/ mode: {mode}/'");
        album.exec(&format!(
            "kubectl -n kube-system get configmap kube-proxy -o yaml | {change} | kubectl apply -f -"
        ));
        album.exec("kubectl -n kube-system rollout restart daemonset kube-proxy");
        album.exec("kubectl -n kube-system rollout status daemonset kube-proxy");
        album.console.pass(Duration::from_secs(5), &mut |_| {});
        album.learn_names();
        for (line, found) in lines.iter().zip(&mut found) {
            let Some(packet) = line.strip_prefix("> ") else {
                album.play(line);
                continue;
            };
            let trace = trace_packet(&album.console.history, &album.question(packet));
            judge(&trace, packet);
            let outcome = outcome(&album, &trace, packet);
            if found.first().is_none_or(|(_, first)| *first != outcome) {
                found.push((mode, outcome));
            }
        }
    }
    let mut packets = 0;
    for (number, (line, found)) in lines.iter().zip(found).enumerate() {
        out += &format!("{line}\n");
        packets += usize::from(line.starts_with("> "));
        for (mode, outcome) in &found {
            out += &if *mode == "iptables" {
                format!("  {outcome}\n")
            } else {
                format!("  {mode}: {outcome}\n")
            };
        }
        if found.len() > 1 && number < agreed {
            wrong.push(format!("{line}: {found:?}"));
        }
    }
    (out, packets)
}

/// Every packet of the tables in each mode of kube-proxy: but for those of a table's last part the modes agree.
#[test]
fn the_modes_of_kube_proxy_agree() {
    let (mut packets, mut wrong) = (0, Vec::new());
    for name in ["tables/services.txt", "tables/policies.txt"] {
        let path = folder().join(name);
        let script = fs::read_to_string(&path).unwrap();
        let (played, count) = play_table(&script, &mut wrong);
        packets += count;
        if std::env::var_os("REWRITE").is_some() {
            fs::write(&path, &played).unwrap();
        } else if let Some(pair) = script.lines().zip(played.lines()).find(|(a, b)| a != b) {
            wrong.push(format!("{name}: {pair:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(packets >= 200, "only {packets} packets");
}
