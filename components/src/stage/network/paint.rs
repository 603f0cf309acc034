//! From a layout to strokes: the network lens.
//!
//! Picture to hold in mind: a courier's log with a red pencil. What merely passed is plain; where the envelope was
//! rewritten the step is amber; where the packet died the step is vermilion and crossed.

use clusterarium::picture::{Envelope, Hop, HopStage, HopVerdict, PacketTrace, PacketVerdict};

use super::layout::{Layout, Step};
use crate::stage::brush::{Align, Brush, font};
use crate::stage::geometry::{Point, Rect, Route};
use crate::stage::lettering::Lettering;
use crate::stage::palette::Palette;
use crate::stage::scene::Frame;

pub struct Painter<'a> {
    pub trace: Option<&'a PacketTrace>,
    pub layout: &'a Layout,
    pub frame: &'a Frame<'a>,
    pub brush: &'a Brush<'a>,
}

impl Lettering for Painter<'_> {
    const CODE_WEIGHT: u32 = 560;

    fn palette(&self) -> &Palette {
        self.frame.palette
    }
    fn brush(&self) -> &Brush<'_> {
        self.brush
    }
}

impl Painter<'_> {
    pub fn paint(&self) {
        let Some(trace) = self.trace else { return self.nothing() };
        self.columns();
        self.thread();
        for step in &self.layout.steps {
            if let Some(hop) = step.hop(trace) {
                self.step(step, hop);
            }
        }
        self.verdict(trace);
    }

    fn nothing(&self) {
        let (palette, bounds) = (self.palette(), self.layout.bounds);
        let at = Point::new(bounds.center().x, bounds.center().y - 14.0);
        self.text("Send a packet", at, bounds.width - 40.0, 22.0, 700, &palette.ink, Align::Center);
        let at = Point::new(bounds.center().x, bounds.center().y + 16.0);
        let words = "Choose who sends and to whom: every rule and route on its way is shown.";
        self.text(words, at, bounds.width - 40.0, 17.0, 450, &palette.ink_muted, Align::Center);
    }

    fn columns(&self) {
        let palette = self.palette();
        for column in &self.layout.columns {
            self.brush.fill(column.rect, 14.0, &palette.surface);
            self.brush.stroke(column.rect, 14.0, &palette.line, 1.5, column.node.is_empty());
            let name = if column.node.is_empty() { "outside" } else { column.node.as_str() };
            let at = Point::new(column.head.x + 14.0, column.head.center().y);
            self.text(name, at, column.head.width - 24.0, 17.0, 700, &palette.ink, Align::Left);
        }
        let envelopes = self.layout.envelopes;
        if envelopes.width > 0.0 {
            for (words, x) in [("source", envelopes.x), ("destination", envelopes.x + envelopes.width / 2.0)]
            {
                let at = Point::new(x, envelopes.y + 20.0);
                self.text(words, at, envelopes.width / 2.0, 15.0, 640, &palette.ink_muted, Align::Left);
            }
        }
    }

    /// The line from step to step.
    fn thread(&self) {
        let palette = self.palette();
        for pair in self.layout.steps.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let color = if b.is_back { &palette.line_strong } else { &palette.steady };
            let way = Route::new([a.entry(), Point::new(a.entry().x, b.entry().y), b.entry()]);
            self.brush.route(&way, color, 2.5, b.is_back);
        }
    }

    fn step(&self, step: &Step, hop: &Hop) {
        let palette = self.palette();
        let rect = step.rect;
        let (ground, line, ink) = match hop.verdict {
            HopVerdict::Passes => (&palette.ground, &palette.line_strong, &palette.ink),
            HopVerdict::Translated => (&palette.motion_soft, &palette.motion, &palette.ink),
            HopVerdict::Delivered => (&palette.steady_soft, &palette.steady, &palette.ink),
            HopVerdict::Refused | HopVerdict::Dropped => {
                (&palette.failed_soft, &palette.failed, &palette.ink)
            }
        };
        let is_dead = matches!(hop.verdict, HopVerdict::Refused | HopVerdict::Dropped);
        self.brush.fill(rect, 8.0, ground);
        let width = if hop.verdict == HopVerdict::Passes { 1.2 } else { 2.5 };
        self.brush.stroke(rect, 8.0, line, width, step.is_back);
        let size = (rect.height * 0.5).clamp(10.0, 16.0);
        let place = match (hop.place.pod.as_str(), hop.place.interface.as_str()) {
            ("", "") => String::new(),
            ("", interface) => interface.to_string(),
            (pod, _) => pod.to_string(),
        };
        let mark = match (is_dead, hop.verdict) {
            (true, _) => "× ",
            (_, HopVerdict::Translated) => "→ ",
            _ => "",
        };
        let title = format!("{mark}{}", hop.title);
        let y = rect.center().y;
        let bold = if is_node_rule(hop.stage) { 640 } else { 520 };
        self.text(&title, Point::new(rect.x + 10.0, y), rect.width * 0.6, size, bold, ink, Align::Left);
        let room = rect.width * 0.36;
        let code = font(520, size - 1.0, &self.palette().font_code);
        let shown = self.brush.fit_middle(&place, room, &code);
        self.brush.text(
            &shown,
            Point::new(rect.right() - 10.0, y),
            room,
            &code,
            &palette.ink_muted,
            Align::Right,
        );
        self.envelope(rect, hop, size);
    }

    /// The envelope as it leaves the hop; what was rewritten there is amber.
    fn envelope(&self, rect: Rect, hop: &Hop, size: f64) {
        let envelopes = self.layout.envelopes;
        if envelopes.width <= 0.0 {
            return;
        }
        let palette = self.palette();
        let half = envelopes.width / 2.0;
        let source = |envelope: &Envelope| address(&envelope.source, envelope.source_port);
        let destination = |envelope: &Envelope| address(&envelope.destination, envelope.destination_port);
        let size = (size - 1.0).clamp(10.0, 14.0);
        for (before, after, x) in [
            (source(&hop.before), source(&hop.after), envelopes.x),
            (destination(&hop.before), destination(&hop.after), envelopes.x + half),
        ] {
            let is_new = before != after && !before.is_empty();
            let color = if is_new { &palette.motion } else { &palette.ink_muted };
            let text = if after.is_empty() { &before } else { &after };
            let y = rect.center().y - if hop.outer.is_empty() { 0.0 } else { rect.height * 0.25 };
            self.code(text, Point::new(x, y), half - 8.0, size, color, Align::Left);
        }
        // The envelope around it, from machine to machine.
        let outer = hop.outer.split(" > ").map(|side| side.split(' ').next().unwrap_or(side));
        for (side, x) in outer.zip([envelopes.x, envelopes.x + half]).filter(|(side, _)| !side.is_empty()) {
            let at = Point::new(x, rect.center().y + rect.height * 0.3);
            let size = size.min(rect.height * 0.46);
            self.code(&format!("[{side}]"), at, half - 8.0, size, &palette.motion, Align::Left);
        }
    }

    fn verdict(&self, trace: &PacketTrace) {
        let (rect, palette) = (self.layout.verdict, self.palette());
        let line = match trace.verdict {
            PacketVerdict::Answered => &palette.steady,
            _ => &palette.failed,
        };
        self.brush.fill(rect, 12.0, &palette.surface);
        self.brush.stroke(rect, 12.0, line, 2.5, trace.verdict != PacketVerdict::Answered);
        let strong = font(660, 17.0, &palette.font_text);
        let plain = font(450, 16.0, &palette.font_text);
        let width = rect.width - 32.0;
        let mut y = rect.y + 22.0;
        for (words, font, color) in
            [(&trace.explanation, &strong, &palette.ink), (&trace.remedy, &plain, &palette.ink_muted)]
        {
            for words in self.brush.wrap(words, width, font) {
                if y < rect.bottom() - 6.0 {
                    self.brush.text(
                        &words,
                        Point::new(rect.x + 16.0, y),
                        width + 8.0,
                        font,
                        color,
                        Align::Left,
                    );
                }
                y += 22.0;
            }
        }
    }
}

fn is_node_rule(stage: HopStage) -> bool {
    matches!(
        stage,
        HopStage::Prerouting | HopStage::Input | HopStage::Forward | HopStage::Output | HopStage::Postrouting
    )
}

fn address(ip: &str, port: u16) -> String {
    match (ip, port) {
        ("", _) => String::new(),
        (ip, 0) => ip.to_string(),
        (ip, port) if ip.contains(':') => format!("[{ip}]:{port}"),
        (ip, port) => format!("{ip}:{port}"),
    }
}
