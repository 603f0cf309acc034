//! Signs for buttons, drawn on a grid of 24 with lines only; their colour is the text's.

use leptos::prelude::*;

macro_rules! icons {
    ($($name:ident $path:literal)*) => {
        $(pub fn $name() -> impl IntoView {
            view! { <svg viewBox="0 0 24 24" aria-hidden="true"><path d=$path></path></svg> }
        })*
    };
}

icons! {
    close "M6 6l12 12M18 6L6 18"
    plus "M12 5v14M5 12h14"
    chevron_left "M14 6l-6 6 6 6"
    chevron_right "M10 6l6 6-6 6"
    chevron_down "M6 10l6 6 6-6"
    sun "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M4.9 4.9L7 7M17 17l2.1 2.1M19.1 4.9L17 7M7 17l-2.1 2.1"
    moon "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"
    more "M4 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0M18 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0"
    copy "M9 9h10v11H9zM5 15V4h10"
    play "M7 5l12 7-12 7z"
    step_back "M17 6l-8 6 8 6zM7 6v12"
    step_forward "M7 6l8 6-8 6zM17 6v12"
    pause "M8 5v14M16 5v14"
    folder "M3 6h6l2 2h10v11H3z"
    broom "M4 20h16M6 16l8-8 4 4-8 8M14 8l4-4"
}
