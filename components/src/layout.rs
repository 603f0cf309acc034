//! What is folded, how wide each panel is, light or dark.
//!
//! Picture to hold in mind: furniture that stays where it was left. Everything here is the user's own
//! arrangement, kept for the next visit, and none of it is the cluster's.

use leptos::prelude::*;
use wasm_bindgen::JsValue;

use crate::arithmetic::fixed;
use crate::{json, storage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    Editor,
    Stage,
    Inspector,
    Timeline,
    Terminal,
}

impl Panel {
    pub const ALL: [Panel; 5] =
        [Panel::Editor, Panel::Stage, Panel::Inspector, Panel::Timeline, Panel::Terminal];
    pub fn title(self) -> &'static str {
        match self {
            Panel::Editor => "Editor",
            Panel::Stage => "Cluster",
            Panel::Inspector => "Inspector",
            Panel::Timeline => "Timeline",
            Panel::Terminal => "Terminal",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub fn name(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}

/// What is kept: folded panels, and lengths in rem.
#[derive(Clone, Debug, Default, PartialEq)]
struct Arrangement {
    folded: Vec<Panel>,
    lengths: Vec<(Edge, f64)>,
}

impl Arrangement {
    /// What `text` says, as far as it can be read.
    fn read(text: &str) -> Option<Arrangement> {
        let kept = json::parse(text)?;
        let folded = json::items(&json::field(&kept, "folded"))?;
        let is_folded = |panel: &Panel| {
            folded.iter().any(|name| name.as_string().as_deref() == Some(panel_class(*panel)))
        };
        let lengths = json::field(&kept, "lengths");
        let length = |edge: Edge| {
            let (token, least, most) = edge.token();
            Some((edge, json::field(&lengths, token).as_f64().filter(|rem| (least..=most).contains(rem))?))
        };
        Some(Arrangement {
            folded: Panel::ALL.into_iter().filter(is_folded).collect(),
            lengths: Edge::ALL.into_iter().filter_map(length).collect(),
        })
    }
    fn write(&self) -> String {
        let folded = json::array(self.folded.iter().map(|panel| panel_class(*panel).into()));
        let length = |edge: Edge| {
            let kept = self.lengths.iter().find(|(other, _)| *other == edge);
            (edge.token().0, kept.map_or(JsValue::UNDEFINED, |(_, rem)| (*rem).into()))
        };
        json::text(&json::object([("folded", folded), ("lengths", json::object(Edge::ALL.map(length)))]))
    }
}

/// A line between panels that can be dragged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Editor,
    Inspector,
    Bottom,
    Terminal,
}

impl Edge {
    const ALL: [Edge; 4] = [Edge::Editor, Edge::Inspector, Edge::Bottom, Edge::Terminal];
    /// The token that it sets, with the shortest and the longest length in rem.
    fn token(self) -> (&'static str, f64, f64) {
        match self {
            Edge::Editor => ("--editor-width", 16.0, 60.0),
            Edge::Inspector => ("--inspector-width", 14.0, 60.0),
            Edge::Bottom => ("--bottom-height", 8.0, 45.0),
            Edge::Terminal => ("--terminal-share", 16.0, 90.0),
        }
    }
    /// The length in rem that puts the edge at (`x`, `y`) in a window of `width` by `height`, all in rem.
    fn length(self, x: f64, y: f64, width: f64, height: f64) -> f64 {
        match self {
            Edge::Editor => x,
            Edge::Inspector | Edge::Terminal => width - x,
            Edge::Bottom => height - y,
        }
    }
}

#[derive(Clone, Copy)]
pub struct Layout {
    arrangement: RwSignal<Arrangement>,
    pub theme: RwSignal<Theme>,
    /// Only the stage and its caption.
    pub presenting: RwSignal<bool>,
    /// The panel that a phone shows.
    pub phone: RwSignal<Panel>,
}

impl Layout {
    pub fn load() -> Layout {
        let arrangement =
            storage::read("layout").and_then(|text| Arrangement::read(&text)).unwrap_or_default();
        // index.html has chosen before the first paint.
        let dark = document().document_element().and_then(|root| root.get_attribute("data-theme"));
        let theme = if dark.as_deref() == Some("dark") { Theme::Dark } else { Theme::Light };
        Layout {
            arrangement: RwSignal::new(arrangement),
            theme: RwSignal::new(theme),
            presenting: RwSignal::new(false),
            phone: RwSignal::new(Panel::Stage),
        }
    }

