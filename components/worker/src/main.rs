//! Ties the clerk to the browser's worker: the port, the clock, and what happens when the code panics.
//!
//! Picture to hold in mind: the slot in the glass. Slips come in as bytes and go out as bytes; in between the
//! clock is read and handed in as an argument, for behind the counter there is none.

#[cfg(target_arch = "wasm32")]
use memory as _;

#[cfg(target_arch = "wasm32")]
mod browser {
    use std::cell::RefCell;

    use clusterarium::arrange::Arrange;
    use clusterarium::benchmark;
    use wasm_bindgen::prelude::*;
    use worker::protocol::{Benchmark, FromWorker, ToWorker, decode, encode};
    use worker::run_in::RunIn;
    use worker::session::Clerk;

    /// Wall time between two looks at the clock, in milliseconds: about a frame.
    const TICK_MS: i32 = 16;
    /// A pause of the whole tab (a closed lid) is not caught up with.
    const LONGEST_TICK_US: f64 = 250_000.0;
    /// Of each tick, in milliseconds, as much may go to running in, the clerk's own work included.
    const RUN_IN_MS: f64 = 10.0;

    thread_local! {
        static CLERK: RefCell<Clerk> = RefCell::new(Clerk::default());
    }

    fn scope() -> web_sys::DedicatedWorkerGlobalScope {
        js_sys::global().unchecked_into()
    }

    fn post(slips: &[FromWorker]) {
        for slip in slips {
            // A port that cannot take bytes is a page that is gone.
            let _ = scope().post_message(&js_sys::Uint8Array::from(encode(slip).as_slice()));
        }
    }

    fn now_ms() -> f64 {
        scope().performance().map_or(0.0, |performance| performance.now())
    }

    fn wasm_memory_bytes() -> u64 {
        const PAGE_BYTES: u64 = 65_536;
        core::arch::wasm32::memory_size::<0>() as u64 * PAGE_BYTES
    }

    fn measure() -> Benchmark {
        const SEEKS: u64 = 20;
        let start = now_ms();
        benchmark::ready_cluster(1, 3);
        let boot_ms = now_ms() - start;
        let mut history = benchmark::ready_cluster(1, 10);
        let start = now_ms();
        let drive = benchmark::pods(&mut history, 1000);
        let pods_ms = now_ms() - start;
        let mut seeks_ms: Vec<f64> = (0..SEEKS)
            .map(|number| {
                let start = now_ms();
                history.seek(benchmark::instant(&history, number, SEEKS));
                now_ms() - start
            })
            .collect();
        seeks_ms.arrange_by(f64::total_cmp);
        let memory_bytes = wasm_memory_bytes();
        drop(history);
        let rate = |count: usize, watchers: usize| {
            let mut history = benchmark::ready_cluster(1, 1);
            benchmark::watchers(&mut history, watchers);
            let start = now_ms();
            benchmark::config_maps(&mut history, count);
            (count * watchers.max(1)) as f64 * 1000.0 / (now_ms() - start)
        };
        let requests_per_s = rate(2000, 0);
        let watch_events_per_s = rate(100, 1000);
        Benchmark {
            memory_bytes,
            requests_per_s,
            watch_events_per_s,
            boot_ms,
            pods_ms,
            events: drive.events,
            is_complete: drive.is_complete,
            seek_ms: seeks_ms[seeks_ms.len() / 2],
            longest_seek_ms: seeks_ms[seeks_ms.len() - 1],
        }
    }

    pub fn run() {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.to_string();
            web_sys::console::error_1(&message.as_str().into());
            post(&[FromWorker::Panicked { message }]);
        }));
        let on_message = Closure::<dyn FnMut(_)>::new(|event: web_sys::MessageEvent| {
            let mut out = Vec::new();
            let bytes = event.data().dyn_into::<js_sys::Uint8Array>().map(|bytes| bytes.to_vec());
            match bytes.map_err(|_| "not bytes".to_string()).and_then(|bytes| decode(&bytes)) {
                Ok(ToWorker::Benchmark) => out.push(FromWorker::Benchmark(measure())),
                Ok(slip) => CLERK.with_borrow_mut(|clerk| clerk.receive(slip, &mut out)),
                Err(message) => out.push(FromWorker::Failed { message }),
            }
            post(&out);
        });
        scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        on_message.forget();

        let (mut last_ms, mut run_in) = (now_ms(), RunIn::default());
        let on_tick = Closure::<dyn FnMut()>::new(move || {
            let elapsed_us = ((now_ms() - last_ms) * 1000.0).clamp(0.0, LONGEST_TICK_US);
            last_ms = now_ms();
            let mut out = Vec::new();
            CLERK.with_borrow_mut(|clerk| clerk.tick(elapsed_us as u64, &mut out));
            post(&out);
            let is_open = CLERK.with_borrow(Clerk::is_open);
            while now_ms() - last_ms < RUN_IN_MS && run_in.go_on(is_open) {}
        });
        let started = scope().set_interval_with_callback_and_timeout_and_arguments_0(
            on_tick.as_ref().unchecked_ref(),
            TICK_MS,
        );
        on_tick.forget();
        match started {
            Ok(_) => post(&[FromWorker::Ready]),
            Err(_) => post(&[FromWorker::Panicked { message: "the worker has no timer".into() }]),
        }
    }
}

fn main() {
    #[cfg(target_arch = "wasm32")]
    browser::run();
}
