//! What is kept of a run for the next visit, and what happens to what cannot be read.
//!
//! Picture to hold in mind: a bookmark with the whole story written on its back. Seed and commands are enough to
//! be exactly there again; a bookmark in a foreign hand is put aside with a note, never thrown away.

use leptos::prelude::*;
use worker::protocol::Session;

use crate::cluster::Cluster;
use crate::notices::{Kind, Notices};
use crate::storage;

const NAME: &str = "session";

/// The session of the last visit, or a new one; a stored one that cannot be used is set aside with a notice.
pub fn load(notices: Notices) -> Session {
    let Some(text) = storage::read(NAME) else { return fresh() };
    match Session::read(&text) {
        Ok(session) => session,
        Err(reason) => {
            let key = storage::set_aside(NAME, &text);
            notices.offer(
                Kind::Problem,
                format!("The stored session was set aside (as {key}): {reason}. This is a new cluster."),
                "Download it",
                move || download("clusterarium-session-set-aside.json", &text),
            );
            fresh()
        }
    }
}

/// A cluster as it comes, with a seed of the wall clock's.
pub fn fresh() -> Session {
    Session::new(js_sys::Date::now() as u64, Default::default())
}

/// Keeps `session`; false when the browser has no room for it.
pub fn keep(session: &Session) -> bool {
    storage::write(NAME, &session.write())
}

/// A new cluster takes the place of the present one, which a button brings back.
pub fn reset(cluster: Cluster, notices: Notices) {
    let before = cluster.session.get_untracked();
    cluster.open(fresh());
    match before {
        Some(before) => notices.offer(Kind::Info, "This is a new cluster.", "Undo", move || {
            cluster.open(before.clone());
        }),
        None => notices.info("This is a new cluster."),
    }
}

/// Reads a session that the user chose from a file.
pub fn open_file(cluster: Cluster, notices: Notices, name: &str, text: &str) {
    match Session::read(text) {
        Ok(session) => {
            let before = cluster.session.get_untracked();
            cluster.open(session);
            notices.offer(Kind::Info, format!("Opened {name}."), "Undo", move || {
                if let Some(before) = before.clone() {
                    cluster.open(before);
                }
            });
        }
        Err(reason) => notices.problem(format!("{name} was not opened: {reason}.")),
    }
}

/// Hands the user `text` as a file.
pub fn download(name: &str, text: &str) {
    let attempt = || -> Result<(), wasm_bindgen::JsValue> {
        use wasm_bindgen::JsCast;
        let parts = js_sys::Array::of1(&text.into());
        let blob = web_sys::Blob::new_with_str_sequence(&parts)?;
        let url = web_sys::Url::create_object_url_with_blob(&blob)?;
        let anchor: web_sys::HtmlAnchorElement = document().create_element("a")?.unchecked_into();
        anchor.set_href(&url);
        anchor.set_download(name);
        anchor.click();
        web_sys::Url::revoke_object_url(&url)
    };
    if let Err(error) = attempt() {
        leptos::logging::error!("cannot offer {name}: {error:?}");
    }
}
