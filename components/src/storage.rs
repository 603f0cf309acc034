//! The browser's drawer: small texts that outlive a visit.
//!
//! Picture to hold in mind: a drawer that may be locked (private windows) or full. Reading gives nothing then,
//! writing says so, and the page goes on without it.

use leptos::prelude::window;
use web_sys::Storage;

fn drawer() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

/// The text kept under `clusterarium.NAME`.
pub fn read(name: &str) -> Option<String> {
    drawer()?.get_item(&key(name)).ok().flatten()
}

/// Keeps `text`; false when the browser does not let us, or has no room.
pub fn write(name: &str, text: &str) -> bool {
    drawer().is_some_and(|drawer| drawer.set_item(&key(name), text).is_ok())
}

pub fn remove(name: &str) {
    if let Some(drawer) = drawer() {
        // Nothing to remove is as good as removed.
        let _ = drawer.remove_item(&key(name));
    }
}

/// Puts what cannot be used out of the way, under a name of its own, so that it is not lost. Gives that name.
pub fn set_aside(name: &str, text: &str) -> String {
    let mut number = 1;
    let aside = loop {
        let aside = format!("{name}.aside.{number}");
        if read(&aside).is_none() {
            break aside;
        }
        number += 1;
    };
    if write(&aside, text) {
        remove(name);
    }
    key(&aside)
}

fn key(name: &str) -> String {
    format!("clusterarium.{name}")
}
