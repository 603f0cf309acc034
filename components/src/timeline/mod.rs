//! The timeline: what happened when, and the hand on the clock.

use leptos::prelude::*;

use crate::app::{Page, fold_button};
use crate::layout::Panel;

#[component]
pub fn Timeline(page: Page) -> impl IntoView {
    view! {
        <section class="panel timeline" aria-label="Timeline">
            <div class="panel-head">
                <h2 class="panel-title">"Timeline"</h2>
                {fold_button(page.layout, Panel::Timeline)}
            </div>
            <div class="panel-body"></div>
        </section>
    }
}
