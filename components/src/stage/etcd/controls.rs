//! The hand above the ring: the classic set-ups, who is parted from whom, who joins.
//!
//! Picture to hold in mind: the drill instructor's whistle and card. One blast sets the scene, the card says what to look
//! at, and the last whistle puts everything back.

use clusterarium::command::{Command, Form};
use clusterarium::picture::{Action, MEND, STORIES, free_name, scene, setups};
use leptos::{ev, prelude::*};
use worker::protocol::ToWorker;

use crate::app::{Page, is_typing};
use crate::stage::Target;
use crate::stage::level::dial;
use crate::view::View;

/// What was done last, and what to look at.
#[derive(Clone)]
pub struct Caption {
    /// From this instant on it is so.
    time_us: f64,
    text: String,
    /// What takes it back.
    undo: Vec<Form>,
}

const HINT: &str = "Drag a line across the ring to part it. Click a member, a cable or a message: its card has what can be done.";

/// The most members that the ring has room for.
const MOST: usize = 7;

/// Parts the members of one side from those of the other, by their places in the picture.
pub fn part(view: View, caption: RwSignal<Option<Caption>>, sides: [Vec<usize>; 2]) {
    let picture = view.picture.get_untracked();
    let words = sides.each_ref().map(|side| list(side));
    // Who was chosen, or stood where the line was drawn, may be gone by now.
    let name = |index: usize| Some(picture.etcd.get(index)?.name.clone());
    let [names, others] = sides.map(|side| side.into_iter().filter_map(name).collect::<Vec<_>>());
    let text = if names.is_empty() || others.is_empty() {
        "Nobody is on the other side of that line: drag it between two members.".to_string()
    } else {
        let voters = picture.etcd.iter().filter(|member| !member.is_learner).count();
        format!(
            "{} and {} no longer reach each other. Only a side with {} of {voters} can elect a leader and commit.",
            words[0],
            words[1],
            voters / 2 + 1
        )
    };
    let pairs = names.iter().flat_map(|a| others.iter().map(move |b| (a.clone(), b.clone())));
    let undo: Vec<Form> = pairs.map(|(a, b)| Command::JoinLink { a, b }.into()).collect();
    if !undo.is_empty() {
        view.send(ToWorker::Commands(vec![Command::Partition { sides: vec![names, others] }.into()]));
    }
    caption.set(Some(Caption { time_us: view.time_us.get_untracked(), text, undo }));
}

/// `m1, m3`
pub fn list(members: &[usize]) -> String {
    members.iter().map(|index| format!("m{}", index + 1)).collect::<Vec<_>>().join(", ")
}

/// A story that is being played.
#[derive(Clone, Copy)]
struct Play {
    story: &'static str,
    next: usize,
    /// When its next scene is due, in simulated time.
    due_us: f64,
}

/// What a group that had to be mended is given to find itself, before the first scene.
const RECOVERY_US: f64 = 5e6;

