//! Files between the simulated terminal and the user's own machine: a snapshot of etcd is taken home, and brought along
//! to another cluster.
//!
//! Picture to hold in mind: a hatch in the wall. What is taken out stays inside as well; what is handed in is put down in
//! the home directory, as one more command of the session.

use clusterarium::command::Command;
use leptos::{html, prelude::*};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::protocol::{FromWorker, ToWorker};

use crate::cluster::{Cluster, State};
use crate::{icons, session};

/// A file's content becomes part of the session, which has to fit into the browser's storage.
const BYTES_MAXIMUM: f64 = 3e6;

#[component]
pub fn Files(cluster: Cluster) -> impl IntoView {
    let notices = cluster.notices;
    let is_open = RwSignal::new(false);
    let listed = RwSignal::new(Vec::<(String, u64)>::new());
    let input = NodeRef::<html::Input>::new();
    cluster.listen(move |slip| match slip {
        FromWorker::Files(files) => listed.set(files.clone()),
        FromWorker::File { path, content: Some(content) } => {
            session::download(path.rsplit('/').next().unwrap_or(path), content);
        }
        FromWorker::File { path, content: None } => notices.problem(format!("{path} is not there any more.")),
        _ => {}
    });
    let toggle = move |_| {
        is_open.update(|is_open| *is_open = !*is_open);
        cluster.send(&ToWorker::Files);
    };
    let choose = move |_| {
        is_open.set(false);
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    let chosen = move |_| {
        let Some(input) = input.get_untracked() else { return };
        let Some(chosen) = input.files().and_then(|files| files.get(0)) else { return };
        spawn_local(async move {
            let name = chosen.name();
            if chosen.size() > BYTES_MAXIMUM {
                notices.problem(format!("{name} is larger than 3 MB: it would not fit into the session."));
            } else if cluster.state.get_untracked() != State::Running {
                notices.problem("The cluster is not running yet.");
            } else {
                let text = JsFuture::from(chosen.text()).await.ok().and_then(|text| text.as_string());
                match text.filter(|text| !text.contains('\u{fffd}')) {
                    None => notices
                        .problem(format!("{name} is not text in UTF-8: the terminal has no use for it.")),
                    Some(text) => {
                        cluster.command(Command::WriteFile { path: name.clone(), content: Some(text) });
                        notices.info(format!("{name} lies in the terminal's home directory."));
                    }
                }
            }
            // So that the same file can be chosen again.
            input.set_value("");
        });
    };
    view! {
        <div class="menu" on:keydown=move |event| if event.key() == "Escape" { is_open.set(false) }>
            <button class="icon-button" aria-label="Files of the terminal" title="Files of the terminal"
                aria-haspopup="menu" aria-expanded=move || is_open.get().to_string() on:click=toggle>
                {icons::folder()}
            </button>
            <input type="file" class="visually-hidden" tabindex="-1" aria-label="File for the terminal"
                node_ref=input on:change=chosen />
            <Show when=move || is_open.get()>
                <div class="menu-cover" on:click=move |_| is_open.set(false)></div>
                <ul class="menu-list from-right upwards" role="menu">
                    <li role="none"><button class="menu-item" role="menuitem" on:click=choose>
                        "Hand in a file …"<small>"It is put into the home directory"</small>
                    </button></li>
                    <Show when=move || listed.with(Vec::is_empty)>
                        <li class="menu-heading">
                            "Nothing to take home yet: what commands write here, and snapshots of etcd, will be listed"
                        </li>
                    </Show>
                    <For each=move || listed.get() key=|file| file.clone() let(file)>
                        <li role="none"><button class="menu-item" role="menuitem" on:click={
                            let path = file.0.clone();
                            move |_| {
                                is_open.set(false);
                                cluster.send(&ToWorker::ReadFile { path: path.clone() });
                            }
                        }>{file.0.clone()}<small>{length(file.1)}", download"</small></button></li>
                    </For>
                </ul>
            </Show>
        </div>
    }
}

/// `504 kB`.
fn length(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} bytes"),
        _ => format!("{} kB", bytes / 1000),
    }
}
