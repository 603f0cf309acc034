//! A load on a service: who sends, where the requests end, and how they have fared second by second.
//!
//! Picture to hold in mind: a water main with taps. The thicker the pipe to an endpoint, the more flows there; what is
//! spilt is vermilion and crossed; below runs the strip of paper on which the meter writes.

use clusterarium::picture::{Load, LoadEndpoint};

use crate::stage::brush::{Align, Brush, font};
use crate::stage::geometry::{Point, Rect, Route, World};
use crate::stage::lettering::Lettering;
use crate::stage::palette::Palette;
use crate::stage::scene::{Frame, Target};

#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub bounds: Rect,
    source: Rect,
    target: Rect,
    /// One for each endpoint that has room, in their order.
    rows: Vec<Rect>,
    graph: Rect,
    verdict: Rect,
    is_upright: bool,
}

const WIDE: (f64, f64) = (980.0, 600.0);
const UPRIGHT: (f64, f64) = (520.0, 780.0);
const MARGIN: f64 = 18.0;
const BOX: (f64, f64) = (176.0, 96.0);
const ROW_MOST: f64 = 54.0;
const ROW_LEAST: f64 = 38.0;
/// Seconds that the strip has room for.
const SECONDS: usize = 60;

impl Layout {
    pub fn of(load: &Load, width: f64, height: f64) -> Layout {
        let World { is_upright, width, height } = World::of(width, height, WIDE, UPRIGHT);
        let inner = width - 2.0 * MARGIN;
        let verdict_height = if is_upright { 132.0 } else { 96.0 };
        let verdict = Rect::new(MARGIN, height - MARGIN - verdict_height, inner, verdict_height);
        let graph = Rect::new(MARGIN, verdict.y - 152.0, inner, 140.0);
        let (source, target, list) = if is_upright {
            let half = (inner - 24.0) / 2.0;
            let top = MARGIN + BOX.1 + 14.0;
            (
                Rect::new(MARGIN, MARGIN, half, BOX.1),
                Rect::new(MARGIN + half + 24.0, MARGIN, half, BOX.1),
                Rect::new(MARGIN, top, inner, graph.y - top - 12.0),
            )
        } else {
            let middle = (MARGIN + graph.y - BOX.1) / 2.0;
            let left = MARGIN + 2.0 * BOX.0 + 28.0 + 84.0;
            (
                Rect::new(MARGIN, middle, BOX.0, BOX.1),
                Rect::new(MARGIN + BOX.0 + 28.0, middle, BOX.0, BOX.1),
                Rect::new(left, MARGIN, width - MARGIN - left, graph.y - MARGIN - 12.0),
            )
        };
        let most = (list.height / ROW_LEAST).floor().max(1.0) as usize;
        let count = load.endpoints.len().min(most);
        let step = (list.height / count.max(1) as f64).min(ROW_MOST);
        let top = if is_upright { list.y } else { list.center().y - step * count as f64 / 2.0 };
        let rows = (0..count)
            .map(|row| Rect::new(list.x, top + row as f64 * step, list.width, step - 6.0))
            .collect();
        Layout {
            bounds: Rect::new(0.0, 0.0, width, height),
            source,
            target,
            rows,
            graph,
            verdict,
            is_upright,
        }
    }

    pub fn hit(&self, load: &Load, at: Point) -> Option<Target> {
        let row = self.rows.iter().position(|row| row.contains(at));
        row.and_then(|row| pod_of(&load.endpoints[row]))
            .or_else(|| [self.source, self.target].iter().any(|one| one.contains(at)).then_some(Target::Load))
    }
    pub fn find(&self, load: &Load, target: &Target) -> Option<Rect> {
        let row = load.endpoints.iter().position(|one| pod_of(one).as_ref() == Some(target))?;
        self.rows.get(row).copied()
    }
}

fn pod_of(endpoint: &LoadEndpoint) -> Option<Target> {
    let is_pod = !endpoint.namespace.is_empty();
    is_pod.then(|| Target::Pod(endpoint.namespace.clone(), endpoint.name.clone()))
}

