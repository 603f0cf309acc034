//! The terminal panel: a line to type, and what all shells of the simulated machine wrote.
//!
//! Picture to hold in mind: a teleprinter. Paper goes up, each line keeps who typed it; screen readers read it as
//! it comes. It is plain text in the document, so selecting and copying are the browser's own.

use clusterarium::command::Command;
use leptos::{ev, html, prelude::*};
use worker::protocol::{FromWorker, terminal};

use crate::cluster::{Cluster, State};
use crate::icons;
use crate::layout::{Edge, Layout, Panel};
use crate::storage;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Entered,
    /// Entered by the editor's buttons.
    FromEditor,
    Stdout,
    Stderr,
    Hint,
}

#[derive(Clone)]
struct Line {
    number: u64,
    kind: Kind,
    /// Counted: a line may be written by a command whose button is gone.
    text: ArcRwSignal<String>,
}

/// Pieces of output and lines of history that are kept.
const PIECES: usize = 500;
const HISTORY: usize = 200;
/// Past this many characters output starts a new piece, so that appending stays cheap.
const PIECE_LENGTH: usize = 4_000;

/// What is on the paper; the editor prints on it too.
#[derive(Clone, Copy)]
pub struct Paper {
    lines: RwSignal<Vec<Line>>,
    next: StoredValue<u64>,
    busy: RwSignal<bool>,
}

impl Paper {
    pub fn new(cluster: Cluster) -> Paper {
        let paper =
            Paper { lines: RwSignal::new(Vec::new()), next: StoredValue::new(0), busy: RwSignal::new(false) };
        paper.print(Kind::Hint, "kubectl, etcdctl and a small shell. Try: kubectl get nodes");
        cluster.listen(move |slip| match slip {
            FromWorker::Terminal {
                session: session @ (terminal::PANEL | terminal::EDITOR),
                stdout,
                stderr,
                exit,
            } => {
                paper.print(Kind::Stdout, stdout);
                paper.print(Kind::Stderr, stderr);
                if *session == terminal::PANEL && exit.is_some() {
                    paper.busy.set(false);
                }
            }
            FromWorker::Opened => paper.busy.set(false),
            _ => {}
        });
        paper
    }

    /// The editor has entered `line`.
    pub fn entered_by_editor(self, line: &str) {
        self.print(Kind::FromEditor, line);
    }

    fn print(self, kind: Kind, text: &str) {
        if text.is_empty() {
            return;
        }
        let is_output = matches!(kind, Kind::Stdout | Kind::Stderr);
        let last = self.lines.with_untracked(|lines| lines.last().cloned());
        if let Some(last) = last
            && is_output
            && last.kind == kind
            && last.text.with_untracked(String::len) < PIECE_LENGTH
        {
            return last.text.update(|all| all.push_str(text));
        }
        let number = self.next.get_value();
        self.next.set_value(number + 1);
        self.lines.update(|lines| {
            lines.push(Line { number, kind, text: ArcRwSignal::new(text.to_string()) });
            if lines.len() > PIECES {
                lines.remove(0);
            }
        });
    }
}