    pub fn is_folded(self, panel: Panel) -> bool {
        self.arrangement.with(|arrangement| arrangement.folded.contains(&panel))
    }

    pub fn fold(self, panel: Panel, folded: bool) {
        self.arrangement.update(|arrangement| {
            arrangement.folded.retain(|other| *other != panel);
            if folded {
                arrangement.folded.push(panel);
            }
        });
        self.save();
    }

    /// The shell's classes: what is folded, whether it presents, what a phone shows.
    pub fn classes(self) -> String {
        let mut classes = String::from("shell");
        if self.presenting.get() {
            classes.push_str(" presenting");
        }
        for panel in Panel::ALL {
            let name = panel_class(panel);
            if self.is_folded(panel) {
                classes.push_str(&format!(" fold-{name}"));
            }
            if self.phone.get() == panel {
                classes.push_str(&format!(" phone-{name}"));
            }
        }
        classes
    }

    /// The shell's tokens that differ from the style sheet's. A folded panel keeps the sheet's rail.
    pub fn style(self) -> String {
        let folded = |panel| self.is_folded(panel);
        self.arrangement.with(|arrangement| {
            let applies = |edge: &Edge| match edge {
                Edge::Editor => !folded(Panel::Editor),
                Edge::Inspector => !folded(Panel::Inspector),
                Edge::Bottom => !(folded(Panel::Timeline) && folded(Panel::Terminal)),
                Edge::Terminal => true,
            };
            let lengths = arrangement.lengths.iter().filter(|(edge, _)| applies(edge));
            lengths.map(|(edge, length)| format!("{}:{}rem;", edge.token().0, fixed(*length, 2))).collect()
        })
    }

    /// Moves `edge` to the pointer at (`x`, `y`) pixels.
    pub fn drag(self, edge: Edge, x: f64, y: f64) {
        let rem = rem();
        let size = |value: Result<wasm_bindgen::JsValue, _>| {
            value.ok().and_then(|value| value.as_f64()).unwrap_or(1000.0) / rem
        };
        let (width, height) = (size(window().inner_width()), size(window().inner_height()));
        let (_, least, most) = edge.token();
        let most = most.min(if edge == Edge::Bottom { height - 14.0 } else { width - 24.0 }).max(least);
        let length = edge.length(x / rem, y / rem, width, height).clamp(least, most);
        self.set(edge, length);
    }
    /// Moves `edge` by `rem`, from the keyboard.
    pub fn nudge(self, edge: Edge, rem: f64) {
        let (token, least, most) = edge.token();
        let kept = self.arrangement.with_untracked(|arrangement| {
            arrangement.lengths.iter().find(|(other, _)| *other == edge).map(|(_, length)| *length)
        });
        let length = kept.or_else(|| measure(token)).unwrap_or(30.0);
        self.set(edge, (length + rem).clamp(least, most));
        self.save();
    }
    fn set(self, edge: Edge, length: f64) {
        self.arrangement.update(|arrangement| {
            arrangement.lengths.retain(|(other, _)| *other != edge);
            arrangement.lengths.push((edge, length));
        });
    }

    /// Keeps the arrangement; where it cannot be kept, the next visit starts with the usual one.
    pub fn save(self) {
        storage::write("layout", &self.arrangement.with_untracked(Arrangement::write));
    }

    pub fn toggle_theme(self) {
        let theme = if self.theme.get_untracked() == Theme::Dark { Theme::Light } else { Theme::Dark };
        self.theme.set(theme);
        storage::write("theme", theme.name());
        if let Some(root) = document().document_element() {
            // An element always takes an attribute of this name.
            let _ = root.set_attribute("data-theme", theme.name());
        }
    }
}

pub fn panel_class(panel: Panel) -> &'static str {
    match panel {
        Panel::Editor => "editor",
        Panel::Stage => "stage",
        Panel::Inspector => "inspector",
        Panel::Timeline => "timeline",
        Panel::Terminal => "terminal",
    }
}

/// Pixels in one rem.
pub fn rem() -> f64 {
    measure("font-size").unwrap_or(16.0)
}

/// The number at the beginning of what the style sheets make of a property of the page, whatever its unit.
fn measure(property: &str) -> Option<f64> {
    let root = document().document_element()?;
    let style = window().get_computed_style(&root).ok()??;
    Some(js_sys::parse_float(&style.get_property_value(property).ok()?)).filter(|number| number.is_finite())
}
