//! The page: everything with a DOM.
//!
//! Picture to hold in mind: a workshop around a glass case. The cluster lives in the case (a Web Worker); along
//! the walls stand an editor, a terminal, an inspector, a timeline, and one window in the middle through which
//! to watch. Nobody in the workshop ever waits for the case.
//!
//! - [`app`] the rooms and where they stand; [`layout`] what is folded, how wide, light or dark
//! - [`cluster`] the way to the worker and back; [`protocol`] what is said there
//! - [`session`] what is kept for the next visit; [`storage`] the browser's drawer
//! - [`editor`], [`terminal`], [`stage`], [`timeline`], [`inspector`] the panels
//! - [`view`] the instant, its picture and its messages, for all panels
//! - [`notices`] what the page has to say; [`frozen`] when the cluster has stopped for good
//! - [`door`] `window.clusterarium`, for embedders

pub mod app;
pub mod arithmetic;
pub mod cluster;
pub mod door;
pub mod editor;
pub mod frozen;
pub mod header;
pub mod icons;
pub mod inspector;
pub mod json;
pub mod layout;
pub mod notices;
pub mod session;
pub mod stage;
pub mod storage;
pub mod terminal;
pub mod timeline;
pub mod view;

pub use worker::protocol;

/// Starts the page in the document's body.
pub fn start() {
    frozen::catch_panics();
    if let Some(boot) = leptos::prelude::document().get_element_by_id("boot") {
        boot.remove();
    }
    leptos::mount::mount_to_body(app::App);
}
