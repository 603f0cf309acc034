//! The bar on top: lenses, presentation, theme, and what concerns the session as a whole.

use clusterarium::command::PodNetwork;
use leptos::{html, prelude::*};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::app::Page;
use crate::icons;
use crate::layout::Theme;
use crate::session;
use crate::stage::Lens;
use worker::protocol::Topology;

#[component]
pub fn Header(page: Page) -> impl IntoView {
    let Page { layout, lens, .. } = page;
    let theme_label = move || match layout.theme.get() {
        Theme::Dark => "Light colours",
        Theme::Light => "Dark colours",
    };
    view! {
        <header class="header">
            <h1 class="brand">"Clusterarium"</h1>
            <nav class="lenses" aria-label="Lenses">
                {Lens::ALL.iter().map(|one| view! {
                    <button class="lens" aria-pressed=move || (lens.get() == *one).to_string()
                        on:click=move |_| lens.set(*one)>{one.title()}</button>
                }).collect_view()}
            </nav>
            <div class="header-end">
                <button class="button present" title="Only the stage and its caption (P)"
                    on:click=move |_| layout.presenting.set(true)>"Present"</button>
                <button class="icon-button" aria-label=theme_label title=theme_label
                    on:click=move |_| layout.toggle_theme()>
                    {move || match layout.theme.get() {
                        Theme::Dark => icons::sun().into_any(),
                        Theme::Light => icons::moon().into_any(),
                    }}
                </button>
                <SessionMenu page=page />
            </div>
        </header>
    }
}

#[component]
fn SessionMenu(page: Page) -> impl IntoView {
    let Page { cluster, notices, .. } = page;
    let open = RwSignal::new(false);
    let file = NodeRef::<html::Input>::new();
    let save = move |_| {
        open.set(false);
        session::save(cluster);
    };
    let choose = move |_| {
        open.set(false);
        if let Some(file) = file.get_untracked() {
            file.click();
        }
    };
    let chosen = move |_| {
        let Some(input) = file.get_untracked() else { return };
        let Some(chosen) = input.files().and_then(|files| files.get(0)) else { return };
        spawn_local(async move {
            let text = JsFuture::from(chosen.text()).await.ok().and_then(|text| text.as_string());
            match text {
                Some(text) => session::open_file(cluster, notices, chosen.name(), text),
                None => notices.problem(format!("{} could not be read.", chosen.name())),
            }
            // So that the same file can be chosen again.
            input.set_value("");
        });
    };
    let is_ordering = RwSignal::new(false);
    let renew = move |topology| {
        is_ordering.set(false);
        session::reset(cluster, notices, topology);
    };
    view! {
        <div class="menu" on:keydown=move |event| if event.key() == "Escape" {
            open.set(false);
            is_ordering.set(false);
        }>
            <button class="icon-button" aria-label="Session" title="Session" aria-haspopup="menu"
                aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)>{icons::more()}</button>
            <input type="file" accept=".json,application/json" class="visually-hidden" tabindex="-1" aria-label="Session file"
                node_ref=file on:change=chosen />
            <Show when=move || open.get()>
                <div class="menu-cover" on:click=move |_| open.set(false)></div>
                <ul class="menu-list from-right" role="menu">
                    <li role="none"><button class="menu-item" role="menuitem" on:click=move |_| {
                        open.set(false);
                        is_ordering.set(true);
                    }>
                        "New cluster …"<small>"Starts over; can be undone"</small>
                    </button></li>
                    <li role="none"><button class="menu-item" role="menuitem" on:click=save>
                        "Save the session …"<small>"Seed and commands: the very same run again"</small>
                    </button></li>
                    <li role="none"><button class="menu-item" role="menuitem" on:click=choose>
                        "Open a session …"<small>"From a file saved here"</small>
                    </button></li>
                </ul>
            </Show>
            <Show when=move || is_ordering.get()>
                <div class="menu-cover" on:click=move |_| is_ordering.set(false)></div>
                <OrderForm order=renew />
            </Show>
        </div>
    }
}

/// What a new cluster is to be made of. It begins as the one that a first visit shows.
#[component]
fn OrderForm(order: impl Fn(Topology) + Copy + 'static) -> impl IntoView {
    let topology = RwSignal::new(Topology::default());
    let choice = move |label: &'static str,
                       numbers: &'static [u32],
                       get: fn(&Topology) -> u32,
                       set: fn(&mut Topology, u32)| {
        let options = numbers.iter().map(|number| {
            let is_it = move || get(&topology.get()) == *number;
            view! { <option value=number.to_string() selected=is_it>{*number}</option> }
        });
        view! {
            <label class="field">{label}
                <select on:change=move |event| {
                    let number = event_target_value(&event).parse();
                    topology.update(|topology| set(topology, number.unwrap_or(1)));
                }>{options.collect_view()}</select>
            </label>
        }
    };
    view! {
        <form class="menu-list from-right order" aria-label="New cluster" on:submit=move |event| {
            event.prevent_default();
            order(topology.get_untracked());
        }>
            <p class="menu-heading">"New cluster"</p>
            {choice("Control-plane nodes", &[1, 2, 3], |t| t.control_plane_nodes, |t, n| t.control_plane_nodes = n)}
            {choice("Members of etcd", &[1, 3, 5], |t| t.etcd_members, |t, n| t.etcd_members = n)}
            {choice("Workers", &[1, 2, 3, 4, 5, 6, 8, 10, 20, 50], |t| t.workers, |t, n| t.workers = n)}
            <label class="field">"Pod network"
                <select on:change=move |event| {
                    let network = match event_target_value(&event).as_str() {
                        "Flannel" => PodNetwork::Flannel,
                        "Calico" => PodNetwork::Calico,
                        _ => PodNetwork::Bridge,
                    };
                    topology.update(|topology| topology.network = network);
                }>
                    <option value="">"bridge, with routes"</option>
                    <option value="Flannel">"Flannel: VXLAN"</option>
                    <option value="Calico">"Calico: BGP"</option>
                </select>
            </label>
            <label class="field">"Pods with IPv4 and IPv6"
                <input type="checkbox" on:change=move |_| {
                    topology.update(|topology| topology.dual_stack = !topology.dual_stack);
                } />
            </label>
            <label class="field">"etcd on machines of its own"
                <input type="checkbox" on:change=move |_| {
                    topology.update(|topology| topology.external_etcd = !topology.external_etcd);
                } />
            </label>
            <p class="hint">{move || explain(&topology.get())}</p>
            <button class="button button-primary" type="submit">"Start it"</button>
        </form>
    }
}

/// In a sentence what such a cluster is good for.
fn explain(topology: &Topology) -> &'static str {
    match (topology.control_plane_nodes, topology.etcd_members) {
        (_, 1) => "One member of etcd is its own quorum: when it stops, nothing can be written or read.",
        (1, 3) => "One of three members may fail. The only API server knows all of them.",
        (1, _) => "Two of five members may fail. The only API server knows all of them.",
        _ if topology.external_etcd => {
            "Each API server knows all members of etcd: losing a control-plane node costs no member."
        }
        _ => {
            "Stacked: each API server knows the member beside it alone. Cut one off, and see what its watches still tell."
        }
    }
}
