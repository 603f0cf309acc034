//! The rooms and where they stand.
//!
//! Picture to hold in mind: the floor plan. Editor left, stage in the middle, inspector right, timeline and
//! terminal below; a folded panel leaves a rail to pull it out by; presenting, all walls but one fall.

use leptos::{ev, prelude::*};

use crate::cluster::Cluster;
use crate::door;
use crate::editor::Editor;
use crate::frozen::Frozen;
use crate::header::Header;
use crate::icons;
use crate::inspector::Inspector;
use crate::layout::{Edge, Layout, Panel};
use crate::notices::{NoticeBoard, Notices};
use crate::session;
use crate::stage::{Lens, Level, Stage};
use crate::terminal::{Paper, Terminal};
use crate::timeline::Timeline;
use crate::view::View;
use worker::protocol::ToWorker;

/// What the panels share; copies are handles.
#[derive(Clone, Copy)]
pub struct Page {
    pub cluster: Cluster,
    pub layout: Layout,
    pub notices: Notices,
    pub lens: RwSignal<Lens>,
    /// How closely the etcd lens looks.
    pub level: RwSignal<Level>,
    pub paper: Paper,
    /// The instant that all panels show.
    pub view: View,
}

impl Page {
    /// Whether what etcd's members do is told in sentences.
    pub fn tells_of_etcd(&self) -> bool {
        self.lens.get() == Lens::Etcd && self.level.get() == Level::Beginner
    }
}

#[component]
pub fn App() -> impl IntoView {
    let notices = Notices::new();
    let layout = Layout::load();
    let cluster = Cluster::start(notices);
    session::resume(cluster, notices);
    let view = View::new(cluster);
    let paper = Paper::new(cluster, view);
    let (lens, level) = (RwSignal::new(Lens::ALL[0]), RwSignal::new(Level::load()));
    let page = Page { cluster, layout, notices, lens, level, paper, view };
    if let Err(error) = door::open(cluster) {
        leptos::logging::error!("window.clusterarium could not be set: {error:?}");
    }
    // Keys that belong to no panel; fields and the editor keep theirs.
    let keys = window_event_listener(ev::keydown, move |event| {
        if is_typing(&event) || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        match event.key().as_str() {
            "p" => layout.presenting.update(|presenting| *presenting = !*presenting),
            "Escape" if layout.presenting.get_untracked() => layout.presenting.set(false),
            _ => {}
        }
    });
    on_cleanup(move || keys.remove());

    let presenting = layout.presenting;
    let is_folded = move |panel| Memo::new(move |_| layout.is_folded(panel));
    let (editor, inspector) = (is_folded(Panel::Editor), is_folded(Panel::Inspector));
    let (timeline, terminal) = (is_folded(Panel::Timeline), is_folded(Panel::Terminal));
    // Panels are hidden, not removed: the editor keeps its undo history, the terminal its paper.
    view! {
        <div class=move || layout.classes() style=move || layout.style()>
            <Show when=move || !presenting.get()><Header page=page /></Show>
            <Place area="place-editor" hidden=editor layout=layout panel=Panel::Editor presenting=presenting>
                <Editor cluster=cluster notices=notices layout=layout />
            </Place>
            <Stage page=page />
            <Place area="place-inspector" hidden=inspector layout=layout panel=Panel::Inspector presenting=presenting>
                <Inspector page=page />
            </Place>
            <div class="bottom" hidden=move || presenting.get()>
                {divider(layout, Edge::Bottom, "divider-top")}
                <Place area="" hidden=timeline layout=layout panel=Panel::Timeline presenting=presenting>
                    <Timeline page=page />
                </Place>
                <Place area="" hidden=terminal layout=layout panel=Panel::Terminal presenting=presenting>
                    <Terminal cluster=cluster paper=paper layout=layout />
                </Place>
            </div>
            <nav class="phone-tabs" aria-label="Panels" hidden=move || presenting.get()>
                {Panel::ALL.iter().map(|panel| view! {
                    <button class="phone-tab" aria-pressed=move || (layout.phone.get() == *panel).to_string()
                        on:click=move |_| layout.phone.set(*panel)>{panel.title()}</button>
                }).collect_view()}
            </nav>
            <Show when=move || presenting.get()>
                <Caption page=page />
            </Show>
            <NoticeBoard notices=notices />
            <Frozen cluster=cluster notices=notices />
        </div>
    }
}

