//! Messages in flight: where each is at an instant, and what it looks like.
//!
//! Picture to hold in mind: parcels on rails. Where a parcel is follows from when it left, when it arrives and
//! what time it is; nothing is remembered between frames.
//!
//! Filled is a request, hollow a reply; watch events are blue, etcd violet, failures vermilion with a cross.

use clusterarium::arrange::Arrange;
use clusterarium::picture::{Flow, Shape};

use super::brush::{Align, Brush, font};
use super::geometry::{Point, Rect, Route};
use super::palette::Palette;
use super::scene::Scene;

/// Messages that carry a label at most, so that a crowd stays legible.
const LABELS: usize = 12;
/// Messages that carry their fields at most, and how wide these get, in pixels.
const BLOCKS: usize = 6;
const BLOCK_WIDTH: f64 = 170.0;
/// On a large canvas they grow with it: no smaller than this share of their size in the world.
const READABLE: f64 = 0.85;
/// A message that was under way for less than a frame stays on the screen this much of real time.
pub const AFTERGLOW_MS: f64 = 220.0;

/// A message to be drawn.
pub struct Drawn<'a> {
    pub flow: &'a Flow,
    /// Share of the way (0 to 1).
    pub share: f64,
    /// 1 while under way; fades after it has arrived.
    pub strength: f64,
}

/// Draws `drawn` on their routes; returns where each is, for pointing at. `chosen`: the selected one, and the one under
/// the pointer.
pub fn paint(
    brush: &Brush,
    scene: &dyn Scene,
    palette: &Palette,
    zoom: f64,
    chosen: [Option<u64>; 2],
    drawn: &[Drawn],
) -> Vec<(u64, Rect)> {
    let mut places: Vec<(u64, Rect)> = Vec::new();
    let mut labels = 0;
    let pixel = (1.0 / zoom).min(1.25);
    // What the user did and what failed is labelled before the rest.
    let mut order: Vec<&Drawn> = drawn.iter().collect();
    order.arrange_by_key(|one| (one.flow.is_routine, !one.flow.is_failure, one.flow.id));
    let mut taken = scene.taken();
    if taken.is_some() {
        // Fields are for the chosen ones and those that are about to arrive.
        let is_chosen = |one: &Drawn| chosen.contains(&Some(one.flow.id));
        let left = |one: &Drawn| ((1.0 - one.share) * 1e6) as u64;
        order.arrange_by_key(|one| (!is_chosen(one), one.strength < 1.0, left(one), one.flow.id));
    }
    for one in order {
        let flow = one.flow;
        let Some(route) = scene.route(flow.from, flow.to) else { continue };
        let at = route.at(one.share);
        let is_faint = flow.is_routine && !scene.labels(flow);
        brush.canvas.set_global_alpha(one.strength * if is_faint { 0.5 } else { 1.0 });
        let style = Style::of(flow, palette);
        if chosen[0] == Some(flow.id) {
            brush.route(&route, style.color, 3.0 * pixel, false);
        }
        let rect = if let Some(taken) = &mut taken {
            if labels < BLOCKS
                && let Some(block) =
                    block(brush, scene.bounds(), at, taken, palette, flow, &style, pixel.max(READABLE))
            {
                labels += 1;
                taken.push(block);
                places.push((flow.id, block));
            }
            let rect = mark(brush, at, &style, flow.shape, pixel);
            taken.push(rect);
            rect
        } else if labels >= LABELS || !scene.labels(flow) {
            mark(brush, at, &style, flow.shape, pixel)
        } else {
            let text = font(640, 14.5 * pixel, &palette.font_code);
            let width = brush.measure(&flow.label, &text) + 24.0 * pixel;
            let pill = Rect::new(at.x - width / 2.0, at.y - 14.0 * pixel, width, 28.0 * pixel);
            match free_place(pill, &places, pixel) {
                Some(pill) => {
                    labels += 1;
                    label(brush, pill, &flow.label, &text, &style, pixel);
                    pill
                }
                None => mark(brush, at, &style, flow.shape, pixel),
            }
        };
        places.push((flow.id, rect));
        brush.canvas.set_global_alpha(1.0);
    }
    places
}

struct Style<'a> {
    color: &'a str,
    on_color: &'a str,
    ground: &'a str,
    is_filled: bool,
    is_failure: bool,
}

