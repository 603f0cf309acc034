//! `window.clusterarium`: the door for embedders and for tests.
//!
//! Picture to hold in mind: the same terminal, operated through a hatch. What comes in is a command line, what
//! goes out a promise of what it wrote.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Object, Promise, Reflect};
use leptos::prelude::window;
use wasm_bindgen::prelude::*;
use worker::protocol::{FromWorker, ToWorker};

use crate::cluster::Cluster;
use crate::json;

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
    // What the worker's tests of speed came to, for tests/browser/bench.mjs.
    let waiting = Rc::new(RefCell::new(Vec::<Function>::new()));
    let asked = waiting.clone();
    let benchmark = Closure::<dyn Fn() -> Promise>::new(move || {
        Promise::new(&mut |resolve, _| {
            asked.borrow_mut().push(resolve);
            cluster.send(&ToWorker::Benchmark);
        })
    });
    Reflect::set(&door, &"benchmark".into(), &benchmark.into_js_value())?;
    cluster.listen(move |slip| {
        if let FromWorker::Benchmark(benchmark) = slip {
            let result = json::object([
                ("boot_ms", benchmark.boot_ms.into()),
                ("pods_ms", benchmark.pods_ms.into()),
                ("events", (benchmark.events as f64).into()),
                ("is_complete", benchmark.is_complete.into()),
                ("seek_ms", benchmark.seek_ms.into()),
                ("longest_seek_ms", benchmark.longest_seek_ms.into()),
                ("memory_bytes", (benchmark.memory_bytes as f64).into()),
                ("requests_per_s", benchmark.requests_per_s.into()),
                ("watch_events_per_s", benchmark.watch_events_per_s.into()),
            ]);
            for resolve in waiting.take() {
                // A promise's resolver does not throw.
                let _ = resolve.call1(&JsValue::UNDEFINED, &result);
            }
        }
    });
    // For the test of what a panic leaves.
    let panic = Closure::<dyn Fn()>::new(move || cluster.send(&ToWorker::Panic));
    Reflect::set(&door, &"panic".into(), &panic.into_js_value())?;
    Reflect::set(&window(), &"clusterarium".into(), &door)?;
    Ok(())
}
