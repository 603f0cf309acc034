//! What is kept of a run for the next visit, and what happens to what cannot be read.
//!
//! Picture to hold in mind: a bookmark with the whole story written on its back. Seed and commands are enough to
//! be exactly there again; a bookmark in a foreign hand is put aside with a note, never thrown away.

use leptos::prelude::*;
use worker::protocol::{Kept, Opening, Topology};

use crate::cluster::Cluster;
use crate::notices::{Kind, Notices};
use crate::storage;

const NAME: &str = "session";

/// Opens the session of the last visit, or a new one; a stored one that cannot be used is set aside with a notice.
pub fn resume(cluster: Cluster, notices: Notices) {
    let Some(text) = storage::read(NAME) else { return cluster.open(fresh(Topology::default()), |_| {}) };
    cluster.open(stored(text.clone()), move |outcome| {
        let Err(reason) = outcome else { return };
        let key = storage::set_aside(NAME, &text);
        notices.offer(
            Kind::Problem,
            format!("The stored session was set aside (as {key}): {reason}. This is a new cluster."),
            "Download it",
            move || download("clusterarium-session-set-aside.json", &text),
        );
        cluster.open(fresh(Topology::default()), |_| {});
    });
}

/// A cluster as it comes, with a seed of the wall clock's.
fn fresh(topology: Topology) -> Opening {
    Opening::New { seed: js_sys::Date::now() as u64, topology }
}

fn stored(text: String) -> Opening {
    Opening::Stored { text, without_last: false }
}

/// Keeps `session`; false when the browser has no room for it.
pub fn keep(session: &Kept) -> bool {
    storage::write(NAME, &session.text)
}

/// Hands the present session to the user as a file.
pub fn save(cluster: Cluster) {
    let text = cluster.session.with_untracked(|session| session.as_ref().map(|session| session.text.clone()));
    // One that the worker failed at before it could say anything is still where it was kept.
    if let Some(text) = text.or_else(|| storage::read(NAME)) {
        download("clusterarium-session.json", &text);
    }
}

/// Runs the present session from its beginning, with its last command or without.
pub fn run_again(cluster: Cluster, without_last: bool) {
    if let Some(Kept { text, .. }) = cluster.session.get_untracked() {
        cluster.open(Opening::Stored { text, without_last }, |_| {});
    }
}

/// A new cluster takes the place of the present one, which a button brings back.
pub fn reset(cluster: Cluster, notices: Notices, topology: Topology) {
    let before = cluster.session.get_untracked();
    cluster.open(fresh(topology), move |outcome| match outcome {
        Ok(()) => replaced(cluster, notices, "This is a new cluster.", before),
        Err(reason) => notices.problem(format!("There is no new cluster: {reason}.")),
    });
}

/// Reads a session that the user chose from a file.
pub fn open_file(cluster: Cluster, notices: Notices, name: String, text: String) {
    let before = cluster.session.get_untracked();
    cluster.open(stored(text), move |outcome| match outcome {
        Ok(()) => replaced(cluster, notices, &format!("Opened {name}."), before),
        Err(reason) => notices.problem(format!("{name} was not opened: {reason}.")),
    });
}

/// Tells that another session is shown now, and offers the one before.
fn replaced(cluster: Cluster, notices: Notices, message: &str, before: Option<Kept>) {
    match before {
        Some(Kept { text, .. }) => {
            notices.offer(Kind::Info, message, "Undo", move || cluster.open(stored(text.clone()), |_| {}))
        }
        None => notices.info(message),
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
