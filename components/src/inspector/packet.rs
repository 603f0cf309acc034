//! A packet's way in words: what the network lens draws, as a list that can be read aloud.
//!
//! Picture to hold in mind: the courier's log, with every rule that decided copied out below the step.

use clusterarium::picture::{Hop, HopVerdict, PacketTrace};
use leptos::prelude::*;

pub fn way(trace: &PacketTrace) -> impl IntoView + use<> {
    let lookups = trace.lookups.clone();
    let flights = [("The way there", trace.there.clone()), ("The way back", trace.back.clone())];
    view! {
        {(!lookups.is_empty()).then(|| view! {
            <section>
                <h3>"Name lookups"</h3>
                <ol class="packet-lookups">
                    {lookups.into_iter().map(|lookup| view! {
                        <li class:failure=!lookup.is_found>
                            <code>{lookup.name}</code>" asked of "{lookup.server}": "<code>{lookup.answer}</code>
                        </li>
                    }).collect_view()}
                </ol>
            </section>
        })}
        {flights.into_iter().filter(|(_, hops)| !hops.is_empty()).map(|(title, hops)| view! {
            <section>
                <h3>{title}</h3>
                <ol class="packet-hops">{hops.into_iter().map(hop).collect_view()}</ol>
            </section>
        }).collect_view()}
    }
}

fn hop(hop: Hop) -> impl IntoView {
    let place = [hop.place.node, hop.place.pod, hop.place.interface];
    let place: Vec<String> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let class = match hop.verdict {
        HopVerdict::Refused | HopVerdict::Dropped => "failure",
        HopVerdict::Translated => "translated",
        _ => "",
    };
    view! {
        <li class=class>
            <b>{hop.title}</b>" "<span class="packet-place">{place.join(", ")}</span>
            <p>{hop.explanation}</p>
            {(!hop.outer.is_empty()).then(|| view! { <p class="packet-place">"Around it: "{hop.outer}</p> })}
            {(!hop.rules.is_empty()).then(|| view! { <pre tabindex="0">{hop.rules.join("\n")}</pre> })}
        </li>
    }
}
