//! The stage: the cluster, drawn on a canvas, at every distance.
//!
//! Picture to hold in mind: a window into the glass case, with a lens that slides in and out. What is drawn
//! follows from the picture, the messages and the time; the hand only moves the lens and points.
//!
//! - [`geometry`] points, boxes, routes, the camera
//! - [`scene`] what every lens makes; [`lens`] which there are; [`level`] how closely one looks
//! - [`palette`] colours and type from the page's tokens; [`brush`] strokes; [`lettering`] words
//! - [`api_flow`] the cluster as the course draws it; [`pods`] a pod at every size
//! - [`etcd`] who leads, and how far the logs are
//! - [`pod`] one pod from the sandbox up; [`network`] one packet, hop by hop
//! - [`flows`] the messages, [`cables`] what they run along, in every lens

pub mod api_flow;
pub mod brush;
pub mod cables;
pub mod etcd;
pub mod flows;
pub mod geometry;
pub mod lens;
pub mod lettering;
pub mod level;
pub mod network;
pub mod palette;
pub mod pod;
pub mod pods;
pub mod scene;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use clusterarium::picture::Picture;
use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{CanvasRenderingContext2d, KeyboardEvent, PointerEvent, WheelEvent};

use crate::app::Page;
use crate::arithmetic::{exp, fixed};
use crate::view::View;

pub use lens::Lens;
pub use level::Level;
pub use scene::Target;

use brush::Brush;
use geometry::{Camera, Point, Rect};
use palette::Palette;
use scene::{Frame, Scene, Subject};

/// What the stage remembers between frames: nothing of it is simulated.
struct Studio {
    lens: Lens,
    subject: Subject,
    scene: Box<dyn Scene>,
    palette: Palette,
    theme: String,
    /// `None`: the whole cluster, fitted to the canvas, also when its size changes.
    camera: Option<Camera>,
    /// On its way to another place: from, to, real time begun.
    flight: Option<(Camera, Camera, f64)>,
    widths: RefCell<HashMap<(String, String), f64>>,
    messages: Vec<(u64, Rect)>,
    hovered: Option<Target>,
    /// When a target last changed, in real time.
    changed_at_ms: HashMap<Target, f64>,
    drag: Option<Drag>,
    size: (f64, f64),
    /// The simulated time that the last frame showed, and when that was.
    last: (f64, f64),
}

#[derive(Clone, Copy)]
struct Drag {
    pointer: i32,
    from: Point,
    camera: Camera,
    has_moved: bool,
    /// Draws a line across the scene instead of moving it: so far.
    cut: Option<Point>,
}

const FLIGHT_MS: f64 = 420.0;
const HALO_MS: f64 = 1400.0;
/// Pixels that a pointer may slip between press and release of a click.
const CLICK_SLIP_PX: f64 = 5.0;

impl Studio {
    fn new() -> Studio {
        Studio {
            lens: Lens::ALL[0],
            subject: Subject::default(),
            scene: Lens::ALL[0].scene(Subject::default()),
            palette: Palette::read(),
            theme: String::new(),
            camera: None,
            flight: None,
            widths: RefCell::default(),
            messages: Vec::new(),
            hovered: None,
            changed_at_ms: HashMap::new(),
            drag: None,
            size: (1.0, 1.0),
            last: (0.0, 0.0),
        }
    }

    fn camera(&self, now_ms: f64) -> Camera {
        let (width, height) = self.size;
        if let Some((from, to, begun_ms)) = self.flight {
            let share = ((now_ms - begun_ms) / FLIGHT_MS).clamp(0.0, 1.0);
            let eased = 1.0 - (1.0 - share).powi(3);
            return from.toward(to, eased);
        }
        self.camera.unwrap_or_else(|| Camera::fit(self.scene.bounds(), width, height))
    }

    /// Notes what changed since the last picture.
    fn note_changes(&mut self, picture: &Picture, now_ms: f64) {
        let before = &self.subject.picture;
        if picture.time_us < before.time_us {
            return self.changed_at_ms.clear();
        }
        if before.pods.is_empty() {
            return;
        }
        let before: HashMap<&str, &clusterarium::picture::Pod> =
            before.pods.iter().map(|pod| (pod.uid.as_str(), pod)).collect();
        for pod in &picture.pods {
            if before.get(pod.uid.as_str()).is_none_or(|old| *old != pod) {
                self.changed_at_ms.insert(Target::Pod(pod.namespace.clone(), pod.name.clone()), now_ms);
            }
        }
    }

