//! The cables between machines: which one is meant, and what is wrong with it; in every lens that draws them.
//!
//! Picture to hold in mind: the back of a rack. Where many cables run in one duct, none can be told from the others; near
//! its plug each can.

use clusterarium::picture::{LinkFault, Picture};

use super::geometry::{Point, Rect, Route};
use super::palette::Palette;
use super::scene::Target;

/// A way between two boxes, and the machines at its ends: where they are one there is no cable to cut.
pub struct Cable<'a> {
    pub route: Route,
    pub from: &'a str,
    pub to: &'a str,
    /// Between members of etcd.
    pub is_between_members: bool,
}

/// World units from a cable within which it is meant.
const CLOSE: f64 = 10.0;
/// Side of the box that marks a cable, in world units: around the cable, and not over what stands beside it.
const MARK: f64 = 28.0;

impl Cable<'_> {
    fn leads_between(&self, a: &str, b: &str) -> bool {
        [(a, b), (b, a)].contains(&(self.from, self.to))
    }

    /// What is wrong with it one way and the other.
    pub fn faults<'p>(&self, picture: &'p Picture) -> [Option<&'p LinkFault>; 2] {
        [(self.from, self.to), (self.to, self.from)].map(|(from, to)| {
            let mut links = picture.links.iter();
            links.find(|link| self.from != self.to && link.from == from && link.to == to)
        })
    }

    /// Colour and width, and whether it is dashed because something is wrong with it.
    pub fn look<'p>(&self, picture: &Picture, palette: &'p Palette) -> (&'p str, f64, bool) {
        let faults = self.faults(picture);
        if faults.iter().flatten().any(|fault| fault.is_cut) {
            return (&palette.failed, 2.0, true);
        }
        let is_bad = faults.iter().any(|fault| fault.is_some());
        if is_bad { (&palette.motion, 3.0, true) } else { (&palette.line, 1.5, false) }
    }
}

/// The cable at a point, unless others run there that lead elsewhere.
pub fn hit(cables: &[Cable], at: Point) -> Option<Target> {
    let real = cables.iter().filter(|cable| cable.from != cable.to);
    let near: Vec<(f64, &Cable)> = real
        .map(|cable| (cable.route.distance(at), cable))
        .filter(|(distance, _)| *distance < CLOSE)
        .collect();
    let (least, cable) = near.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let is_alone = near
        .iter()
        .all(|(distance, other)| *distance > least + 0.5 || other.leads_between(cable.from, cable.to));
    is_alone.then(|| Target::Link(cable.from.to_string(), cable.to.to_string()))
}

/// A box on the cable between two machines, near its plug.
pub fn find(cables: &[Cable], a: &str, b: &str) -> Option<Rect> {
    let points = &cables.iter().find(|cable| cable.leads_between(a, b))?.route.points;
    let middle = points.first()?.toward(*points.get(1)?, 0.5);
    Some(Rect::new(middle.x - MARK / 2.0, middle.y - MARK / 2.0, MARK, MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cable_is_meant_where_it_can_be_told_from_others() {
        let cable = |points: &[(f64, f64)], from, to| Cable {
            route: Route::new(points.iter().map(|(x, y)| Point::new(*x, *y))),
            from,
            to,
            is_between_members: false,
        };
        // Two machines, one of them with two plugs, into one duct; and a wire within a machine.
        let cables = [
            cable(&[(0.0, 90.0), (0.0, 50.0), (200.0, 50.0)], "a", "hub"),
            cable(&[(30.0, 90.0), (30.0, 50.0), (200.0, 50.0)], "a", "hub"),
            cable(&[(100.0, 90.0), (100.0, 50.0), (200.0, 50.0)], "b", "hub"),
            cable(&[(0.0, 200.0), (200.0, 200.0)], "hub", "hub"),
        ];
        let link = |a: &str| Some(Target::Link(a.into(), "hub".into()));
        for (x, y, expected) in [
            (3.0, 80.0, link("a")),
            (30.0, 75.0, link("a")),
            (60.0, 52.0, link("a")),
            (101.0, 80.0, link("b")),
            (150.0, 50.0, None),
            (150.0, 80.0, None),
            (100.0, 200.0, None),
        ] {
            assert_eq!(hit(&cables, Point::new(x, y)), expected, "{x} {y}");
        }
        assert!(find(&cables, "hub", "b").is_some_and(|rect| rect.contains(Point::new(100.0, 70.0))));
        assert_eq!(find(&cables, "a", "b"), None);
    }
}
