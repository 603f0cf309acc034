//! `window.clusterarium`: the door for embedders and for tests.
//!
//! Picture to hold in mind: the same terminal, operated through a hatch. What comes in is a command line, what
//! goes out a promise of what it wrote.

use js_sys::{Object, Promise, Reflect};
use leptos::prelude::window;
use wasm_bindgen::prelude::*;
use worker::protocol::ToWorker;

use crate::cluster::Cluster;

/// Puts the door into the window.
pub fn open(cluster: Cluster) -> Result<(), JsValue> {
    let door = Object::new();
    let exec = Closure::<dyn Fn(String) -> Promise>::new(move |line: String| {
        Promise::new(&mut |resolve, _| {
            cluster.exec(&line, move |completed| {
                let result = Object::new();
                let set = |name: &str, value: JsValue| Reflect::set(&result, &name.into(), &value);
                let is_set = set("stdout", completed.stdout.into()).is_ok()
                    && set("stderr", completed.stderr.into()).is_ok()
                    && set("code", completed.code.into()).is_ok();
                debug_assert!(is_set, "a new object takes every property");
                // A promise's resolver does not throw.
                let _ = resolve.call1(&JsValue::UNDEFINED, &result);
            });
        })
    });
    Reflect::set(&door, &"exec".into(), &exec.into_js_value())?;
    Reflect::set(&door, &"version".into(), &env!("CARGO_PKG_VERSION").into())?;
    // For the test of what a panic leaves.
    let panic = Closure::<dyn Fn()>::new(move || cluster.send(&ToWorker::Panic));
    Reflect::set(&door, &"panic".into(), &panic.into_js_value())?;
    Reflect::set(&window(), &"clusterarium".into(), &door)?;
    Ok(())
}
