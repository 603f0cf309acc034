//! Time under the hand: play, pause, speed, steps, and the ruler to scrub on.
//!
//! Picture to hold in mind: a tape deck with a score above the tape. Each lane is a part of the cluster, each
//! mark a message that it sent; the playhead is where all panels are.

pub mod axis;

use std::cell::RefCell;
use std::rc::Rc;

use clusterarium::picture::{ComponentKind, Flow, Picture};
use clusterarium::playback::{LAST_MARK, Speed, mark_of, per_mille_at};
use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{CanvasRenderingContext2d, KeyboardEvent, PointerEvent};
use worker::protocol::ToWorker;

use crate::app::{Page, fold_button, is_typing};
use crate::arithmetic::fixed;
use crate::icons;
use crate::layout::Panel;
use crate::stage::palette::Palette;
use crate::view::View;

use axis::Axis;

/// Marks that are drawn at most; older ones leave the ruler at its left end.
const MARKS: usize = 4_000;
const LANES: [&str; 6] = ["you", "API server", "controllers", "scheduler", "etcd", "nodes"];

fn lane_of(kind: ComponentKind) -> usize {
    match kind {
        ComponentKind::Terminal => 0,
        ComponentKind::ApiServer => 1,
        ComponentKind::ControllerManager => 2,
        ComponentKind::Scheduler => 3,
        ComponentKind::Etcd => 4,
        ComponentKind::Kubelet
        | ComponentKind::ContainerEngine
        | ComponentKind::KubeProxy
        | ComponentKind::KubeRouter
        | ComponentKind::CalicoNode
        | ComponentKind::CoreDns => 5,
    }
}

#[component]
pub fn Timeline(page: Page) -> impl IntoView {
    let view = page.view;
    keys(view);
    view! {
        <section class="panel timeline" aria-label="Timeline">
            <div class="panel-head">
                <Transport view/>
                {fold_button(page.layout, Panel::Timeline)}
            </div>
            <div class="panel-body">
                <Ruler view/>
            </div>
        </section>
    }
}

#[component]
fn Transport(view: View) -> impl IntoView {
    let is_auto = move || view.speed.get() == Speed::Auto;
    // The slider is logarithmic: thousandths of thousandth-fold to a thousandfold, in steps of a tenth decade.
    let slider = move || match view.speed.get() {
        Speed::PerMille(speed) => mark_of(speed),
        Speed::Auto => mark_of(view.pace_per_mille.get()),
    };
    let on_slide = move |event: web_sys::Event| {
        // Half-way, at 1x, should a browser ever hand over anything but a number.
        let mark = event_target_value(&event).parse().unwrap_or(LAST_MARK / 2);
        view.set_speed(Speed::PerMille(per_mille_at(mark)));
    };
    let in_flight = move || {
        view.revision.track();
        let now = view.time_us.get();
        let count = view.with_flows(|flows| {
            let start = flows.partition_point(|flow| (flow.sent_us as f64) < now - 3_000_000.0);
            let on_its_way = |flow: &&Flow| {
                !flow.is_routine
                    && (flow.sent_us as f64) <= now
                    && flow.arrives_us.is_some_and(|arrives| arrives as f64 > now)
            };
            flows[start..].iter().filter(on_its_way).count()
        });
        match count {
            0 => "nothing in flight".to_string(),
            1 => "1 message in flight".to_string(),
            count => format!("{count} messages in flight"),
        }
    };
    view! {
        <div class="transport">
            <div class="transport-buttons" role="group" aria-label="Playback">
                <button type="button" class="icon-button" title="Message before (Left arrow)" aria-label="Step back"
                    on:click=move |_| view.send(ToWorker::Step { forward: false })>{icons::step_back()}</button>
                <button type="button" class="icon-button transport-play"
                    title=move || if view.is_playing.get() { "Pause (Space)" } else { "Play (Space)" }
                    aria-label=move || if view.is_playing.get() { "Pause" } else { "Play" }
                    on:click=move |_| view.play(!view.is_playing.get_untracked())>
                    {move || if view.is_playing.get() { icons::pause().into_any() } else { icons::play().into_any() }}
                </button>
                <button type="button" class="icon-button" title="Next message (Right arrow)" aria-label="Step forward"
                    on:click=move |_| view.send(ToWorker::Step { forward: true })>{icons::step_forward()}</button>
            </div>
            <label class="transport-auto">
                <input type="checkbox" prop:checked=is_auto on:change=move |_| {
                    let speed = if is_auto() { Speed::PerMille(1000) } else { Speed::Auto };
                    view.set_speed(speed);
                }/>
                "auto"
            </label>
            <input type="range" class="transport-speed" min="0" max=LAST_MARK step="1"
                aria-label="Speed" title="Speed, 0.001x to 1,000x"
                prop:value=slider on:input=on_slide/>
            <output class="transport-pace">{move || pace(view)}</output>
            <output class="transport-time" aria-label="Simulated time">{move || clock(view.time_us.get())}</output>
            <span class="transport-flight">{in_flight}</span>
            {move || {
                let (now, horizon) = (view.time_us.get(), view.horizon_us.get());
                (now + 1.0 < horizon).then(|| view! {
                    <button type="button" class="button transport-now" on:click=move |_| view.seek(view.horizon_us.get_untracked())>
                        "Back to now"
                    </button>
                    <span class="transport-past">"You are in the past: a change made here begins another future."</span>
                })
            }}
            {move || {
                let branches = view.branches.get();
                let last = branches.len().checked_sub(1)?;
                Some(view! {
                    <button type="button" class="button transport-now" title="Go back to the future that was left"
                        on:click=move |_| view.send(ToWorker::SwitchBranch { index: last })>
                        {format!("Old future (left at {})", clock(branches[last] as f64))}
                    </button>
                })
            }}
        </div>
    }
}

