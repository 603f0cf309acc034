//! Who sends a packet, and to whom: the questions that the network lens answers.
//!
//! Picture to hold in mind: the form at a post office counter: from, to, and a stamp.

use clusterarium::arrange::Arrange;
use clusterarium::command::Command;
use clusterarium::picture::{HostRole, PacketSource, PacketTarget, Picture};
use leptos::prelude::*;
use worker::protocol::ToWorker;

use crate::stage::Target;
use crate::stage::scene::Packet;
use crate::view::View;

/// A choice of the form, as its text in the document: `pod/default/web`, `node/worker-1`, `outside`,
/// `service/default/web`, or a name or address as it would be typed.
pub fn source(text: &str) -> PacketSource {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        ["pod", namespace, name] => {
            PacketSource::Pod { namespace: namespace.to_string(), name: name.to_string() }
        }
        ["node", name] => PacketSource::Host { name: name.to_string() },
        _ => PacketSource::Outside,
    }
}

pub fn target(text: &str) -> PacketTarget {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        ["pod", namespace, name] => {
            PacketTarget::Pod { namespace: namespace.to_string(), name: name.to_string() }
        }
        ["service", namespace, name] => {
            PacketTarget::Service { namespace: namespace.to_string(), name: name.to_string() }
        }
        ["node", name] => PacketTarget::Host { name: name.to_string() },
        _ => PacketTarget::Name(text.to_string()),
    }
}

/// What can be chosen, with the words that are shown for it.
fn ends(picture: &Picture) -> Vec<(String, String)> {
    let pods = picture.pods.iter().filter(|pod| pod.sandbox.is_some() && !pod.is_mirror);
    let mut pods: Vec<_> = pods.collect();
    // The user's own first.
    pods.arrange_by_key(|pod| (pod.namespace == "kube-system", pod.namespace.clone(), pod.name.clone()));
    let pods = pods.into_iter().map(|pod| {
        let value = format!("pod/{}/{}", pod.namespace, pod.name);
        (value.clone(), value.replacen("pod/default/", "pod ", 1).replacen("pod/", "pod ", 1))
    });
    let nodes = picture.hosts.iter().filter(|host| host.node.is_some());
    let nodes = nodes.map(|host| (format!("node/{}", host.name), format!("node {}", host.name)));
    pods.chain(nodes).collect()
}

/// Pods by their addresses of IPv6, where they have such.
fn second_ends(picture: &Picture) -> impl Iterator<Item = (String, String)> {
    picture.pods.iter().filter_map(|pod| {
        let address = &pod.sandbox.as_ref()?.second_ip;
        (!address.is_empty()).then(|| (address.clone(), format!("pod {}, IPv6", pod.name)))
    })
}

fn services(picture: &Picture) -> Vec<(String, String)> {
    let words = |service: &clusterarium::picture::Service| {
        let name = match service.namespace.as_str() {
            "default" => service.name.clone(),
            namespace => format!("{}.{namespace}", service.name),
        };
        let port = service.ports.first().map_or(String::new(), |port| format!(":{port}"));
        (format!("service/{}/{}", service.namespace, service.name), format!("service {name}{port}"))
    };
    picture.services.iter().map(words).collect()
}

/// Where requests go, as a client at `from` would write it; `None`: from there, or there, none are sent.
fn url(picture: &Picture, from: &str, to: &str) -> Option<String> {
    let is_pod = from.starts_with("pod/");
    let address_of = |wanted: &dyn Fn(&clusterarium::picture::Host) -> bool| {
        Some(picture.hosts.iter().find(|host| host.node.is_some() && wanted(host))?.ip.clone())
    };
    let authority = match target(to) {
        PacketTarget::Host { name } => {
            let port = picture.services.iter().find_map(|service| service.node_port)?;
            format!("{}:{port}", address_of(&|host| host.name == name)?)
        }
        // From outside a service is found by its load balancer, or by its port of a node.
        PacketTarget::Service { namespace, name } if !is_pod && !from.starts_with("node/") => {
            let is_it =
                |one: &&clusterarium::picture::Service| one.namespace == namespace && one.name == name;
            let service = picture.services.iter().find(is_it)?;
            match service.external_ip.as_str() {
                "" => {
                    format!("{}:{}", address_of(&|host| host.role == HostRole::Worker)?, service.node_port?)
                }
                address => format!("{address}:{}", service.ports.first()?),
            }
        }
        PacketTarget::Service { namespace, name } => {
            let is_it =
                |one: &&clusterarium::picture::Service| one.namespace == namespace && one.name == name;
            let service = picture.services.iter().find(is_it)?;
            // A node's resolver knows nothing of services.
            if !is_pod && !service.cluster_ip.contains('.') {
                return None;
            }
            let host = if is_pod { format!("{name}.{namespace}") } else { service.cluster_ip.clone() };
            format!("{host}:{}", service.ports.first()?)
        }
        PacketTarget::Pod { namespace, name } if from != "outside" => {
            let pod = picture.pods.iter().find(|pod| pod.namespace == namespace && pod.name == name)?;
            pod.ip.clone()
        }
        PacketTarget::Name(address) if is_pod => format!("[{address}]"),
        _ => return None,
    };
    Some(format!("http://{authority}/"))
}

/// Requests a second: each over a new connection, or over some that are kept.
const RATES: [(u32, bool); 6] = [(5, false), (20, false), (50, false), (100, false), (20, true), (100, true)];