    /// Builds the scene anew where what it is built from has changed.
    fn arrange(&mut self, lens: Lens, level: Level, view: View, now_ms: f64) {
        let (width, height) = self.size;
        let picture = view.picture.get_untracked();
        let detail = view.detail.get_untracked();
        let mut selected = view.selected.get_untracked();
        if let Some(choice) = lens.choice(&picture, selected.as_ref()) {
            view.select(Some(choice.clone()));
            selected = Some(choice);
        }
        let is_same_picture = Arc::ptr_eq(&self.subject.picture, &picture);
        let is_same_detail = match (&self.subject.detail, &detail) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let is_same = lens == self.lens
            && is_same_picture
            && is_same_detail
            && self.subject.selected == selected
            && self.subject.level == level
            && (self.subject.width, self.subject.height) == (width, height);
        if is_same {
            return;
        }
        if lens != self.lens {
            self.lens = lens;
            self.camera = None;
            self.flight = None;
        }
        if !is_same_picture {
            self.note_changes(&picture, now_ms);
        }
        self.subject = Subject { picture, detail, selected, level, width, height };
        self.scene = lens.scene(self.subject.clone());
    }

    fn to_world(&self, screen: Point, now_ms: f64) -> Point {
        let (width, height) = self.size;
        self.camera(now_ms).to_world(screen, width, height)
    }

    /// Whether a line across the scene can begin here.
    fn can_cut(&self, screen: Point, now_ms: f64) -> bool {
        let at = self.to_world(screen, now_ms);
        !self.messages.iter().any(|(_, rect)| rect.contains(at)) && self.scene.sides(at, at).is_some()
    }

    fn target_at(&self, screen: Point, now_ms: f64) -> Option<Target> {
        let world = self.to_world(screen, now_ms);
        if let Some((id, _)) = self.messages.iter().find(|(_, rect)| rect.contains(world)) {
            return Some(Target::Message(*id));
        }
        self.scene.hit(world)
    }

    fn fly(&mut self, to: Option<Camera>, now_ms: f64) {
        let (width, height) = self.size;
        let from = self.camera(now_ms);
        let goal = to.unwrap_or_else(|| Camera::fit(self.scene.bounds(), width, height));
        self.flight = Some((from, goal, now_ms));
        self.camera = to;
    }

    /// Looks at `target` so closely that it fills much of the canvas.
    fn look_at(&mut self, target: &Target, now_ms: f64) {
        let (width, height) = self.size;
        if let Some(rect) = self.scene.find(target) {
            let margin = rect.width.max(rect.height) * 0.6;
            let wide = Rect::new(
                rect.x - margin,
                rect.y - margin,
                rect.width + 2.0 * margin,
                rect.height + 2.0 * margin,
            );
            self.fly(Some(Camera::fit(wide, width, height)), now_ms);
        }
    }
}

fn now_ms() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |performance| performance.now())
}

fn is_motion_reduced() -> bool {
    web_sys::window()
        .and_then(|window| window.match_media("(prefers-reduced-motion: reduce)").ok().flatten())
        .is_some_and(|media| media.matches())
}

