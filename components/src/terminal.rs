//! The terminal panel: a line to type, and what all shells of the simulated machine wrote.
//!
//! Picture to hold in mind: a teleprinter. Paper goes up, each line keeps who typed it; screen readers read it as
//! it comes. It is plain text in the document, so selecting and copying are the browser's own.

mod complete;
mod files;

use std::sync::Arc;

use clusterarium::command::Command;
use leptos::{ev, html, prelude::*};
use worker::protocol::{FromWorker, Written, Wrote, terminal};

use crate::cluster::{Cluster, State};
use crate::layout::{Edge, Layout, Panel};
use crate::storage;
use crate::view::View;
use crate::{icons, json};

use complete::Complete;

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
struct Piece {
    number: u64,
    /// When it appeared; it is on the paper from that instant on.
    time_us: u64,
    kind: Kind,
    text: Arc<str>,
}

/// Pieces of output and lines of history that are kept.
const PIECES: usize = 1_000;
const HISTORY: usize = 200;

/// What is on the paper of the panel's and the editor's terminal, at the instant that all panels show.
#[derive(Clone, Copy)]
pub struct Paper {
    pieces: RwSignal<Vec<Piece>>,
    next: StoredValue<u64>,
    /// A line of the panel's is under way.
    busy: RwSignal<bool>,
    view: View,
}

impl Paper {
    pub fn new(cluster: Cluster, view: View) -> Paper {
        let paper = Paper {
            pieces: RwSignal::new(Vec::new()),
            next: StoredValue::new(0),
            busy: RwSignal::new(false),
            view,
        };
        paper.clear();
        cluster.listen(move |slip| match slip {
            FromWorker::Terminal(written) => paper.written(written),
            FromWorker::Forked { at_us } => {
                paper.pieces.update(|pieces| pieces.retain(|piece| piece.time_us <= *at_us));
                paper.busy.set(false);
            }
            FromWorker::Rewritten => {
                paper.clear();
                paper.busy.set(false);
            }
            _ => {}
        });
        paper
    }

    fn written(self, written: &[Written]) {
        for Written { time_us, session, what } in written {
            let is_panel = *session == terminal::PANEL;
            if !is_panel && *session != terminal::EDITOR {
                continue;
            }
            match what {
                Wrote::Line(line) => {
                    self.print(*time_us, if is_panel { Kind::Entered } else { Kind::FromEditor }, line);
                    if is_panel {
                        self.busy.set(true);
                    }
                }
                Wrote::Interrupt => self.print(*time_us, Kind::Hint, "^C"),
                Wrote::Stdout(text) => self.print(*time_us, Kind::Stdout, text),
                Wrote::Stderr(text) => self.print(*time_us, Kind::Stderr, text),
                Wrote::Exit(_) if is_panel => self.busy.set(false),
                Wrote::Exit(_) => {}
            }
        }
    }

    fn print(self, time_us: u64, kind: Kind, text: &str) {
        if text.is_empty() && kind != Kind::Entered {
            return;
        }
        let number = self.next.get_value();
        self.next.set_value(number + 1);
        self.pieces.update(|pieces| {
            pieces.push(Piece { number, time_us, kind, text: text.into() });
            if pieces.len() > PIECES {
                pieces.remove(0);
            }
        });
    }

    /// A fresh sheet.
    fn clear(self) {
        self.pieces.update(Vec::clear);
        self.print(0, Kind::Hint, "kubectl, etcdctl and a small shell. Try: kubectl get nodes");
    }

    /// What has appeared by now.
    fn visible(self) -> Memo<usize> {
        Memo::new(move |_| {
            let now_us = self.view.time_us.get() as u64;
            self.pieces.with(|pieces| pieces.partition_point(|piece| piece.time_us <= now_us))
        })
    }
}