#[component]
pub fn Controls(page: Page, caption: RwSignal<Option<Caption>>) -> impl IntoView {
    let view = page.view;
    let all = Memo::new(move |_| view.picture.with(|picture| setups(picture)));
    let count = Memo::new(move |_| view.picture.with(|picture| picture.etcd.len()));
    let chosen = RwSignal::new(Vec::<usize>::new());
    let act = move |action: Action| {
        view.send(ToWorker::Commands(action.commands));
        let time_us = view.time_us.get_untracked();
        caption.set(Some(Caption { time_us, text: action.explanation, undo: Vec::new() }));
    };
    let play = RwSignal::new(None::<Play>);
    let press = move |label: &str| {
        let action = all.with_untracked(|all| all.iter().find(|action| action.label == label).cloned());
        play.set(None);
        action.clone().map(act);
        action.is_some()
    };
    let tell = move |story: &'static str| {
        let now = view.time_us.get_untracked();
        let due_us = if press(MEND) { now + RECOVERY_US } else { now };
        view.play(true);
        play.set(Some(Play { story, next: 0, due_us }));
    };
    Effect::new(move |_| {
        let now = view.time_us.get();
        if let Some(Play { story, next, due_us }) = play.get().filter(|play| now >= play.due_us) {
            let scene = view.picture.with_untracked(|picture| scene(picture, story, next));
            play.set(scene.map(|(action, pause_us)| {
                act(action);
                Play { story, next: next + 1, due_us: due_us + pause_us as f64 }
            }));
        }
    });
    let keys = window_event_listener(ev::keydown, move |event| {
        if is_typing(&event) || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        let label: Option<String> = match event.key().as_str() {
            "m" => Some(MEND.to_string()),
            key => key.parse::<usize>().ok().and_then(|number| {
                let index = number.checked_sub(1)?;
                all.with_untracked(|all| all.get(index).map(|action| action.label.clone()))
            }),
        };
        if let Some(label) = label {
            press(&label);
        }
    });
    on_cleanup(move || keys.remove());
    let labels =
        Memo::new(move |_| all.with(|all| all.iter().map(|action| action.label.clone()).collect::<Vec<_>>()));
    // What was said of an instant that lies ahead again is not so yet.
    let said = move || caption.get().filter(|caption| view.time_us.get() >= caption.time_us);
    let text = Memo::new(move |_| said().map(|caption| caption.text));
    let can_undo = Memo::new(move |_| said().is_some_and(|caption| !caption.undo.is_empty()));
    let undo = move || {
        if let Some(Caption { undo, .. }) = caption.get_untracked() {
            view.send(ToWorker::Commands(undo));
            caption.set(None);
        }
    };
    let join = move |is_learner| {
        if count.get_untracked() >= MOST {
            let text = "The ring has room for seven.".to_string();
            return caption.set(Some(Caption { time_us: 0.0, text, undo: Vec::new() }));
        }
        let name = view.picture.with_untracked(|picture| free_name(picture));
        view.send(ToWorker::Commands(vec![Command::AddEtcdMember { name, is_learner }.into()]));
    };
    let cut = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let (side, rest) = (0..count.get_untracked())
            .partition(|index| chosen.with_untracked(|chosen| chosen.contains(index)));
        part(view, caption, [side, rest]);
    };
    // What was chosen is to be seen, not covered by the menu.
    let close = |event: ev::MouseEvent| {
        let chosen: web_sys::Element = event_target(&event);
        if let Ok(Some(menu)) = chosen.closest("details")
            && chosen.tag_name() == "BUTTON"
        {
            // Removing an attribute fails for none.
            let _ = menu.remove_attribute("open");
        }
    };
    view! {
        <div class="hand" role="group" aria-label="Set-ups">
            <div class="hand-rows">
            {dial(page.level)}
            <div class="hand-row">
                {move || labels.get().into_iter().enumerate().map(|(index, label)| set_up(index, label, press)).collect_view()}
                <details class="menu">
                    <summary class="button">"Stories"</summary>
                    <div class="menu-list stories" on:click=close>
                        {STORIES.map(|story| view! {
                            <button type="button" class="menu-item" on:click=move |_| tell(story)>{story}</button>
                        }).collect_view()}
                    </div>
                </details>
                {button("Keys", Box::new(move || view.select(Some(Target::Keys(String::new(), String::new())))))}
                <details class="menu">
                    <summary class="button">"More"</summary>
                    <form class="menu-list" on:submit=cut on:click=close>
                        <fieldset>
                            <legend>"Cut off"</legend>
                            {move || (0..count.get()).map(|index| view! {
                                <label>
                                    <input type="checkbox" on:change=move |_| chosen.update(|chosen| {
                                        match chosen.iter().position(|other| *other == index) {
                                            Some(place) => { chosen.remove(place); }
                                            None => chosen.push(index),
                                        }
                                    }) />
                                    {list(&[index])}
                                </label>
                            }).collect_view()}
                            <button type="submit" class="button">"Cut"</button>
                        </fieldset>
                        {button("Add a member", Box::new(move || join(false)))}
                        {button("Add a learner", Box::new(move || join(true)))}
                    </form>
                </details>
            </div>
            </div>
            <p class="hand-caption" role="status">
                {move || text.get().unwrap_or_else(|| HINT.to_string())}
                <Show when=move || can_undo.get()>
                    " " {button("Undo", Box::new(undo))}
                </Show>
            </p>
            <Show when=move || page.tells_of_etcd()>{told(view)}</Show>
        </div>
    }
}

/// What the members do, the newest first.
fn told(view: View) -> impl IntoView {
    let quiet = || "Nothing but heartbeats: the leader lives, and nobody writes.".to_string();
    let sentences =
        move || view.etcd.with(|told| told.iter().rev().map(|one| one.text.clone()).collect::<Vec<_>>());
    view! {
        <ol class="told" tabindex="0" aria-live="polite" aria-label="What etcd's members do, the newest first">
            {move || {
                let mut all = sentences();
                if all.is_empty() {
                    all.push(quiet());
                }
                all.into_iter().map(|text| view! { <li>{text}</li> }).collect_view()
            }}
        </ol>
    }
}

/// One form for all, which costs the page the least.
fn button(label: &'static str, act: Box<dyn Fn()>) -> impl IntoView {
    view! { <button type="button" class="button" on:click=move |_| act()>{label}</button> }
}

fn set_up(index: usize, label: String, press: impl Fn(&str) -> bool + 'static) -> impl IntoView {
    let is_mend = label == MEND;
    let key = if is_mend { "m".to_string() } else { (index + 1).to_string() };
    let name = label.clone();
    view! {
        <button type="button" class="button" class:button-primary=is_mend on:click=move |_| { press(&name); }>
            {label} " " <kbd>{key}</kbd>
        </button>
    }
}
