//! The inspector: everything about the one thing that was clicked.

use leptos::prelude::*;

use crate::app::{Page, divider, fold_button};
use crate::layout::{Edge, Panel};

#[component]
pub fn Inspector(page: Page) -> impl IntoView {
    view! {
        <section class="panel inspector" aria-label="Inspector">
            {divider(page.layout, Edge::Inspector, "divider-left")}
            <div class="panel-head">
                <h2 class="panel-title">"Inspector"</h2>
                {fold_button(page.layout, Panel::Inspector)}
            </div>
            <div class="panel-body">
                <p class="empty">"Click a message, a component, a pod or a container."</p>
            </div>
        </section>
    }
}
