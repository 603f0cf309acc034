//! Points, boxes and routes: where things stand in the stage's own world.
//!
//! Picture to hold in mind: squared paper. Everything on the stage stands on it at computed coordinates; the
//! camera decides how much of the paper is seen.

use crate::arithmetic::pow;

/// A place, in world units: at zoom 1 one unit is one CSS pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Point {
    pub fn new(x: f64, y: f64) -> Point {
        Point { x, y }
    }
    pub fn toward(self, other: Point, share: f64) -> Point {
        Point { x: self.x + (other.x - self.x) * share, y: self.y + (other.y - self.y) * share }
    }
    pub fn distance(self, other: Point) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

impl Rect {
    pub fn new(x: f64, y: f64, width: f64, height: f64) -> Rect {
        Rect { x, y, width, height }
    }
    pub fn right(self) -> f64 {
        self.x + self.width
    }
    pub fn bottom(self) -> f64 {
        self.y + self.height
    }
    pub fn center(self) -> Point {
        Point::new(self.x + self.width / 2.0, self.y + self.height / 2.0)
    }
    pub fn contains(self, point: Point) -> bool {
        (self.x..=self.right()).contains(&point.x) && (self.y..=self.bottom()).contains(&point.y)
    }
    pub fn overlaps(self, other: Rect) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }
    /// Where a straight line from the middle to `target` leaves the box.
    pub fn edge_towards(self, target: Point) -> Point {
        let center = self.center();
        let (dx, dy) = (target.x - center.x, target.y - center.y);
        let share =
            (self.width / 2.0 / dx.abs().max(0.001)).min(self.height / 2.0 / dy.abs().max(0.001)).min(1.0);
        center.toward(target, share)
    }
    pub fn inset(self, by: f64) -> Rect {
        Rect::new(
            self.x + by,
            self.y + by,
            (self.width - 2.0 * by).max(0.0),
            (self.height - 2.0 * by).max(0.0),
        )
    }
}

/// A canvas narrower than this, in CSS pixels, gets a drawing set upright.
const UPRIGHT_BELOW_PX: f64 = 560.0;

/// A world that fills the canvas: its unit is a CSS pixel, or more where the canvas is larger than the drawing needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    pub is_upright: bool,
    pub width: f64,
    pub height: f64,
}

impl World {
    /// For a canvas of this size in CSS pixels; `wide` and `upright` are the least width and height that the drawing
    /// needs, set one way or the other.
    pub fn of(width: f64, height: f64, wide: (f64, f64), upright: (f64, f64)) -> World {
        let is_upright = width < UPRIGHT_BELOW_PX;
        let least = if is_upright { upright } else { wide };
        let scale = (width / least.0).min(height / least.1).max(0.01);
        World { is_upright, width: width / scale, height: height / scale }
    }
}

/// A way from one thing to another, in straight pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    pub points: Vec<Point>,
}

impl Route {
    pub fn new(points: impl IntoIterator<Item = Point>) -> Route {
        Route { points: points.into_iter().collect() }
    }
    pub fn reversed(&self) -> Route {
        Route { points: self.points.iter().rev().copied().collect() }
    }
    pub fn length(&self) -> f64 {
        self.points.windows(2).map(|pair| pair[0].distance(pair[1])).sum()
    }
    /// How far a point is from the nearest place of the way.
    pub fn distance(&self, point: Point) -> f64 {
        let to_piece = |pair: &[Point]| {
            let (dx, dy) = (pair[1].x - pair[0].x, pair[1].y - pair[0].y);
            let along = (point.x - pair[0].x) * dx + (point.y - pair[0].y) * dy;
            let share = along / (dx * dx + dy * dy).max(1e-9);
            point.distance(pair[0].toward(pair[1], share.clamp(0.0, 1.0)))
        };
        self.points.windows(2).map(to_piece).fold(f64::INFINITY, f64::min)
    }
    /// The point at `share` (0 to 1) of the way.
    pub fn at(&self, share: f64) -> Point {
        let mut left = self.length() * share.clamp(0.0, 1.0);
        for pair in self.points.windows(2) {
            let piece = pair[0].distance(pair[1]);
            if left <= piece && piece > 0.0 {
                return pair[0].toward(pair[1], left / piece);
            }
            left -= piece;
        }
        self.points.last().copied().unwrap_or_default()
    }
}

/// Which part of the paper is seen, and how large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// The world point in the middle of the canvas.
    pub center: Point,
    /// CSS pixels a world unit.
    pub zoom: f64,
}

pub const ZOOM_MINIMUM: f64 = 0.05;
pub const ZOOM_MAXIMUM: f64 = 12.0;

impl Camera {
    /// Shows all of `rect` in a canvas of this size.
    pub fn fit(rect: Rect, width: f64, height: f64) -> Camera {
        let zoom = (width / rect.width.max(1.0)).min(height / rect.height.max(1.0));
        Camera { center: rect.center(), zoom: zoom.clamp(ZOOM_MINIMUM, ZOOM_MAXIMUM) }
    }
    pub fn to_screen(self, point: Point, width: f64, height: f64) -> Point {
        Point::new(
            (point.x - self.center.x) * self.zoom + width / 2.0,
            (point.y - self.center.y) * self.zoom + height / 2.0,
        )
    }
    pub fn to_world(self, point: Point, width: f64, height: f64) -> Point {
        Point::new(
            (point.x - width / 2.0) / self.zoom + self.center.x,
            (point.y - height / 2.0) / self.zoom + self.center.y,
        )
    }
    /// Zooms by `factor` and keeps what is under `screen` where it is.
    pub fn zoomed(self, factor: f64, screen: Point, width: f64, height: f64) -> Camera {
        let fixed = self.to_world(screen, width, height);
        let zoom = (self.zoom * factor).clamp(ZOOM_MINIMUM, ZOOM_MAXIMUM);
        let center =
            Point::new(fixed.x - (screen.x - width / 2.0) / zoom, fixed.y - (screen.y - height / 2.0) / zoom);
        Camera { center, zoom }
    }
    /// On the way from here to `other`: centre and zoom change together, zoom by ratio.
    pub fn toward(self, other: Camera, share: f64) -> Camera {
        Camera {
            center: self.center.toward(other.center, share),
            zoom: self.zoom * pow(other.zoom / self.zoom, share),
        }
    }
}