#[component]
pub fn Stage(page: Page) -> impl IntoView {
    let view = page.view;
    let canvas = NodeRef::<Canvas>::new();
    let studio = StoredValue::new_local(Rc::new(RefCell::new(Studio::new())));
    let tip = RwSignal::new(None::<(f64, f64, String)>);
    let caption = RwSignal::new(None);
    // Under the pointer a line can begin.
    let knife = RwSignal::new(false);

    let frame = move || {
        let Some(element) = canvas.get_untracked() else { return };
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        draw(&element, &mut studio, page);
        view.send(worker::protocol::ToWorker::Drawn);
    };
    each_frame(frame);

    let point_of =
        move |event: &PointerEvent| Point::new(f64::from(event.offset_x()), f64::from(event.offset_y()));
    let on_pointer_down = move |event: PointerEvent| {
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        let camera = studio.camera(now_ms());
        let from = point_of(&event);
        let cut = studio.can_cut(from, now_ms()).then_some(from);
        studio.drag = Some(Drag { pointer: event.pointer_id(), from, camera, has_moved: false, cut });
        if let Some(element) = canvas.get_untracked() {
            // Fails for a pointer that is already gone.
            let _ = element.set_pointer_capture(event.pointer_id());
        }
    };
    let on_pointer_move = move |event: PointerEvent| {
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        let here = point_of(&event);
        if let Some(mut drag) = studio.drag.filter(|drag| drag.pointer == event.pointer_id()) {
            drag.has_moved |= drag.from.distance(here) > CLICK_SLIP_PX;
            drag.cut = drag.cut.map(|_| here);
            studio.drag = Some(drag);
            if drag.has_moved && drag.cut.is_none() {
                let zoom = drag.camera.zoom;
                studio.flight = None;
                studio.camera = Some(Camera {
                    center: Point::new(
                        drag.camera.center.x - (here.x - drag.from.x) / zoom,
                        drag.camera.center.y - (here.y - drag.from.y) / zoom,
                    ),
                    zoom,
                });
                tip.set(None);
            }
            return;
        }
        studio.hovered = studio.target_at(here, now_ms());
        let is_knife = studio.can_cut(here, now_ms());
        if knife.get_untracked() != is_knife {
            knife.set(is_knife);
        }
        let text = studio.hovered.as_ref().map(|target| describe(&studio.subject.picture, view, target));
        tip.set(text.map(|text| (here.x, here.y, text)));
    };
    let on_pointer_up = move |event: PointerEvent| {
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        let Some(drag) = studio.drag.take() else { return };
        if !drag.has_moved {
            let target = studio.target_at(point_of(&event), now_ms());
            drop(studio);
            if let Some(Target::Message(id)) = target {
                view.hold(id);
            }
            view.select(target);
        } else if let Some(to) = drag.cut {
            let [from, to] = [drag.from, to].map(|point| studio.to_world(point, now_ms()));
            let sides = studio.scene.sides(from, to);
            drop(studio);
            if let Some(sides) = sides {
                etcd::controls::part(view, caption, sides);
            }
        }
    };
    let on_pointer_cancel = move |_| studio.with_value(|studio| studio.borrow_mut().drag = None);
    let on_pointer_leave = move |_| {
        studio.with_value(|studio| studio.borrow_mut().hovered = None);
        tip.set(None);
    };
    let on_double_click = move |event: web_sys::MouseEvent| {
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        let here = Point::new(f64::from(event.offset_x()), f64::from(event.offset_y()));
        match studio.target_at(here, now_ms()) {
            Some(target) => studio.look_at(&target, now_ms()),
            None => studio.fly(None, now_ms()),
        }
    };
    let on_wheel = move |event: WheelEvent| {
        event.prevent_default();
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        let (width, height) = studio.size;
        let here = Point::new(f64::from(event.offset_x()), f64::from(event.offset_y()));
        let factor = exp(-event.delta_y() * 0.0015);
        let camera = studio.camera(now_ms()).zoomed(factor, here, width, height);
        studio.flight = None;
        studio.camera = Some(camera);
    };
    let on_key = move |event: KeyboardEvent| {
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        let (width, height) = studio.size;
        let middle = Point::new(width / 2.0, height / 2.0);
        let camera = studio.camera(now_ms());
        let goal = match event.key().as_str() {
            "+" | "=" => Some(camera.zoomed(1.4, middle, width, height)),
            "-" => Some(camera.zoomed(1.0 / 1.4, middle, width, height)),
            "Escape" if studio.drag.take().is_some_and(|drag| drag.cut.is_some()) => return,
            "0" | "Escape" => None,
            _ => return,
        };
        event.prevent_default();
        studio.fly(goal, now_ms());
    };
    let zoom = move |factor: f64| {
        let studio = studio.get_value();
        let mut studio = studio.borrow_mut();
        let (width, height) = studio.size;
        let camera = studio.camera(now_ms());
        studio
            .fly(Some(camera.zoomed(factor, Point::new(width / 2.0, height / 2.0), width, height)), now_ms());
    };
    let fit = move || studio.with_value(|studio| studio.borrow_mut().fly(None, now_ms()));

    view! {
        <main class="panel stage" aria-label="Cluster">
            <Show when=move || page.lens.get() == Lens::Network>
                <network::controls::Controls view=view />
            </Show>
            <Show when=move || page.lens.get() == Lens::Etcd>
                <etcd::controls::Controls page=page caption=caption />
            </Show>
            <canvas
                node_ref=canvas
                class:knife=move || knife.get()
                tabindex="0"
                role="img"
                aria-label=move || narration(&view.picture.get())
                on:pointerdown=on_pointer_down
                on:pointermove=on_pointer_move
                on:pointerup=on_pointer_up
                on:pointercancel=on_pointer_cancel
                on:pointerleave=on_pointer_leave
                on:dblclick=on_double_click
                on:wheel=on_wheel
                on:keydown=on_key
            ></canvas>
            <div class="stage-foot">
            <Legend />
            <div class="stage-zoom" role="group" aria-label="Zoom">
                <button type="button" class="icon-button" title="Closer (+)" on:click=move |_| zoom(1.4)>"+"</button>
                <button type="button" class="icon-button" title="Farther (-)" on:click=move |_| zoom(1.0 / 1.4)>"−"</button>
                <button type="button" class="icon-button" title="The whole cluster (0)" on:click=move |_| fit()>"⤢"</button>
            </div>
            </div>
            {move || tip.get().map(|(x, y, text)| view! {
                <div class="stage-tip" style=format!("left:{}px;top:{}px", fixed(x, 0), fixed(y, 0))>{text}</div>
            })}
        </main>
    }
}