/// `1/40 x`, `1 x`, `250 x`.
fn pace(view: View) -> String {
    let per_mille = match view.speed.get() {
        Speed::Auto => view.pace_per_mille.get(),
        Speed::PerMille(speed) => speed,
    };
    match per_mille {
        0 => "paused".to_string(),
        1..1000 => format!("1/{} ×", 1000_u64.div_euclid(per_mille)),
        _ => format!("{} ×", per_mille / 1000),
    }
}

/// `00:00:04.213`.
pub fn clock(time_us: f64) -> String {
    let millis = (time_us / 1000.0) as u64;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Space, arrows and Shift+arrows, wherever nobody is typing.
fn keys(view: View) {
    let handle = window_event_listener(leptos::ev::keydown, move |event: KeyboardEvent| {
        let is_button = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
            .is_some_and(|element| element.tag_name() == "BUTTON");
        // Space presses a button that has the focus.
        let is_taken = is_typing(&event) || (is_button && event.key() == " ");
        if is_taken || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        let now = view.time_us.get_untracked();
        match (event.key().as_str(), event.shift_key()) {
            (" ", _) => view.play(!view.is_playing.get_untracked()),
            ("ArrowRight", false) => view.send(ToWorker::Step { forward: true }),
            ("ArrowLeft", false) => view.send(ToWorker::Step { forward: false }),
            ("ArrowRight", true) => view.seek(now + 1_000_000.0),
            ("ArrowLeft", true) => view.seek(now - 1_000_000.0),
            _ => return,
        }
        event.prevent_default();
    });
    on_cleanup(move || handle.remove());
}

#[component]
fn Ruler(view: View) -> impl IntoView {
    let canvas = NodeRef::<Canvas>::new();
    let axis = StoredValue::new_local(Rc::new(RefCell::new(Axis::default())));
    let is_dragging = StoredValue::new(false);
    let seek_to = move |event: &PointerEvent| {
        let Some(element) = canvas.get_untracked() else { return };
        let width = f64::from(element.client_width()) - LABELS_PX - 12.0;
        let place = ((f64::from(event.offset_x()) - LABELS_PX) / width.max(1.0)).clamp(0.0, 1.0);
        view.seek(axis.with_value(|axis| axis.borrow().time_us(place)));
    };
    Effect::new(move |_| {
        view.revision.track();
        let now = view.time_us.get();
        let horizon = view.horizon_us.get();
        let picture = view.picture.get();
        if let Some(element) = canvas.get() {
            let drawn = view.with_flows(|flows| draw(&element, flows, &picture, now, horizon));
            if let Some(drawn) = drawn {
                axis.with_value(|axis| *axis.borrow_mut() = drawn);
            }
        }
    });
    view! {
        <canvas class="ruler" node_ref=canvas tabindex="0" role="slider"
            aria-label="Time" aria-valuetext=move || clock(view.time_us.get())
            aria-valuemin="0" aria-valuemax=move || view.horizon_us.get() aria-valuenow=move || view.time_us.get()
            on:pointerdown=move |event| {
                is_dragging.set_value(true);
                if let Some(element) = canvas.get_untracked() {
                    // Fails for a pointer that is already gone.
                    let _ = element.set_pointer_capture(event.pointer_id());
                }
                seek_to(&event);
            }
            on:pointermove=move |event| {
                if is_dragging.get_value() {
                    seek_to(&event);
                }
            }
            on:pointerup=move |_| is_dragging.set_value(false)
            on:pointercancel=move |_| is_dragging.set_value(false)
        ></canvas>
    }
}

const LABELS_PX: f64 = 110.0;

fn draw(
    element: &web_sys::HtmlCanvasElement,
    flows: &[Flow],
    picture: &Picture,
    now_us: f64,
    horizon_us: f64,
) -> Option<Axis> {
    let (width, height) = (f64::from(element.client_width()), f64::from(element.client_height()));
    let ratio = web_sys::window()?.device_pixel_ratio();
    let (pixels_x, pixels_y) = ((width * ratio).round() as u32, (height * ratio).round() as u32);
    if pixels_x == 0 || pixels_y == 0 {
        return None;
    }
    if element.width() != pixels_x || element.height() != pixels_y {
        element.set_width(pixels_x);
        element.set_height(pixels_y);
    }
    let canvas = element.get_context("2d").ok()??.dyn_into::<CanvasRenderingContext2d>().ok()?;
    let palette = Palette::read();
    let _ = canvas.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    canvas.clear_rect(0.0, 0.0, width, height);

    let mut marks: Vec<&Flow> = flows.iter().rev().filter(|flow| !flow.is_routine).take(MARKS).collect();
    marks.reverse();
    let start = match marks.first() {
        Some(first) if marks.len() == MARKS => first.sent_us as f64,
        _ => 0.0,
    };
    let axis = Axis::of(marks.iter().map(|flow| flow.sent_us as f64), start, horizon_us.max(now_us));
    let span = width - LABELS_PX - 12.0;
    let x_of = |time_us: f64| LABELS_PX + axis.place(time_us) * span;
    let lanes = LANES.len() as f64;
    let lane_height = ((height - 8.0) / lanes).max(8.0);
    let y_of = |lane: usize| 4.0 + lane_height * (lane as f64 + 0.5);
    canvas.set_text_baseline("middle");
    let size_px = fixed((lane_height - 4.0).clamp(11.0, 16.0), 0);
    canvas.set_font(&format!("480 {size_px}px {}", palette.font_text));
    for (lane, name) in LANES.iter().enumerate() {
        canvas.set_fill_style_str(&palette.ink_muted);
        canvas.set_text_align("right");
        let _ = canvas.fill_text(name, LABELS_PX - 14.0, y_of(lane));
        canvas.set_fill_style_str(&palette.line);
        canvas.fill_rect(LABELS_PX, y_of(lane) - 0.5, span, 1.0);
    }
    let lane_of_actor: clusterarium::sorted::SortedMap<u32, usize> = picture
        .components
        .iter()
        .map(|component| (component.actor, lane_of(component.kind)))
        .chain(picture.etcd.iter().map(|member| (member.actor, lane_of(ComponentKind::Etcd))))
        .collect();
    let mark_height = (lane_height * 0.62).clamp(5.0, 14.0);
    for flow in &marks {
        let Some(lane) = lane_of_actor.get(&flow.from) else { continue };
        let color = match lane {
            _ if flow.is_failure || flow.lost.is_some() => &palette.failed,
            4 => &palette.etcd,
            1 => &palette.steady,
            _ => &palette.motion,
        };
        canvas.set_fill_style_str(color);
        canvas.set_global_alpha(if flow.sent_us as f64 > now_us { 0.35 } else { 1.0 });
        canvas.fill_rect(x_of(flow.sent_us as f64) - 1.5, y_of(*lane) - mark_height / 2.0, 3.0, mark_height);
    }
    canvas.set_global_alpha(1.0);
    let x = x_of(now_us);
    canvas.set_fill_style_str(&palette.ink);
    canvas.fill_rect(x - 1.0, 0.0, 2.0, height);
    canvas.begin_path();
    let _ = canvas.arc(x, 5.0, 5.0, 0.0, std::f64::consts::TAU);
    canvas.fill();
    Some(axis)
}
