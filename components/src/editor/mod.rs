//! The editor panel: files, problems, examples, Apply and Delete.
//!
//! Picture to hold in mind: a desk at the window of the API server. What is written here lies as a file on the
//! simulated machine the moment it is applied, and Apply types the very `kubectl apply` that anybody would.

mod codemirror;
pub mod examples;
mod files;

use std::time::Duration;

use clusterarium::command::Command;
use codemirror::{CodeMirror, Module};
use examples::{EXAMPLES, Example};
use files::{File, Files};
use js_sys::{Object, Reflect};
use leptos::{ev, html, prelude::*};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::protocol::{Diagnostic, FromWorker, Severity, ToWorker, Wrote, terminal};

use crate::app::{divider, fold_button};
use crate::cluster::{Cluster, State};
use crate::layout::{Edge, Layout, Panel};
use crate::notices::Notices;
use crate::{icons, json};

/// Files are kept this long after the last keystroke.
const SAVE_AFTER: Duration = Duration::from_millis(400);

/// What the panel's parts share.
#[derive(Clone, Copy)]
struct Desk {
    files: Files,
    cluster: Cluster,
    notices: Notices,
    code: StoredValue<Option<CodeMirror>, LocalStorage>,
    /// The file that lies on the desk: the active one, once it has been laid out.
    shown: StoredValue<Option<u64>>,
    diagnostics: RwSignal<Vec<Diagnostic>>,
    /// The check under way, and whether the text has changed since.
    lint: StoredValue<(u64, bool, bool)>,
    save: StoredValue<Option<TimeoutHandle>, LocalStorage>,
    /// Apply or Delete is under way.
    busy: RwSignal<bool>,
    over: RwSignal<bool>,
}

impl Desk {
    /// The text on the desk is the newest; the list follows it when it matters.
    fn take_in(self) {
        if let (Some(code), Some(shown)) = (self.code.get_value(), self.shown.get_value()) {
            self.files.set_text(shown, code.text());
        }
    }

    /// Puts the active file on the desk and has it checked.
    fn lay_out(self) {
        let file = self.files.current();
        if let Some(code) = self.code.get_value() {
            code.show(&file.id.to_string(), &file.text);
            self.shown.set_value(Some(file.id));
            self.check();
        }
    }

    fn add(self, name: &str, text: &str) {
        self.files.add(name, text);
    }

    fn close(self, id: u64) {
        self.take_in();
        if let Some(code) = self.code.get_value() {
            code.forget(&id.to_string());
        }
        self.files.close(id);
    }

    fn changed(self) {
        self.check();
        self.save.update_value(|save| {
            if let Some(save) = save.take() {
                save.clear();
            }
            let later = set_timeout_with_handle(
                move || {
                    self.take_in();
                    self.files.save();
                },
                SAVE_AFTER,
            );
            *save = later.ok();
        });
    }

    /// Has the worker check the text; one check is under way at a time, and the last state of the text always gets one.
    fn check(self) {
        let (id, under_way, _) = self.lint.get_value();
        if under_way {
            return self.lint.set_value((id, true, true));
        }
        if self.cluster.state.get_untracked() != State::Running {
            return;
        }
        let Some(code) = self.code.get_value() else { return };
        self.lint.set_value((id + 1, true, false));
        self.cluster.send(&ToWorker::Lint { id: id + 1, text: code.text() });
    }

    fn checked(self, id: u64, diagnostics: &[Diagnostic]) {
        let (newest, _, changed) = self.lint.get_value();
        if id != newest {
            return;
        }
        self.lint.set_value((newest, false, false));
        if changed {
            return self.check();
        }
        if let Some(code) = self.code.get_value() {
            code.diagnose(&json::array(diagnostics.iter().map(|one| {
                let severity = match one.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                    Severity::Info => "info",
                };
                json::object([
                    ("from", one.from.into()),
                    ("to", one.to.into()),
                    ("severity", severity.into()),
                    ("message", one.message.as_str().into()),
                ])
            })));
        }
        self.diagnostics.set(diagnostics.to_vec());
    }

    /// Writes the file to the simulated machine and has kubectl `verb` it.
    fn run(self, verb: &str) {
        if self.cluster.state.get_untracked() != State::Running || self.busy.get_untracked() {
            return;
        }
        self.take_in();
        self.files.save();
        let File { name, text, .. } = self.files.current();
        if text.trim().is_empty() {
            return self.notices.problem(format!("{name} is empty: there is nothing to {verb}."));
        }
        let line = format!("kubectl {verb} -f {}", quoted(&name));
        self.busy.set(true);
        self.cluster.command(Command::WriteFile { path: name, content: Some(text) });
        self.cluster.enter(terminal::EDITOR, &line);
    }
}