#[component]
pub fn Terminal(cluster: Cluster, paper: Paper, layout: Layout) -> impl IntoView {
    let entry = NodeRef::<html::Input>::new();
    let screen = NodeRef::<html::Div>::new();
    let kept: Vec<String> =
        storage::read("history").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let history = StoredValue::new(kept);
    // How far back from the newest line, and what was being typed there.
    let back = StoredValue::new((0_usize, String::new()));

    // The newest line stays in view unless the user has scrolled away from it.
    Effect::new(move |_| {
        paper.lines.with(|lines| {
            if let Some(last) = lines.last() {
                last.text.track();
            }
        });
        if let Some(screen) = screen.get() {
            let from_end = screen.scroll_height() - screen.scroll_top() - screen.client_height();
            if from_end < 600 {
                request_animation_frame(move || screen.set_scroll_top(screen.scroll_height()));
            }
        }
    });

    let run = move |line: String| {
        paper.print(Kind::Entered, &line);
        if line.trim().is_empty() {
            return;
        }
        history.update_value(|history| {
            history.retain(|other| *other != line);
            history.push(line.clone());
            if history.len() > HISTORY {
                history.remove(0);
            }
            if let Ok(text) = serde_json::to_string(history) {
                storage::write("history", &text);
            }
        });
        back.set_value((0, String::new()));
        match cluster.state.get_untracked() {
            State::Running => {
                paper.busy.set(true);
                cluster.enter(terminal::PANEL, &line);
            }
            _ => paper.print(Kind::Hint, "the cluster is not running yet"),
        }
    };
    let browse = move |older: bool| {
        let Some(entry) = entry.get_untracked() else { return };
        let length = history.with_value(Vec::len);
        let (mut steps, mut draft) = back.get_value();
        if steps == 0 {
            draft = entry.value();
        }
        steps = if older { (steps + 1).min(length) } else { steps.saturating_sub(1) };
        let text = match steps {
            0 => draft.clone(),
            steps => history.with_value(|history| history[length - steps].clone()),
        };
        entry.set_value(&text);
        let end = text.encode_utf16().count() as u32;
        // A text field always has a selection to set.
        let _ = entry.set_selection_range(end, end);
        back.set_value((steps, draft));
    };
    let key = move |event: ev::KeyboardEvent| {
        let Some(entry) = entry.get_untracked() else { return };
        match (event.key().as_str(), event.ctrl_key()) {
            // While a command runs, what is typed waits.
            ("Enter", false) if !paper.busy.get_untracked() => {
                let line = entry.value();
                entry.set_value("");
                run(line);
            }
            ("ArrowUp", false) => {
                event.prevent_default();
                browse(true);
            }
            ("ArrowDown", false) => {
                event.prevent_default();
                browse(false);
            }
            ("c", true) if !something_is_selected() => {
                event.prevent_default();
                let line = entry.value();
                paper.print(Kind::Entered, &format!("{line}^C"));
                entry.set_value("");
                if paper.busy.get_untracked() {
                    cluster.command(Command::Interrupt { session: terminal::PANEL });
                }
            }
            ("l", true) => {
                event.prevent_default();
                paper.lines.update(Vec::clear);
            }
            _ => {}
        }
        // The page's own keys (space, arrows) are not meant while typing.
        event.stop_propagation();
    };
    let focus = move |_| {
        if !something_is_selected()
            && let Some(entry) = entry.get_untracked()
        {
            // An element in the document takes the focus.
            let _ = entry.focus();
        }
    };

    view! {
        <section class="panel terminal" aria-label="Terminal" class:terminal-busy=move || paper.busy.get()>
            {crate::app::divider(layout, Edge::Terminal, "divider-left")}
            <div class="panel-head">
                <h2 class="panel-title">"Terminal"</h2>
                <button class="icon-button" aria-label="Clear the terminal" title="Clear (Ctrl+L)"
                    on:click=move |_| paper.lines.update(Vec::clear)>{icons::broom()}</button>
                {crate::app::fold_button(layout, Panel::Terminal)}
            </div>
            <div class="terminal-screen" node_ref=screen on:click=focus>
                <div class="terminal-output" role="log" aria-live="polite" aria-label="Terminal output" tabindex="0">
                    <For each=move || paper.lines.get() key=|line| line.number let(line)>
                        <div class=class_of(line.kind)>{line.text}</div>
                    </For>
                </div>
                <div class="terminal-entry">
                    <span class="terminal-prompt" aria-hidden="true"></span>
                    <input node_ref=entry type="text" aria-label="Command" autocomplete="off" autocapitalize="off"
                        spellcheck="false" on:keydown=key />
                </div>
            </div>
        </section>
    }
}

fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Entered => "entered",
        Kind::FromEditor => "entered from-editor",
        Kind::Stdout => "stdout",
        Kind::Stderr => "stderr",
        Kind::Hint => "hint",
    }
}

fn something_is_selected() -> bool {
    window().get_selection().ok().flatten().is_some_and(|selection| !selection.is_collapsed())
}