impl Style<'_> {
    fn of<'a>(flow: &Flow, palette: &'a Palette) -> Style<'a> {
        let is_failure = flow.is_failure || flow.lost.is_some();
        let (color, on_color): (&str, &str) = match flow.shape {
            _ if is_failure => (&palette.failed, &palette.on_failed),
            Shape::Request | Shape::Reply | Shape::CriRequest | Shape::CriReply | Shape::Closed => {
                (&palette.motion, &palette.on_motion)
            }
            Shape::WatchEvent => (&palette.steady, &palette.on_steady),
            _ => (&palette.etcd, &palette.on_etcd),
        };
        let is_filled = matches!(
            flow.shape,
            Shape::Request
                | Shape::EtcdRequest
                | Shape::CriRequest
                | Shape::Vote
                | Shape::Append
                | Shape::Heartbeat
        );
        Style { color, on_color, ground: &palette.surface, is_filled, is_failure }
    }
}

/// A message's words and fields beside it, where nothing else stands; `None` where there is no room.
#[expect(clippy::too_many_arguments, reason = "what a stroke of lettering needs")]
fn block(
    brush: &Brush,
    bounds: Rect,
    at: Point,
    taken: &[Rect],
    palette: &Palette,
    flow: &Flow,
    style: &Style,
    pixel: f64,
) -> Option<Rect> {
    let fonts =
        [(700, 14.0), (540, 12.5)].map(|(weight, size)| font(weight, size * pixel, &palette.font_code));
    let most = BLOCK_WIDTH * pixel;
    let fields = brush.wrap(&flow.about, most, &fonts[1]);
    let lines: Vec<(&str, &str)> = std::iter::once((flow.label.as_str(), fonts[0].as_str()))
        .chain(fields.iter().map(|line| (line.as_str(), fonts[1].as_str())))
        .collect();
    let widest = lines.iter().map(|(line, font)| brush.measure(line, font)).fold(0.0, f64::max).min(most);
    let (width, step) = (widest + 14.0 * pixel, 16.0 * pixel);
    let height = step * lines.len() as f64 + 8.0 * pixel;
    let place = |(ring, right, down): (f64, f64, f64)| {
        let (x, y) = (width / 2.0 + 14.0 * pixel * ring, height / 2.0 + 14.0 * pixel * ring);
        Rect::new(at.x + right * x - width / 2.0, at.y + down * y - height / 2.0, width, height)
    };
    let rings = [1.0, 2.5, 4.5, 7.0].into_iter();
    let sides = [
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, 1.0),
        (0.0, -1.0),
        (1.0, 1.0),
        (-1.0, 1.0),
        (1.0, -1.0),
        (-1.0, -1.0),
    ];
    let is_inside = |rect: &Rect| {
        let (left, right) = (rect.x >= bounds.x, rect.right() <= bounds.right());
        left && right && rect.y >= bounds.y && rect.bottom() <= bounds.bottom()
    };
    let rect = rings
        .flat_map(|ring| sides.map(|(right, down)| place((ring, right, down))))
        .find(|rect| is_inside(rect) && !taken.iter().any(|other| other.overlaps(*rect)))?;
    brush.route(&Route::new([at, rect.center()]), style.color, 1.5 * pixel, false);
    brush.fill(rect, 5.0 * pixel, style.ground);
    brush.stroke(rect, 5.0 * pixel, style.color, 1.5 * pixel, !style.is_filled);
    for (place, (line, font)) in lines.iter().enumerate() {
        let middle = Point::new(rect.x + 7.0 * pixel, rect.y + step * (place as f64 + 0.5) + 4.0 * pixel);
        let ink = if place == 0 { style.color } else { &palette.ink };
        brush.text(line, middle, most, font, ink, Align::Left);
    }
    Some(rect)
}

/// The pill, moved up or down where another one is; `None` where there is no room near its cable.
fn free_place(pill: Rect, taken: &[(u64, Rect)], pixel: f64) -> Option<Rect> {
    [0.0, 1.0, -1.0, 2.0, -2.0]
        .into_iter()
        .map(|lane| Rect { y: pill.y + lane * 31.0 * pixel, ..pill })
        .find(|moved| !taken.iter().any(|(_, other)| other.overlaps(*moved)))
}

fn label(brush: &Brush, pill: Rect, text: &str, font: &str, style: &Style, pixel: f64) {
    let radius = pill.height / 2.0;
    brush.fill(pill, radius, if style.is_filled { style.color } else { style.ground });
    if !style.is_filled {
        brush.stroke(pill, radius, style.color, 2.0 * pixel, false);
    }
    let ink = if style.is_filled { style.on_color } else { style.color };
    brush.text(text, pill.center(), pill.width, font, ink, Align::Center);
    if style.is_failure {
        cross(brush, Point::new(pill.right() - 2.0 * pixel, pill.y + 2.0 * pixel), 5.0 * pixel, style);
    }
}