/// `name` as one word of a shell.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match name.chars().all(plain) {
        true => name.to_string(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

#[component]
pub fn Editor(cluster: Cluster, notices: Notices, layout: Layout) -> impl IntoView {
    let desk = Desk {
        files: Files::load(notices),
        cluster,
        notices,
        code: StoredValue::new_local(None),
        shown: StoredValue::new(None),
        diagnostics: RwSignal::new(Vec::new()),
        lint: StoredValue::new((0, false, false)),
        save: StoredValue::new_local(None),
        busy: RwSignal::new(false),
        over: RwSignal::new(false),
    };
    cluster.listen(move |slip| match slip {
        FromWorker::Diagnostics { id, diagnostics } => desk.checked(*id, diagnostics),
        FromWorker::Terminal(written)
            if written
                .iter()
                .any(|one| one.session == terminal::EDITOR && matches!(one.what, Wrote::Exit(_))) =>
        {
            desk.busy.set(false);
        }
        FromWorker::Edit { name, text } => desk.add(name, text),
        // What an earlier worker had under way is forgotten.
        FromWorker::Opened => {
            desk.busy.set(false);
            desk.lint.update_value(|(_, under_way, _)| *under_way = false);
            desk.check();
        }
        _ => {}
    });
    // A closing tab does not wait for the timer.
    let leaving = window_event_listener(ev::pagehide, move |_| {
        desk.take_in();
        desk.files.save();
    });
    on_cleanup(move || leaving.remove());

    // Whatever makes another file the active one: the desk follows.
    Effect::new(move |_| {
        desk.files.active.track();
        desk.take_in();
        desk.files.save();
        desk.lay_out();
        if let Some(code) = desk.code.get_value() {
            code.focus();
        }
    });
    let place = NodeRef::<html::Div>::new();
    Effect::new(move |_| {
        if let Some(place) = place.get() {
            spawn_local(load(desk, place.into()));
        }
    });

    view! {
        <section class="panel editor" aria-label="Editor">
            <div class="panel-head">
                <Tabs desk=desk />
                <Examples desk=desk />
                {fold_button(layout, Panel::Editor)}
            </div>
            <div class="code" node_ref=place>
                <Show when=move || desk.over.get()>
                    <div class="drop-hint">"Drop YAML or JSON files to open them"</div>
                </Show>
            </div>
            <div class="editor-foot">
                <button class="button button-primary" on:click=move |_| desk.run("apply")
                    disabled=move || cluster.state.get() != State::Running || desk.busy.get()>
                    "Apply" <kbd>{if is_apple() { "⌘ ⏎" } else { "Ctrl ⏎" }}</kbd>
                </button>
                <button class="button" on:click=move |_| desk.run("delete")
                    disabled=move || cluster.state.get() != State::Running || desk.busy.get()>"Delete"</button>
                <Problems desk=desk />
            </div>
            {divider(layout, Edge::Editor, "divider-right")}
        </section>
    }
}

#[component]
fn Problems(desk: Desk) -> impl IntoView {
    let diagnostics = desk.diagnostics;
    let text = move || {
        diagnostics.with(|diagnostics| match diagnostics.as_slice() {
            [] => "No problems".to_string(),
            [one] => one.message.clone(),
            [first, rest @ ..] => format!("{} (and {} more)", first.message, rest.len()),
        })
    };
    let some = move || diagnostics.with(|all| all.iter().any(|one| one.severity == Severity::Error));
    view! {
        <button class="problems" class:some=some aria-live="polite" title="Go to the next problem (F8)"
            on:click=move |_| if let Some(code) = desk.code.get_value() { code.next() }>{text}</button>
    }
}

#[component]
fn Tabs(desk: Desk) -> impl IntoView {
    let files = desk.files;
    // The tab whose name is being changed.
    let renaming = RwSignal::new(None::<u64>);
    let names =
        move || files.list.with(|list| list.iter().map(|f| (f.id, f.name.clone())).collect::<Vec<_>>());
    let strip = NodeRef::<html::Div>::new();
    // There may be more tabs than there is room for: the one that is read is always in sight.
    Effect::new(move || {
        names();
        files.active.track();
        request_animation_frame(move || {
            if let Some(strip) = strip.get_untracked()
                && let Ok(Some(tab)) = strip.query_selector(".active")
                && let Ok(tab) = tab.dyn_into::<web_sys::HtmlElement>()
            {
                strip.set_scroll_left(tab.offset_left() - strip.offset_left());
            }
        });
    });
    view! {
        <div class="tabs" role="tablist" aria-label="Files" node_ref=strip>
            <For each=names key=|tab| tab.clone() let(tab)>
                {
                    let (id, name) = tab;
                    let is_active = move || files.active.get() == id;
                    let shown = name.clone();
                    let label = format!("Close {name}");
                    view! {
                        <span class="tab" class:active=is_active>
                            <Show
                                when=move || renaming.get() == Some(id)
                                fallback={
                                    let shown = shown.clone();
                                    move || view! {
                                        <button class="tab-name" role="tab" aria-selected=move || is_active().to_string()
                                            title="Double click to rename"
                                            on:click=move |_| files.active.set(id)
                                            on:dblclick=move |_| renaming.set(Some(id))
                                            on:keydown=move |event| if event.key() == "F2" { renaming.set(Some(id)) }>
                                            {shown.clone()}
                                        </button>
                                    }
                                }
                            >
                                <NameField desk=desk id=id name=name.clone() renaming=renaming />
                            </Show>
                            <button class="tab-close" aria-label=label on:click=move |_| desk.close(id)>"×"</button>
                        </span>
                    }
                }
            </For>
            <button class="icon-button" aria-label="New file" title="New file"
                on:click=move |_| desk.add("untitled.yaml", "")>{icons::plus()}</button>
        </div>
    }
}

#[component]
fn NameField(desk: Desk, id: u64, name: String, renaming: RwSignal<Option<u64>>) -> impl IntoView {
    let field = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(field) = field.get() {
            field.select();
        }
    });
    let done = move |keep: bool| {
        // Leaving the field after Enter or Escape comes here a second time.
        if renaming.try_get_untracked().flatten() != Some(id) {
            return;
        }
        if let (true, Some(field)) = (keep, field.get_untracked()) {
            desk.files.rename(id, &field.value());
        }
        renaming.set(None);
    };
    view! {
        <input node_ref=field value=name aria-label="File name"
            on:blur=move |_| done(true)
            on:keydown=move |event: ev::KeyboardEvent| {
                event.stop_propagation();
                match event.key().as_str() {
                    "Enter" => done(true),
                    "Escape" => done(false),
                    _ => {}
                }
            } />
    }
}

