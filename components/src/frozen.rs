//! When something has panicked.
//!
//! Picture to hold in mind: the glass has cracked, the film is safe. The cluster stands still, and seed and
//! commands are handed to the user, from which the very same run comes back.

use leptos::prelude::*;
use wasm_bindgen::prelude::*;

use crate::cluster::{Cluster, SILENCE_S, State};
use crate::notices::Notices;
use crate::session;
use crate::storage;
use worker::protocol::Topology;

/// Over the page while the worker is frozen.
#[component]
pub fn Frozen(cluster: Cluster, notices: Notices) -> impl IntoView {
    let without_last = move |_| session::run_again(cluster, true);
    let can_go_back = move || cluster.session.with(|s| s.as_ref().is_some_and(|s| s.commands > 0));
    let message = move || match cluster.state.get() {
        State::Frozen(message) => Some(message),
        _ => None,
    };
    view! {
        <Show when=move || message().is_some()>
            <div class="frozen">
                <section class="dialog" role="alertdialog" aria-labelledby="frozen-title">
                    <h2 id="frozen-title">"The cluster has stopped"</h2>
                    <p>
                        "This is an error of the simulator, not of yours. Nothing is lost: the session's seed and commands \
                         lead to this very point again. Please add the file to a report."
                    </p>
                    <pre>{move || message().unwrap_or_default()}</pre>
                    <div class="dialog-actions">
                        <button class="button button-primary" on:click=move |_| session::save(cluster)>"Download the session"</button>
                        <button class="button" disabled=move || !can_go_back() on:click=without_last>
                            "Go on without the last command"
                        </button>
                        <button class="button" on:click=move |_| session::run_again(cluster, false)>"Run it again"</button>
                        <button class="button" on:click=move |_| session::reset(cluster, notices, Topology::default())>"New cluster"</button>
                    </div>
                </section>
            </div>
        </Show>
        <Show when=move || {
            cluster.state.get() == State::Running && cluster.silent_s.get() >= SILENCE_S
        }>
            <div class="notices" role="status">
                <div class="notice">
                    <p>"The cluster has been busy for " {move || cluster.silent_s.get()} " s. The page goes on meanwhile."</p>
                    <button class="button" on:click=without_last disabled=move || !can_go_back()>
                        "Stop, and undo the last command"
                    </button>
                </div>
            </div>
        </Show>
    }
}

/// A panic of the page's own code, which can draw nothing more: the message is put there by hand.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.to_string();
        leptos::logging::error!("{message}");
        // Failing to show a failure has nobody left to be told.
        let _ = show_panic(&message);
    }));
}

fn show_panic(message: &str) -> Result<(), JsValue> {
    let document = document();
    if document.get_element_by_id("panicked").is_some() {
        return Ok(());
    }
    let element = |name: &str, class: &str, text: &str| -> Result<web_sys::Element, JsValue> {
        let element = document.create_element(name)?;
        element.set_class_name(class);
        element.set_text_content(Some(text));
        Ok(element)
    };
    let cover = element("div", "frozen", "")?;
    cover.set_id("panicked");
    let dialog = element("section", "dialog", "")?;
    dialog.set_attribute("role", "alertdialog")?;
    dialog.append_child(&*element("h2", "", "The page has stopped")?)?;
    dialog.append_child(&*element(
        "p",
        "",
        "This is an error of the page. The session is kept: reload to go on, or download it for a report.",
    )?)?;
    dialog.append_child(&*element("pre", "", message)?)?;
    let actions = element("div", "dialog-actions", "")?;
    let save = element("button", "button button-primary", "Download the session")?;
    let on_save = Closure::<dyn FnMut()>::new(|| {
        session::download("clusterarium-session.json", &storage::read("session").unwrap_or_default());
    });
    save.add_event_listener_with_callback("click", on_save.as_ref().unchecked_ref())?;
    on_save.forget();
    let reload = element("button", "button", "Reload")?;
    reload.set_attribute("onclick", "location.reload()")?;
    actions.append_child(&save)?;
    actions.append_child(&reload)?;
    dialog.append_child(&actions)?;
    cover.append_child(&dialog)?;
    if let Some(body) = document.body() {
        body.append_child(&cover)?;
    }
    Ok(())
}