pub struct Painter<'a> {
    pub load: &'a Load,
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
        let (load, layout) = (self.load, self.layout);
        let rate = format!("{} a second", load.per_second);
        let name = load.source.rsplit('/').next().unwrap_or_default();
        let (host, port) = load.target.rsplit_once(':').unwrap_or((&load.target, ""));
        let most = load.endpoints.iter().map(|one| one.recent.0 + one.recent.1).max().unwrap_or(0).max(1);
        if !layout.is_upright {
            for (row, endpoint) in layout.rows.iter().zip(&load.endpoints) {
                self.pipe(*row, endpoint, most);
            }
        }
        let way = Route::new([layout.source.center(), layout.target.center()]);
        let color = if load.ended.is_empty() { &self.palette().motion } else { &self.palette().line_strong };
        self.brush.route(&way, color, 5.0, !load.ended.is_empty());
        let state = if load.ended.is_empty() { rate } else { "over".to_string() };
        self.sign(layout.source, name, &state, load.ended.is_empty());
        self.sign(layout.target, host, &format!("port {port}"), false);
        for (row, endpoint) in layout.rows.iter().zip(&load.endpoints) {
            self.row(*row, endpoint, most);
        }
        if load.endpoints.len() > layout.rows.len()
            && let Some(last) = layout.rows.last()
        {
            let words = format!("and {} more", load.endpoints.len() - layout.rows.len());
            let at = Point::new(last.right() - 4.0, last.bottom() + 3.0);
            self.text(&words, at, 160.0, 15.0, 450, &self.palette().ink_muted, Align::Right);
        }
        self.graph();
        self.verdict();
    }

    fn sign(&self, rect: Rect, name: &str, words: &str, is_moving: bool) {
        let palette = self.palette();
        let line = if is_moving { &palette.motion } else { &palette.line_strong };
        self.brush.fill(rect, 12.0, &palette.surface);
        self.brush.stroke(rect, 12.0, line, 2.5, false);
        let (x, width) = (rect.center().x, rect.width - 16.0);
        let name = self.brush.fit_middle(name, width, &font(700, 19.0, &palette.font_text));
        let y = rect.center().y;
        self.text(&name, Point::new(x, y - 14.0), width, 19.0, 700, &palette.ink, Align::Center);
        self.text(words, Point::new(x, y + 16.0), width, 16.0, 450, &palette.ink_muted, Align::Center);
    }

    /// From the target to an endpoint: as thick as its share of the last ten seconds.
    fn pipe(&self, row: Rect, endpoint: &LoadEndpoint, most: u32) {
        let palette = self.palette();
        let from = Point::new(self.layout.target.right(), self.layout.target.center().y);
        let to = Point::new(row.x, row.center().y);
        let (answered, failed) = endpoint.recent;
        let thick = |count: u32| 2.0 + 12.0 * f64::from(count) / f64::from(most);
        let way = |by: f64| Route::new([from, Point::new(to.x, to.y + by)]);
        if answered + failed == 0 {
            return self.brush.route(&way(0.0), &palette.line_strong, 1.5, true);
        }
        if answered > 0 {
            self.brush.route(&way(0.0), &palette.steady, thick(answered), false);
        }
        if failed > 0 {
            let by = if answered > 0 { 12.0 } else { 0.0 };
            self.brush.route(&way(by), &palette.failed, thick(failed).min(6.0), true);
            let at = from.toward(Point::new(to.x, to.y + by), 0.5);
            self.brush.circle(at, 10.0, Some(&palette.ground), Some((&palette.failed, 2.0)));
            self.text("×", at, 20.0, 18.0, 700, &palette.failed, Align::Center);
        }
    }

    fn row(&self, row: Rect, endpoint: &LoadEndpoint, most: u32) {
        let palette = self.palette();
        let is_gone = endpoint.namespace.is_empty();
        let (answered, failed) = endpoint.recent;
        let line = match (answered, failed) {
            (_, 1..) => &palette.failed,
            (0, 0) => &palette.line,
            _ => &palette.steady,
        };
        self.brush.fill(row, 10.0, &palette.surface);
        self.brush.stroke(row, 10.0, line, 2.0, is_gone || answered + failed == 0);
        let names = row.width * 0.42;
        let y = row.center().y;
        let name = self.brush.fit_middle(&endpoint.name, names - 16.0, &font(640, 16.0, &palette.font_text));
        self.text(
            &name,
            Point::new(row.x + 12.0, y - 9.0),
            names - 16.0,
            16.0,
            640,
            &palette.ink,
            Align::Left,
        );
        let place = if is_gone { "gone" } else { endpoint.node.as_str() };
        self.text(
            place,
            Point::new(row.x + 12.0, y + 10.0),
            names - 16.0,
            14.0,
            450,
            &palette.ink_muted,
            Align::Left,
        );
        let counts = 84.0;
        let left = row.x + names;
        let room = row.right() - counts - 12.0 - left;
        let unit = room / f64::from(most);
        let height = (row.height * 0.46).min(20.0);
        let bar = Rect::new(left, y - height / 2.0, unit * f64::from(answered), height);
        self.brush.fill(bar, 3.0, &palette.steady);
        if failed > 0 {
            let spilt = Rect { x: bar.right(), width: (unit * f64::from(failed)).max(6.0), ..bar };
            self.crossed(spilt);
        }
        let (total, total_failed) = endpoint.total;
        let x = row.right() - 12.0;
        let shift = if total_failed > 0 { 9.0 } else { 0.0 };
        self.text(
            &total.to_string(),
            Point::new(x, y - shift),
            counts,
            16.0,
            600,
            &palette.ink,
            Align::Right,
        );
        if total_failed > 0 {
            let words = format!("× {total_failed}");
            self.text(&words, Point::new(x, y + 10.0), counts, 15.0, 600, &palette.failed, Align::Right);
        }
    }

    /// What failed: open, edged and crossed through, so that it is told from the rest without its colour.
    fn crossed(&self, rect: Rect) {
        let palette = self.palette();
        self.brush.fill(rect, 0.0, &palette.failed_soft);
        self.brush.stroke(rect, 0.0, &palette.failed, 1.5, false);
        if rect.height >= 4.0 {
            for (from, to) in [(rect.y, rect.bottom()), (rect.bottom(), rect.y)] {
                let way = Route::new([Point::new(rect.x, from), Point::new(rect.right(), to)]);
                self.brush.route(&way, &palette.failed, 1.5, false);
            }
        }
    }

    /// A column for each of the last seconds; the present one is at the right.
    fn graph(&self) {
        let (palette, graph) = (self.palette(), self.layout.graph);
        self.brush.fill(graph, 12.0, &palette.surface);
        self.brush.stroke(graph, 12.0, &palette.line, 1.5, false);
        let room = Rect::new(graph.x + 14.0, graph.y + 32.0, graph.width - 28.0, graph.height - 44.0);
        let seconds = &self.load.seconds;
        let most = seconds.iter().map(|(answered, failed)| answered + failed).max().unwrap_or(0).max(1);
        let unit = room.height / f64::from(most);
        let width = room.width / SECONDS as f64;
        for (age, (answered, failed)) in seconds.iter().rev().take(SECONDS).enumerate() {
            let x = room.right() - (age + 1) as f64 * width;
            let height = unit * f64::from(*answered);
            let bar = Rect::new(x + 1.0, room.bottom() - height, width - 2.0, height);
            self.brush.fill(bar, 1.0, &palette.steady);
            if *failed > 0 {
                let height = (unit * f64::from(*failed)).max(4.0);
                self.crossed(Rect { y: bar.y - height, height, ..bar });
            }
        }
        let y = graph.y + 17.0;
        let left = Point::new(room.x, y);
        let words =
            if self.layout.is_upright { "the last minute" } else { "the last minute, second by second" };
        self.text(words, left, room.width * 0.5, 16.0, 640, &palette.ink, Align::Left);
        let mut x = room.right();
        for (words, is_failed) in [("failed", true), ("answered", false)] {
            let text = font(450, 15.0, &palette.font_text);
            let length = self.brush.measure(words, &text);
            let at = Point::new(x, y);
            self.brush.text(words, at, length + 4.0, &text, &palette.ink_muted, Align::Right);
            let mark = Rect::new(x - length - 20.0, y - 7.0, 14.0, 14.0);
            if is_failed {
                self.crossed(mark)
            } else {
                self.brush.fill(mark, 2.0, &palette.steady)
            }
            x = mark.x - 16.0;
        }
    }

    fn verdict(&self) {
        let (rect, palette, load) = (self.layout.verdict, self.palette(), self.load);
        let line = if load.failed == 0 { &palette.steady } else { &palette.failed };
        self.brush.fill(rect, 12.0, &palette.surface);
        self.brush.stroke(rect, 12.0, line, 2.5, load.failed > 0);
        let strong = font(660, 19.0, &palette.font_text);
        let plain = font(450, 16.0, &palette.font_text);
        let mut y = rect.y + 22.0;
        for (words, font, color) in
            [(&load.sentence, &strong, &palette.ink), (&load.remedy, &plain, &palette.ink_muted)]
        {
            for words in self.brush.wrap(words, rect.width - 32.0, font) {
                if y < rect.bottom() - 6.0 {
                    let at = Point::new(rect.x + 16.0, y);
                    self.brush.text(&words, at, rect.width - 24.0, font, color, Align::Left);
                }
                y += 22.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_that_has_room_has_a_row_of_its_own() {
        for (width, height) in [(1090.0, 720.0), (720.0, 440.0), (390.0, 640.0)] {
            for count in [0, 1, 5, 40] {
                let endpoint = |number: usize| LoadEndpoint {
                    namespace: "default".into(),
                    name: format!("web-{number}"),
                    ..LoadEndpoint::default()
                };
                let load = Load { endpoints: (0..count).map(endpoint).collect(), ..Load::default() };
                let layout = Layout::of(&load, width, height);
                assert!(layout.rows.len() <= count && layout.rows.is_empty() == (count == 0));
                let all: Vec<Rect> = [layout.source, layout.target, layout.graph, layout.verdict]
                    .into_iter()
                    .chain(layout.rows.iter().copied())
                    .collect();
                for (place, one) in all.iter().enumerate() {
                    assert!(layout.bounds.contains(Point::new(one.x, one.y)), "{width} {count}");
                    assert!(all[place + 1..].iter().all(|other| !one.overlaps(*other)), "{width} {count}");
                }
                let first = pod_of(&endpoint(0));
                assert_eq!(
                    layout.rows.first().and_then(|row| layout.hit(&load, row.center())),
                    first.filter(|_| count > 0)
                );
            }
        }
    }
}