#[component]
pub fn Controls(view: View) -> impl IntoView {
    let from = RwSignal::new(String::new());
    let to = RwSignal::new(String::new());
    let number = RwSignal::new(0_u32);
    let sources = Memo::new(move |_| {
        view.picture.with(|picture| {
            let mut all = ends(picture);
            all.push(("outside".to_string(), "outside the cluster".to_string()));
            all
        })
    });
    let targets = Memo::new(move |_| {
        view.picture.with(|picture| {
            let mut all = services(picture);
            all.extend(ends(picture));
            all.extend(second_ends(picture));
            all
        })
    });
    // What was chosen may be gone, and at first nothing is chosen: the first of the list then.
    let chosen = move |signal: RwSignal<String>, list: Memo<Vec<(String, String)>>| {
        let wanted = signal.get();
        list.with(|list| {
            let is_there = list.iter().any(|(value, _)| *value == wanted);
            if is_there { Some(wanted) } else { list.first().map(|(value, _)| value.clone()) }
        })
    };
    let ask = move || {
        let (Some(from), Some(to)) = (chosen(from, sources), chosen(to, targets)) else { return };
        view.select(Some(Target::Packet(Packet { from, to, number: number.get_untracked() })));
    };
    // The first packet goes by itself: who opens the lens sees one at once.
    Effect::new(move |was_sent: Option<bool>| {
        let is_ready =
            targets.with(|targets| !targets.is_empty()) && sources.with(|sources| !sources.is_empty());
        let is_sent = was_sent.unwrap_or(false);
        if is_ready && !is_sent {
            untrack(ask);
        }
        is_sent || is_ready
    });
    let choice = move |label: &'static str, signal: RwSignal<String>, list: Memo<Vec<(String, String)>>| {
        view! {
            <label class="packet-choice">
                <span>{label}</span>
                <select prop:value=move || chosen(signal, list).unwrap_or_default()
                    on:change=move |event| {
                        signal.set(event_target_value(&event));
                        untrack(ask);
                    }>
                    <For each=move || list.get() key=|(value, _)| value.clone() let((value, words))>
                        <option value=value.clone() selected={
                            let value = value.clone();
                            move || chosen(signal, list).as_deref() == Some(value.as_str())
                        }>{words}</option>
                    </For>
                </select>
            </label>
        }
    };
    let rate = RwSignal::new(1_usize);
    let host = RwSignal::new(String::new());
    let address = move || {
        let (from, to) = (chosen(from, sources)?, chosen(to, targets)?);
        let url = view.picture.with(|picture| url(picture, &from, &to))?;
        Some((from, url))
    };
    let is_loaded = Memo::new(move |_| {
        let is_running = |load: &clusterarium::picture::Load| load.is_by_command && load.ended.is_empty();
        view.picture.with(|picture| picture.load.as_ref().is_some_and(is_running))
    });
    let has_load = Memo::new(move |_| view.picture.with(|picture| picture.load.is_some()));
    let is_shown = move || !matches!(view.selected.get(), Some(Target::Packet(_)));
    let command = move |command: Command| view.send(ToWorker::Commands(vec![command.into()]));
    let press = move || {
        if is_loaded.get_untracked() {
            return command(Command::StopLoad);
        }
        let Some((source, url)) = untrack(address) else { return };
        let (requests_per_second, keeps_connections) = RATES[rate.get_untracked() % RATES.len()];
        let host = host.get_untracked().trim().to_string();
        command(Command::StartLoad { source, url, host, requests_per_second, keeps_connections });
        view.select(Some(Target::Load));
    };
    view! {
        <form class="packet-controls" aria-label="Packet" on:submit=move |event| {
            event.prevent_default();
            number.update(|number| *number += 1);
            untrack(ask);
        }>
            {choice("from", from, sources)}
            {choice("to", to, targets)}
            <button type="submit" class="button button-primary" title="Another one like it may come to another endpoint">
                "Send another"
            </button>
            <div class="load-controls">
                <label class="packet-choice load-choice">
                    <select aria-label="load" title="Requests a second; kept: over connections that stay with their endpoint"
                        on:change=move |event| rate.set(event_target_value(&event).parse().unwrap_or(1))>
                        {RATES.into_iter().enumerate().map(|(place, (each, is_kept))| view! {
                            <option value=place selected=move || rate.get() == place>
                                {each}{if is_kept { "/s kept" } else { "/s" }}
                            </option>
                        }).collect_view()}
                    </select>
                </label>
                <label class="packet-choice load-choice">
                    <input type="text" size="12" aria-label="Host header of the load" placeholder="Host: …"
                        title="What the load's requests say in the Host header: an Ingress goes by it"
                        on:input=move |event| host.set(event_target_value(&event)) />
                </label>
                <button type="button" class="button load-button" on:click=move |_| press()
                    disabled=move || !is_loaded.get() && address().is_none()
                    title="From a pod, a node or the outside to a service, a pod or a node's port: who answers, and what fails">
                    {move || if is_loaded.get() { "Stop load" } else { "Send load" }}
                </button>
                <Show when=move || has_load.get() && !is_shown()>
                    <button type="button" class="button" on:click=move |_| view.select(Some(Target::Load))>"Show load"</button>
                </Show>
            </div>
        </form>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_back() {
        let pod = |namespace: &str, name: &str| PacketSource::Pod {
            namespace: namespace.into(),
            name: name.into(),
        };
        assert_eq!(source("pod/default/web"), pod("default", "web"));
        assert_eq!(source("node/worker-1"), PacketSource::Host { name: "worker-1".into() });
        assert_eq!(source("outside"), PacketSource::Outside);
        assert_eq!(
            target("service/shop/web"),
            PacketTarget::Service { namespace: "shop".into(), name: "web".into() }
        );
        assert_eq!(target("example.com"), PacketTarget::Name("example.com".into()));
    }
}