/// What the signs mean, outside the canvas.
#[component]
fn Legend() -> impl IntoView {
    view! {
        <ul class="legend" aria-label="Legend">
            <li><span class="legend-pill request"></span>"request"</li>
            <li><span class="legend-pill reply"></span>"reply"</li>
            <li><span class="legend-pill watch"></span>"watch event"</li>
            <li><span class="legend-pill etcd"></span>"etcd"</li>
            <li><span class="legend-pill failed"></span>"failure"</li>
            <li><span class="legend-box pending"></span>"not there yet"</li>
            <li><span class="legend-box motion"></span>"in motion"</li>
            <li><span class="legend-box steady"></span>"steady"</li>
        </ul>
    }
}

/// What the browser calls before the next repaint; it holds itself until the component is gone.
type Tick = Rc<RefCell<Option<Closure<dyn FnMut()>>>>;

/// Calls `frame` before each repaint, until the component is gone.
fn each_frame(frame: impl Fn() + 'static) {
    let is_alive = Rc::new(std::cell::Cell::new(true));
    let alive = StoredValue::new_local(is_alive.clone());
    on_cleanup(move || alive.with_value(|alive| alive.set(false)));
    let again: Tick = Rc::default();
    let next = again.clone();
    *again.borrow_mut() = Some(Closure::new(move || {
        if !is_alive.get() {
            next.borrow_mut().take();
            return;
        }
        frame();
        request(&next);
    }));
    fn request(closure: &Tick) {
        if let (Some(window), Some(closure)) = (web_sys::window(), closure.borrow().as_ref()) {
            // Fails only in a page that is being torn down.
            let _ = window.request_animation_frame(closure.as_ref().unchecked_ref());
        }
    }
    request(&again);
}

fn draw(element: &web_sys::HtmlCanvasElement, studio: &mut Studio, page: Page) {
    let view = page.view;
    let now = now_ms();
    let (width, height) = (f64::from(element.client_width()), f64::from(element.client_height()));
    if width < 1.0 || height < 1.0 {
        return;
    }
    let ratio = web_sys::window().map_or(1.0, |window| window.device_pixel_ratio());
    let (pixels_x, pixels_y) = ((width * ratio).round() as u32, (height * ratio).round() as u32);
    if element.width() != pixels_x || element.height() != pixels_y {
        element.set_width(pixels_x);
        element.set_height(pixels_y);
    }
    studio.size = (width, height);
    let Ok(Some(context)) = element.get_context("2d") else { return };
    let Ok(canvas) = context.dyn_into::<CanvasRenderingContext2d>() else { return };
    let theme = current_theme();
    if theme != studio.theme {
        studio.theme = theme;
        studio.palette = Palette::read();
        studio.widths.borrow_mut().clear();
    }
    studio.arrange(page.lens.get_untracked(), page.level.get_untracked(), view, now);
    if studio.flight.is_some_and(|(_, _, begun)| now - begun >= FLIGHT_MS) {
        studio.flight = None;
    }
    let camera = studio.camera(now);
    let time_us = view.time_us.get_untracked();
    // Simulated microseconds in a real millisecond: how long what has arrived still glows.
    let pace = if view.is_playing.get_untracked() { view.pace_per_mille.get_untracked() as f64 } else { 1.0 };
    studio.last = (time_us, now);

    let _ = canvas.set_transform(1.0, 0.0, 0.0, 1.0, 0.0, 0.0);
    canvas.set_fill_style_str(&studio.palette.ground);
    canvas.fill_rect(0.0, 0.0, f64::from(pixels_x), f64::from(pixels_y));
    let scale = camera.zoom * ratio;
    let _ = canvas.set_transform(
        scale,
        0.0,
        0.0,
        scale,
        (width / 2.0 - camera.center.x * camera.zoom) * ratio,
        (height / 2.0 - camera.center.y * camera.zoom) * ratio,
    );
    let halos: Vec<(Target, f64)> = if is_motion_reduced() {
        Vec::new()
    } else {
        studio.changed_at_ms.retain(|_, at| now - *at < HALO_MS);
        studio.changed_at_ms.iter().map(|(target, at)| (target.clone(), 1.0 - (now - at) / HALO_MS)).collect()
    };
    let selected = view.selected.get_untracked();
    let brush = Brush::new(&canvas, &studio.widths);
    let frame = Frame {
        palette: &studio.palette,
        camera,
        time_us,
        selected: selected.as_ref(),
        hovered: studio.hovered.as_ref(),
        cut: studio
            .drag
            .filter(|drag| drag.has_moved)
            .and_then(|drag| Some((studio.to_world(drag.from, now), studio.to_world(drag.cut?, now)))),
        halos: &halos,
    };
    studio.scene.paint(&frame, &brush);
    frame.emphasis(&*studio.scene, &brush);
    let message = |target: Option<&Target>| match target {
        Some(Target::Message(id)) => Some(*id),
        _ => None,
    };
    let chosen = [message(selected.as_ref()), message(studio.hovered.as_ref())];
    let places = view.with_flows(|all| {
        // Sorted by line, and so by time: only the last stretch can be in flight.
        let oldest_us = time_us - 3_000_000.0 - flows::AFTERGLOW_MS * pace;
        let start = all.partition_point(|flow| (flow.sent_us as f64) < oldest_us);
        let end = all.partition_point(|flow| flow.sent_us as f64 <= time_us);
        let drawn = flows::visible(&all[start..end.max(start)], time_us, pace);
        flows::paint(&brush, &*studio.scene, &studio.palette, camera.zoom, chosen, &drawn)
    });
    studio.messages = places;
}