#[component]
pub fn Terminal(cluster: Cluster, paper: Paper, layout: Layout) -> impl IntoView {
    let entry = NodeRef::<html::Input>::new();
    let screen = NodeRef::<html::Div>::new();
    let kept =
        storage::read("history").and_then(|text| json::items(&json::parse(&text)?)).unwrap_or_default();
    let history = StoredValue::new(kept.iter().filter_map(|line| line.as_string()).collect::<Vec<_>>());
    // How far back from the newest line, and what was being typed there.
    let back = StoredValue::new((0_usize, String::new()));

    // The newest line stays in view unless the user has scrolled away from it.
    let visible = paper.visible();
    let shown = move || paper.pieces.with(|pieces| pieces[..visible.get().min(pieces.len())].to_vec());
    Effect::new(move |_| {
        visible.track();
        if let Some(screen) = screen.get() {
            let from_end = screen.scroll_height() - screen.scroll_top() - screen.client_height();
            if from_end < 600 {
                request_animation_frame(move || screen.set_scroll_top(screen.scroll_height()));
            }
        }
    });

    let complete = Complete::new(cluster, entry);

    let now_us = move || paper.view.time_us.get_untracked() as u64;
    let run = move |line: String| {
        if line.trim().is_empty() {
            return paper.print(now_us(), Kind::Entered, &line);
        }
        history.update_value(|history| {
            history.retain(|other| *other != line);
            history.push(line.clone());
            if history.len() > HISTORY {
                history.remove(0);
            }
            storage::write("history", &json::text(&json::array(history.iter().map(|line| line.into()))));
        });
        back.set_value((0, String::new()));
        match cluster.state.get_untracked() {
            State::Running => {
                paper.busy.set(true);
                cluster.enter(terminal::PANEL, &line);
            }
            _ => paper.print(now_us(), Kind::Hint, "the cluster is not running yet"),
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
            // An empty line lets the focus go on; else nobody could leave the field by keyboard.
            ("Tab", false) if !event.shift_key() && !entry.value().trim().is_empty() => {
                event.prevent_default();
                complete.ask(&entry);
            }
            // While a command runs, what is typed waits.
            ("Enter", false) if !paper.busy.get_untracked() => {
                let line = entry.value();
                entry.set_value("");
                complete.offered.set(Vec::new());
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
                if paper.busy.get_untracked() {
                    cluster.command(Command::Interrupt { session: terminal::PANEL });
                } else {
                    paper.print(now_us(), Kind::Entered, &format!("{}^C", entry.value()));
                }
                entry.set_value("");
            }
            ("l", true) => {
                event.prevent_default();
                paper.pieces.update(Vec::clear);
            }
            _ => {}
        }
        // The page's own keys (space, arrows) are not meant while typing.
        event.stop_propagation();
    };
    let choose = move |candidate: String| {
        if let Some(entry) = entry.get_untracked() {
            complete.take(&entry, &candidate);
            // An element in the document takes the focus.
            let _ = entry.focus();
        }
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
                <files::Files cluster=cluster />
                <button class="icon-button" aria-label="Clear the terminal" title="Clear (Ctrl+L)"
                    on:click=move |_| paper.pieces.update(Vec::clear)>{icons::broom()}</button>
                {crate::app::fold_button(layout, Panel::Terminal)}
            </div>
            <div class="terminal-screen" node_ref=screen on:click=focus>
                <div class="terminal-output" role="log" aria-live="polite" aria-label="Terminal output" tabindex="0">
                    <For each=shown key=|piece| piece.number let(piece)>
                        <div class=class_of(piece.kind)>{piece.text.to_string()}</div>
                    </For>
                </div>
                <div class="terminal-entry">
                    <span class="terminal-prompt" aria-hidden="true"></span>
                    <input node_ref=entry type="text" aria-label="Command" autocomplete="off" autocapitalize="off"
                        spellcheck="false" on:keydown=key on:input=move |_| complete.offered.set(Vec::new()) />
                </div>
                <Show when=move || complete.offered.with(|offered| !offered.is_empty())>
                    <ul class="terminal-offers" aria-label="What may stand here">
                        <For each=move || complete.offered.get() key=|word| word.clone() let(word)>
                            <li><button type="button" tabindex="-1" on:click={
                                let word = word.clone();
                                move |_| choose(word.clone())
                            }>{word.clone()}</button></li>
                        </For>
                    </ul>
                </Show>
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