/// While presenting: what has just happened, and the way to the next thing.
#[component]
fn Caption(page: Page) -> impl IntoView {
    let Page { view, layout, .. } = page;
    let text = Memo::new(move |_| {
        let quiet = || "Nothing but heartbeats.".to_string();
        let told = if page.tells_of_etcd() { view.etcd } else { view.story };
        told.with(|story| story.last().map_or_else(quiet, |sentence| sentence.text.clone()))
    });
    let step = move |forward| view.send(ToWorker::Step { forward });
    view! {
        <footer class="caption">
            <p aria-live="polite">{move || text.get()}</p>
            <div class="caption-steps">
                <button type="button" class="button" title="Message before (Left arrow)" on:click=move |_| step(false)>"Back"</button>
                <button type="button" class="button" title="Space" on:click=move |_| view.play(!view.is_playing.get_untracked())>
                    {move || if view.is_playing.get() { "Pause" } else { "Play" }}
                </button>
                <button type="button" class="button button-primary" title="Next message (Right arrow)" on:click=move |_| step(true)>"Next"</button>
                <button type="button" class="button" on:click=move |_| layout.presenting.set(false)>"Close " <kbd>"Esc"</kbd></button>
            </div>
        </footer>
    }
}

/// A panel's place: the panel, or the rail that is left of it.
#[component]
fn Place(
    area: &'static str,
    hidden: Memo<bool>,
    layout: Layout,
    panel: Panel,
    presenting: RwSignal<bool>,
    children: Children,
) -> impl IntoView {
    view! {
        <div class=format!("place {area}") hidden=move || presenting.get()>
            <div class="place-panel" class:folded=move || hidden.get()>{children()}</div>
            <Show when=move || hidden.get()>
                <button class="rail" aria-expanded="false" on:click=move |_| layout.fold(panel, false)>
                    {panel.title()}
                </button>
            </Show>
        </div>
    }
}

/// The button in a panel's head that folds it away.
pub fn fold_button(layout: Layout, panel: Panel) -> impl IntoView {
    let label = format!("Fold {} away", panel.title());
    let icon = match panel {
        Panel::Editor => icons::chevron_left().into_any(),
        Panel::Inspector => icons::chevron_right().into_any(),
        _ => icons::chevron_down().into_any(),
    };
    view! {
        <button class="icon-button fold" aria-label=label.clone() title=label aria-expanded="true"
            on:click=move |_| layout.fold(panel, true)>{icon}</button>
    }
}

/// The line at a panel's side that changes its size, by pointer or arrow keys.
pub fn divider(layout: Layout, edge: Edge, class: &'static str) -> impl IntoView {
    let dragging = RwSignal::new(false);
    let orientation = if edge == Edge::Bottom { "horizontal" } else { "vertical" };
    // Rem a key press moves by; the sign says in which direction the panel grows.
    let grow = move |key: &str| match (edge, key) {
        (Edge::Editor, "ArrowRight")
        | (Edge::Inspector | Edge::Terminal, "ArrowLeft")
        | (Edge::Bottom, "ArrowUp") => Some(1.0),
        (Edge::Editor, "ArrowLeft")
        | (Edge::Inspector | Edge::Terminal, "ArrowRight")
        | (Edge::Bottom, "ArrowDown") => Some(-1.0),
        _ => None,
    };
    view! {
        <div class=format!("divider {class}") class:dragging=move || dragging.get() role="separator" tabindex="0"
            aria-orientation=orientation aria-label=format!("Size of {edge:?}")
            on:pointerdown=move |event: ev::PointerEvent| {
                event.prevent_default();
                let target: web_sys::Element = event_target(&event);
                dragging.set(target.set_pointer_capture(event.pointer_id()).is_ok());
            }
            on:pointermove=move |event: ev::PointerEvent| {
                if dragging.get_untracked() {
                    layout.drag(edge, f64::from(event.client_x()), f64::from(event.client_y()));
                }
            }
            on:pointerup=move |_| { dragging.set(false); layout.save() }
            on:pointercancel=move |_| dragging.set(false)
            on:keydown=move |event: ev::KeyboardEvent| {
                if let Some(rem) = grow(&event.key()) {
                    event.prevent_default();
                    event.stop_propagation();
                    layout.nudge(edge, rem);
                }
            }></div>
    }
}

/// Whether a key press belongs to a field or the editor.
pub fn is_typing(event: &ev::KeyboardEvent) -> bool {
    use wasm_bindgen::JsCast;
    let Some(target) = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()) else {
        return false;
    };
    matches!(target.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
        || target.closest("[contenteditable=true]").ok().flatten().is_some()
}