fn current_theme() -> String {
    web_sys::window()
        .and_then(|window| window.document()?.document_element())
        .map(|root| {
            let chosen = root.get_attribute("data-theme").unwrap_or_default();
            let size = root.get_attribute("class").unwrap_or_default();
            format!("{chosen} {size}")
        })
        .unwrap_or_default()
}

/// One line about what is under the pointer.
fn describe(picture: &Picture, view: View, target: &Target) -> String {
    match target {
        Target::Component(name) | Target::Host(name) | Target::Key(name) | Target::Keys(name, _) => {
            name.clone()
        }
        Target::Pod(namespace, name) => picture
            .pods
            .iter()
            .find(|pod| pod.namespace == *namespace && pod.name == *name)
            .map_or(name.clone(), |pod| {
                format!("{namespace}/{name}: {} ({}/{} ready)", pod.status, pod.ready.used, pod.ready.of)
            }),
        Target::Container(namespace, pod, name) => picture
            .pods
            .iter()
            .find(|other| other.namespace == *namespace && other.name == *pod)
            .and_then(|pod| pod.containers.iter().find(|container| container.name == *name))
            .map_or(name.clone(), |container| format!("{pod}: {name}: {}", container.state)),
        Target::Link(a, b) => {
            let is_between =
                |link: &&clusterarium::picture::LinkFault| [(a, b), (b, a)].contains(&(&link.from, &link.to));
            let is_whole = !picture.links.iter().any(|link| is_between(&link));
            format!("the cable between {a} and {b}{}", if is_whole { "" } else { ": disturbed" })
        }
        Target::Load => "the load".to_string(),
        Target::Packet(packet) => format!("a packet from {} to {}", packet.from, packet.to),
        Target::Entry(member, index) => format!("entry {index} in the log of {member}"),
        Target::Message(id) => view.with_flows(|flows| {
            flows
                .iter()
                .rev()
                .find(|flow| flow.id == *id)
                .map_or(String::new(), |flow| format!("{} {}", flow.label, flow.about))
        }),
    }
}

/// The stage in words, for those who do not see it.
fn narration(picture: &Picture) -> String {
    let ready = picture
        .hosts
        .iter()
        .filter(|host| host.node.as_ref().is_some_and(|node| node.status.starts_with("Ready")));
    let running = picture.pods.iter().filter(|pod| pod.status == "Running").count();
    let leader =
        picture.etcd.iter().find(|member| member.role == "Leader").map(|member| member.name.as_str());
    let load = picture.load.as_ref().map_or(String::new(), |load| {
        format!("; load of {} on {}: {}", load.source, load.target, load.sentence)
    });
    format!(
        "Cluster at {} seconds: {} nodes ready, {} pods, {running} of them running; etcd {}{load}",
        fixed(picture.time_us as f64 / 1e6, 3),
        ready.count(),
        picture.pods.len(),
        leader.map_or("has no leader".to_string(), |name| format!("is led by {name}")),
    )
}
