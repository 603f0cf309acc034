//! The stage's colours and type, taken from the page's tokens: the canvas obeys the same sheet as the rest.
//!
//! Picture to hold in mind: a painter who fills the pots from the house's own cupboard, again at each change of
//! light.

use clusterarium::picture::Tone;
use wasm_bindgen::JsCast;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Palette {
    pub ground: String,
    pub surface: String,
    pub sunken: String,
    pub line: String,
    pub line_strong: String,
    pub ink: String,
    pub ink_muted: String,
    pub ink_faint: String,
    pub steady: String,
    pub steady_soft: String,
    pub on_steady: String,
    pub motion: String,
    pub motion_soft: String,
    pub on_motion: String,
    pub etcd: String,
    pub etcd_soft: String,
    pub on_etcd: String,
    pub failed: String,
    pub failed_soft: String,
    pub on_failed: String,
    pub slab: String,
    pub on_slab: String,
    pub halo: String,
    pub font_text: String,
    pub font_code: String,
}

/// How something in a tone is drawn: colour and line together, so that neither is needed alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look<'a> {
    pub line: &'a str,
    pub fill: &'a str,
    /// For text on `line` used as a ground.
    pub on_line: &'a str,
    /// Not there yet, or on its way out.
    pub is_dashed: bool,
    /// Drawn solid: it is all there.
    pub is_solid: bool,
}

impl Palette {
    /// Reads the tokens that hold at this moment.
    pub fn read() -> Palette {
        let style = web_sys::window().and_then(|window| {
            let root = window.document()?.document_element()?;
            window.get_computed_style(root.unchecked_ref()).ok().flatten()
        });
        let token = |name: &str| -> String {
            let value = style.as_ref().and_then(|style| style.get_property_value(name).ok());
            value.map(|value| value.trim().to_string()).unwrap_or_default()
        };
        Palette {
            ground: token("--ground"),
            surface: token("--surface"),
            sunken: token("--surface-sunken"),
            line: token("--line"),
            line_strong: token("--line-strong"),
            ink: token("--ink"),
            ink_muted: token("--ink-muted"),
            ink_faint: token("--ink-faint"),
            steady: token("--steady"),
            steady_soft: token("--steady-soft"),
            on_steady: token("--on-steady"),
            motion: token("--motion"),
            motion_soft: token("--motion-soft"),
            on_motion: token("--on-motion"),
            etcd: token("--etcd"),
            etcd_soft: token("--etcd-soft"),
            on_etcd: token("--on-etcd"),
            failed: token("--failed"),
            failed_soft: token("--failed-soft"),
            on_failed: token("--on-failed"),
            slab: token("--slab"),
            on_slab: token("--on-slab"),
            halo: token("--halo"),
            font_text: token("--font-text"),
            font_code: token("--font-code"),
        }
    }

    pub fn look(&self, tone: Tone) -> Look<'_> {
        let look =
            |line, fill, on_line, is_dashed, is_solid| Look { line, fill, on_line, is_dashed, is_solid };
        match tone {
            Tone::Pending => look(&self.line_strong, &self.surface, &self.surface, true, false),
            Tone::Progressing => look(&self.motion, &self.motion_soft, &self.on_motion, true, false),
            Tone::Healthy => look(&self.steady, &self.steady_soft, &self.on_steady, false, true),
            Tone::Degraded => look(&self.motion, &self.motion_soft, &self.on_motion, false, false),
            Tone::Failed => look(&self.failed, &self.failed_soft, &self.on_failed, false, false),
            Tone::Completed => look(&self.line_strong, &self.sunken, &self.surface, false, true),
            Tone::Terminating => look(&self.ink_faint, &self.sunken, &self.surface, true, false),
        }
    }
}
