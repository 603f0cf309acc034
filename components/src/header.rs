//! The bar on top: lenses, presentation, theme, and what concerns the session as a whole.

use leptos::{html, prelude::*};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::app::Page;
use crate::icons;
use crate::layout::Theme;
use crate::session;
use crate::stage::Lens;

#[component]
pub fn Header(page: Page) -> impl IntoView {
    let Page { layout, lens, .. } = page;
    let theme_label = move || match layout.theme.get() {
        Theme::Dark => "Light colours",
        Theme::Light => "Dark colours",
    };
    view! {
        <header class="header">
            <h1 class="brand">"Clusterarium"</h1>
            <nav class="lenses" aria-label="Lenses">
                {Lens::ALL.iter().map(|one| view! {
                    <button class="lens" aria-pressed=move || (lens.get() == *one).to_string()
                        on:click=move |_| lens.set(*one)>{one.title()}</button>
                }).collect_view()}
            </nav>
            <div class="header-end">
                <button class="button present" title="Only the stage and its caption (P)"
                    on:click=move |_| layout.presenting.set(true)>"Present"</button>
                <button class="icon-button" aria-label=theme_label title=theme_label
                    on:click=move |_| layout.toggle_theme()>
                    {move || match layout.theme.get() {
                        Theme::Dark => icons::sun().into_any(),
                        Theme::Light => icons::moon().into_any(),
                    }}
                </button>
                <SessionMenu page=page />
            </div>
        </header>
    }
}

#[component]
fn SessionMenu(page: Page) -> impl IntoView {
    let Page { cluster, notices, .. } = page;
    let open = RwSignal::new(false);
    let file = NodeRef::<html::Input>::new();
    let save = move |_| {
        open.set(false);
        session::save(cluster);
    };
    let choose = move |_| {
        open.set(false);
        if let Some(file) = file.get_untracked() {
            file.click();
        }
    };
    let chosen = move |_| {
        let Some(input) = file.get_untracked() else { return };
        let Some(chosen) = input.files().and_then(|files| files.get(0)) else { return };
        spawn_local(async move {
            let text = JsFuture::from(chosen.text()).await.ok().and_then(|text| text.as_string());
            match text {
                Some(text) => session::open_file(cluster, notices, chosen.name(), text),
                None => notices.problem(format!("{} could not be read.", chosen.name())),
            }
            // So that the same file can be chosen again.
            input.set_value("");
        });
    };
    let renew = move |_| {
        open.set(false);
        session::reset(cluster, notices);
    };
    view! {
        <div class="menu" on:keydown=move |event| if event.key() == "Escape" { open.set(false) }>
            <button class="icon-button" aria-label="Session" title="Session" aria-haspopup="menu"
                aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)>{icons::more()}</button>
            <input type="file" accept=".json,application/json" class="visually-hidden" tabindex="-1" aria-label="Session file"
                node_ref=file on:change=chosen />
            <Show when=move || open.get()>
                <div class="menu-cover" on:click=move |_| open.set(false)></div>
                <ul class="menu-list from-right" role="menu">
                    <li role="none"><button class="menu-item" role="menuitem" on:click=renew>
                        "New cluster"<small>"Starts over; can be undone"</small>
                    </button></li>
                    <li role="none"><button class="menu-item" role="menuitem" on:click=save>
                        "Save the session …"<small>"Seed and commands: the very same run again"</small>
                    </button></li>
                    <li role="none"><button class="menu-item" role="menuitem" on:click=choose>
                        "Open a session …"<small>"From a file saved here"</small>
                    </button></li>
                </ul>
            </Show>
        </div>
    }
}
