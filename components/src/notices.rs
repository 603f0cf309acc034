//! What the page has to say to its user.
//!
//! Picture to hold in mind: slips pinned to a board. Good news takes itself down after a while; a problem stays
//! until it is taken down; what was just done carries the button that undoes it.

use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;

use crate::icons;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Info,
    Problem,
}

#[derive(Clone)]
struct Notice {
    id: u64,
    kind: Kind,
    text: String,
    /// A button's label and what it does.
    action: Option<Action>,
}

/// Counted, not owned by the menu or tab that made it: it outlives them.
type Action = (&'static str, Arc<dyn Fn() + Send + Sync>);

/// The board.
#[derive(Clone, Copy)]
pub struct Notices {
    list: RwSignal<Vec<Notice>>,
    next: StoredValue<u64>,
}

/// How long good news hangs there, and how much may hang at once.
const SHOWN: Duration = Duration::from_secs(8);
const MOST: usize = 4;

impl Notices {
    pub fn new() -> Notices {
        Notices { list: RwSignal::new(Vec::new()), next: StoredValue::new(0) }
    }
    pub fn info(self, text: impl Into<String>) {
        self.pin(Kind::Info, text.into(), None);
    }
    pub fn problem(self, text: impl Into<String>) {
        self.pin(Kind::Problem, text.into(), None);
    }
    /// Something was done that `label` can undo or follow up.
    pub fn offer(
        self,
        kind: Kind,
        text: impl Into<String>,
        label: &'static str,
        act: impl Fn() + Send + Sync + 'static,
    ) {
        self.pin(kind, text.into(), Some((label, Arc::new(act))));
    }

    fn pin(self, kind: Kind, text: String, action: Option<Action>) {
        let id = self.next.get_value();
        self.next.set_value(id + 1);
        self.list.update(|list| {
            // The same words twice say no more.
            list.retain(|notice| notice.text != text);
            list.push(Notice { id, kind, text, action });
            if list.len() > MOST {
                list.remove(0);
            }
        });
        if kind == Kind::Info {
            set_timeout(move || self.dismiss(id), SHOWN);
        }
    }
    fn dismiss(self, id: u64) {
        self.list.update(|list| list.retain(|notice| notice.id != id));
    }
}

impl Default for Notices {
    fn default() -> Notices {
        Notices::new()
    }
}

#[component]
pub fn NoticeBoard(notices: Notices) -> impl IntoView {
    view! {
        <div class="notices" role="status" aria-live="polite">
            <For each=move || notices.list.get() key=|notice| notice.id let(notice)>
                <div class="notice" class:problem=notice.kind == Kind::Problem>
                    <p>{notice.text.clone()}</p>
                    {notice.action.map(|(label, act)| view! {
                        <button class="button" on:click=move |_| { act(); notices.dismiss(notice.id) }>{label}</button>
                    })}
                    <button class="icon-button" aria-label="Dismiss" on:click=move |_| notices.dismiss(notice.id)>
                        {icons::close()}
                    </button>
                </div>
            </For>
        </div>
    }
}