#[component]
fn Examples(desk: Desk) -> impl IntoView {
    let open = RwSignal::new(false);
    let choose = move |example: &Example| {
        open.set(false);
        // An example that is open already, and unchanged, comes to the top.
        let same = desk.files.list.with_untracked(|list| {
            list.iter()
                .find(|file| file.name == example.file && file.text == example.text)
                .map(|file| file.id)
        });
        match same {
            Some(id) => desk.files.active.set(id),
            None => desk.add(example.file, example.text),
        }
    };
    view! {
        <div class="menu" on:keydown=move |event| if event.key() == "Escape" { open.set(false) }>
            <button class="button" aria-haspopup="menu" aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)>"Examples"</button>
            <Show when=move || open.get()>
                <div class="menu-cover" on:click=move |_| open.set(false)></div>
                <ul class="menu-list" role="menu">
                    {EXAMPLES.iter().map(|example| view! {
                        <li role="none"><button class="menu-item" role="menuitem" on:click=move |_| choose(example)>
                            {example.title}<small>{example.note}</small>
                        </button></li>
                    }).collect_view()}
                </ul>
            </Show>
        </div>
    }
}

/// Fetches the JavaScript editor and puts it on the desk; without it a plain text field does.
async fn load(desk: Desk, place: web_sys::HtmlElement) {
    let code = match create(desk, &place).await {
        Ok(code) => code,
        Err(error) => {
            leptos::logging::error!("the editor did not load: {error:?}");
            return desk.notices.problem("The editor could not be loaded. Reload the page to try again.");
        }
    };
    desk.code.set_value(Some(code));
    desk.lay_out();
}

async fn create(desk: Desk, place: &web_sys::HtmlElement) -> Result<CodeMirror, JsValue> {
    let address = document()
        .query_selector("meta[name=clusterarium-editor]")?
        .and_then(|meta| meta.get_attribute("content"))
        .ok_or("the page does not name its editor")?;
    let module: Module = JsFuture::from(codemirror::load_module(&address)?).await?.unchecked_into();
    let page = Object::new();
    let set = |name: &str, value: JsValue| Reflect::set(&page, &name.into(), &value);
    set("changed", Closure::<dyn Fn()>::new(move || desk.changed()).into_js_value())?;
    set("apply", Closure::<dyn Fn()>::new(move || desk.run("apply")).into_js_value())?;
    let refused = Closure::<dyn Fn(String)>::new(move |message: String| desk.notices.problem(message));
    set("refused", refused.into_js_value())?;
    let opened =
        Closure::<dyn Fn(String, String)>::new(move |name: String, text: String| desk.add(&name, &text));
    set("opened", opened.into_js_value())?;
    set("dragging", Closure::<dyn Fn(bool)>::new(move |over: bool| desk.over.set(over)).into_js_value())?;
    module.create_editor(place, &page)
}

fn is_apple() -> bool {
    window().navigator().platform().is_ok_and(|platform| platform.starts_with("Mac"))
}
