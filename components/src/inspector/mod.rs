//! What is selected, in words: what it is, how it fares, why, and what can be done to it.
//!
//! Picture to hold in mind: the card beside an exhibit. The answer to *Why?* comes first; under it the facts,
//! the events, and the object as it stands in etcd. With nothing selected it tells the [`story`].

mod packet;
mod story;

use std::sync::Arc;

use clusterarium::picture::{Detail, Reference};
use leptos::prelude::*;
use worker::protocol::ToWorker;

use crate::app::{Page, divider, fold_button};
use crate::layout::{Edge, Panel};
use crate::timeline::clock;
use crate::view::{View, target_asked};

#[component]
pub fn Inspector(page: Page) -> impl IntoView {
    let view = page.view;
    let body = NodeRef::<leptos::html::Div>::new();
    // Another card is read from its top.
    Effect::new(move || {
        view.selected.track();
        if let Some(body) = body.get_untracked() {
            body.set_scroll_top(0);
        }
    });
    view! {
        <section class="panel inspector" aria-label="Inspector">
            {divider(page.layout, Edge::Inspector, "divider-left")}
            <div class="panel-head">
                <h2 class="panel-title">
                    {move || if view.detail.get().is_some() { "Inspector" } else { "What happens" }}
                </h2>
                <Show when=move || view.detail.get().is_some()>
                    <button type="button" class="button" title="Back to what happens"
                        on:click=move |_| view.select(None)>"Close"</button>
                </Show>
                {fold_button(page.layout, Panel::Inspector)}
            </div>
            <div class="panel-body" node_ref=body>
                {move || match (view.detail.get(), view.selected.get()) {
                    (Some(detail), Some(_)) => card(view, &detail).into_any(),
                    _ => story::story(view).into_any(),
                }}
            </div>
        </section>
    }
}

fn card(view: View, detail: &Arc<Detail>) -> impl IntoView {
    let why = detail.why.clone();
    let summary = detail.summary.clone();
    let conditions = detail.conditions.clone();
    let events = detail.events.clone();
    let actions = detail.actions.clone();
    let owners = detail.owners.clone();
    let yaml = detail.yaml.clone();
    view! {
        <article class="card">
            <header>
                <span class="card-kind">{detail.kind.clone()}</span>
                <h2>{detail.title.clone()}</h2>
                <p class="card-line">{detail.explanation.clone()}</p>
            </header>
            {(!why.is_empty()).then(|| view! {
                <section class="why">
                    <h3>"Why?"</h3>
                    <ol>
                        {why.into_iter().map(|link| {
                            let time_us = link.time_us;
                            view! {
                                <li>
                                    <button type="button" title="Go to this instant" on:click=move |_| {
                                        view.play(false);
                                        view.seek(time_us as f64);
                                    }>
                                        <span class="why-text">{link.text}</span>
                                        <time>{clock(time_us as f64)}</time>
                                    </button>
                                </li>
                            }
                        }).collect_view()}
                    </ol>
                </section>
            })}
            {(!actions.is_empty()).then(|| view! {
                <section class="card-actions" aria-label="What can be done">
                    {actions.into_iter().map(|action| {
                        let commands = action.commands;
                        view! {
                            <button type="button" title=action.explanation on:click=move |_| {
                                view.send(ToWorker::Commands(commands.clone()));
                            }>{action.label}</button>
                        }
                    }).collect_view()}
                </section>
            })}
            {detail.packet.as_ref().map(packet::way)}
            <dl class="card-facts">
                {summary.into_iter().map(|(name, value)| view! {
                    <dt>{name}</dt><dd>{value}</dd>
                }).collect_view()}
            </dl>
            {(!owners.is_empty()).then(|| view! {
                <section>
                    <h3>"Owned by"</h3>
                    <ul class="card-owners">
                        {owners.into_iter().map(|owner| view! { <li>{owner.kind}" "<code>{owner.name}</code></li> }).collect_view()}
                    </ul>
                </section>
            })}
            {(!conditions.is_empty()).then(|| view! {
                <section>
                    <h3>"Conditions"</h3>
                    <table class="card-table">
                        <tbody>
                            {conditions.into_iter().map(|condition| view! {
                                <tr>
                                    <th scope="row">{condition.name}</th>
                                    <td>{condition.status}</td>
                                    <td>{condition.message}</td>
                                </tr>
                            }).collect_view()}
                        </tbody>
                    </table>
                </section>
            })}
            {(!events.is_empty()).then(|| view! {
                <section>
                    <h3>"Events"</h3>
                    <ol class="card-events">
                        {events.into_iter().map(|event| view! {
                            <li class:warning=event.is_warning>
                                <time>{clock(event.time_us as f64)}</time>
                                <span><b>{event.reason}</b>" "{event.message}</span>
                            </li>
                        }).collect_view()}
                    </ol>
                </section>
            })}
            {detail.changes.iter().map(|(stage, diff)| changed(stage, diff)).collect_view()}
            {detail.references.iter().map(|(heading, all)| references(view, heading, all)).collect_view()}
            {(!yaml.is_empty()).then(|| view! {
                <section>
                    <h3>"As it stands"</h3>
                    <pre class="card-yaml" tabindex="0">{yaml}</pre>
                </section>
            })}
        </article>
    }
}

/// What a stage of the API server changed in an object: each line marked by its sign and its tag.
fn changed(stage: &str, diff: &str) -> impl IntoView + use<> {
    let lines = diff.lines().map(|line| {
        let text = format!("{line}\n");
        match line.as_bytes().first() {
            Some(b'+') => view! { <ins>{text}</ins> }.into_any(),
            Some(b'-') => view! { <del>{text}</del> }.into_any(),
            _ => text.into_any(),
        }
    });
    view! {
        <section>
            <h3>{stage.to_string()}</h3>
            <pre class="card-yaml" tabindex="0">{lines.collect_view()}</pre>
        </section>
    }
}

/// What else there is to look at.
fn references(view: View, heading: &str, all: &[Reference]) -> impl IntoView + use<> {
    let heading = heading.to_string();
    (!all.is_empty()).then(|| view! {
        <section>
            <h3>{heading}</h3>
            <ol class="card-references">
                {all.iter().map(|one| {
                    let (text, about, target) = (one.text.clone(), one.about.clone(), one.query.as_ref().and_then(target_asked));
                    let cannot = target.is_none();
                    view! {
                        <li class:going=one.is_going>
                            <button type="button" disabled=cannot on:click=move |_| view.select(target.clone())>{text}</button>
                            <span>{about}</span>
                        </li>
                    }
                }).collect_view()}
            </ol>
        </section>
    })
}
