//! The stage: the cluster itself, drawn.

use leptos::prelude::*;

use crate::app::Page;

/// What one concern lights up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lens {
    ApiFlow,
}

impl Lens {
    pub const ALL: &[Lens] = &[Lens::ApiFlow];
    pub fn title(self) -> &'static str {
        match self {
            Lens::ApiFlow => "API flow",
        }
    }
}

#[component]
pub fn Stage(page: Page) -> impl IntoView {
    let _ = page;
    view! { <main class="panel stage" aria-label="Cluster"><div class="stage-canvas"></div></main> }
}