/// A small mark: its form tells the kind of message without colour.
fn mark(brush: &Brush, at: Point, style: &Style, shape: Shape, pixel: f64) -> Rect {
    let size = 6.0 * pixel;
    let fill = Some(if style.is_filled { style.color } else { style.ground });
    let line = Some((style.color, 2.0 * pixel));
    match shape {
        Shape::Vote => {
            let corner = |x: f64, y: f64| Point::new(at.x + x * size * 1.3, at.y + y * size * 1.3);
            brush.polygon(&[corner(0.0, -1.0), corner(1.0, 0.8), corner(-1.0, 0.8)], fill, line);
        }
        Shape::Append => {
            brush.fill(Rect::new(at.x - size, at.y - size, 2.0 * size, 2.0 * size), 2.0 * pixel, style.color);
        }
        Shape::Heartbeat => brush.circle(at, size * 0.55, Some(style.color), None),
        _ => brush.circle(at, size, fill, line),
    }
    if style.is_failure {
        cross(brush, at, size, style);
    }
    Rect::new(at.x - size * 1.5, at.y - size * 1.5, size * 3.0, size * 3.0)
}

fn cross(brush: &Brush, at: Point, size: f64, style: &Style) {
    for (from, to) in [((-1.0, -1.0), (1.0, 1.0)), ((-1.0, 1.0), (1.0, -1.0))] {
        let end = |(x, y): (f64, f64)| Point::new(at.x + x * size, at.y + y * size);
        brush.route(&Route::new([end(from), end(to)]), style.color, size / 2.5, false);
    }
}

/// What of `flows` is to be seen at `now_us`, where one real millisecond is `us_per_ms` of simulated time.
pub fn visible(flows: &[Flow], now_us: f64, us_per_ms: f64) -> Vec<Drawn<'_>> {
    let afterglow_us = (AFTERGLOW_MS * us_per_ms).max(1.0);
    flows
        .iter()
        .filter_map(|flow| {
            if now_us < flow.sent_us as f64 {
                return None;
            }
            let (share, end) = flow.progress(now_us);
            let after = (now_us - end).max(0.0);
            let strength = 1.0 - after / afterglow_us;
            (strength > 0.0).then_some(Drawn { flow, share, strength })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(sent_us: u64, arrives_us: Option<u64>) -> Flow {
        Flow {
            id: 1,
            cause: None,
            from: 0,
            to: 1,
            sent_us,
            arrives_us,
            lost: arrives_us.is_none().then(|| "Cut".to_string()),
            turned: None,
            shape: Shape::Request,
            label: "POST pods".into(),
            about: String::new(),
            is_failure: false,
            is_routine: false,
        }
    }

    #[test]
    fn a_message_is_where_the_time_says() {
        let flows = [flow(1000, Some(2000))];
        let at = |now: f64| visible(&flows, now, 1.0).first().map(|one| (one.share, one.strength));
        assert_eq!(at(999.0), None);
        assert_eq!(at(1000.0), Some((0.0, 1.0)));
        assert_eq!(at(1500.0), Some((0.5, 1.0)));
        assert_eq!(at(2000.0), Some((1.0, 1.0)));
        assert!(at(2100.0).is_some_and(|(share, strength)| share == 1.0 && strength < 1.0));
        assert_eq!(at(2300.0), None);
    }

    #[test]
    fn a_lost_message_goes_half_way() {
        let flows = [flow(1000, None)];
        let drawn = visible(&flows, 1400.0, 1.0);
        assert_eq!(drawn[0].share, 0.5);
    }

    #[test]
    fn a_hand_laid_on_a_message_drops_it_there_or_makes_it_slower_from_there() {
        let shares = |flow: Flow, times: [f64; 3]| {
            times.map(|now| visible(std::slice::from_ref(&flow), now, 1.0)[0].share)
        };
        let turned = Some((1800, 800_000));
        let dropped = Flow { turned, ..flow(1000, None) };
        assert_eq!(shares(dropped, [1800.0, 1850.0, 1900.0]), [0.8, 0.8, 0.8]);
        let delayed = Flow { turned, ..flow(1000, Some(3800)) };
        assert_eq!(shares(delayed, [1800.0, 2800.0, 3800.0]), [0.8, 0.9, 1.0]);
    }
}
