//! The story: what happened, in sentences, the newest first.
//!
//! Picture to hold in mind: a ticker beside the exhibit. Each line is a door: it leads to the message it tells
//! of, at the instant at which it happened.

use clusterarium::picture::{Sentence, Teller};
use leptos::prelude::*;

use crate::arithmetic::fixed;
use crate::stage::Target;
use crate::view::View;

/// Lines that are shown.
const SHOWN: usize = 60;

pub fn story(view: View) -> impl IntoView {
    // Only what the list shows may build it anew: the view's sentences grow with every frame.
    let shown = Memo::new(move |_| {
        view.story.with(|story| story.iter().rev().take(SHOWN).cloned().collect::<Vec<Sentence>>())
    });
    view! {
        <p class="story-hint">
            "Click anything on the stage to see what it is and why. Double-click to look closer."
        </p>
        <ol class="story" aria-label="What happened, the newest first">
            <For each=move || shown.get() key=|sentence| sentence.record let(sentence)>
                {line(view, sentence)}
            </For>
        </ol>
        <Show when=move || shown.with(Vec::is_empty)>
            <p class="story-hint">"Nothing but heartbeats yet: press Apply, and what follows is told here."</p>
        </Show>
    }
}

fn line(view: View, sentence: Sentence) -> impl IntoView {
    let Sentence { record, time_us, teller, text, is_failure } = sentence;
    // What a user or a note tells of is no message; those lines only lead to their instant.
    let go = move |_| {
        view.play(false);
        view.seek(time_us as f64);
        view.select(Some(Target::Message(record)));
    };
    view! {
        <li class=format!("story-line {}", class_of(teller)) class:failure=is_failure>
            <button type="button" title="Go to this instant" on:click=go>
                <span class="story-text">{text}</span>
                <time>{fixed(time_us as f64 / 1e6, 3)} " s"</time>
            </button>
        </li>
    }
}

fn class_of(teller: Teller) -> &'static str {
    match teller {
        Teller::You => "you",
        Teller::ApiServer => "server",
        Teller::Controllers => "controllers",
        Teller::Scheduler => "scheduler",
        Teller::Etcd => "etcd",
        Teller::Node => "node",
    }
}
