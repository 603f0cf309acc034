//! A line across the ring: who stands on which side, and where a cut that lasts is drawn.
//!
//! Picture to hold in mind: a cake. A stroke of the knife parts the pieces; where two neighbours no longer touch, the cut
//! is seen from the middle outwards.

use clusterarium::picture::Picture;

use super::layout::Layout;
use crate::stage::geometry::{Point, Route};

/// How far a wall goes on past the cable that it cuts, in world units.
const BEYOND: f64 = 96.0;

/// The members on either side of the line through two points, by their places in the picture.
pub fn sides(layout: &Layout, from: Point, to: Point) -> [Vec<usize>; 2] {
    let mut sides = [Vec::new(), Vec::new()];
    for placed in &layout.members {
        let center = placed.rect.center();
        let turn = (to.x - from.x) * (center.y - from.y) - (to.y - from.y) * (center.x - from.x);
        sides[usize::from(turn < 0.0)].push(placed.index);
    }
    sides
}

/// The same line, from side to side of the table.
pub fn whole(layout: &Layout, from: Point, to: Point) -> Route {
    let back = from.toward(to, -1.0);
    Route::new([back, to].map(|to| within(layout, from, to, layout.table.width + layout.table.height)))
}

/// The point `reach` away from one towards another, or on the way to it where the table ends.
fn within(layout: &Layout, from: Point, to: Point, reach: f64) -> Point {
    let (mut inside, mut outside) = (from, from.toward(to, reach / from.distance(to).max(1.0)));
    if layout.table.contains(outside) {
        return outside;
    }
    for _ in 0..12 {
        let middle = inside.toward(outside, 0.5);
        if layout.table.contains(middle) { inside = middle } else { outside = middle }
    }
    inside
}

/// Where the ring is parted: from the middle out between each two neighbours that do not reach each other by any way.
pub fn walls(layout: &Layout, picture: &Picture) -> Vec<Route> {
    let members = &picture.etcd;
    let is_cut = |a: usize, b: usize| {
        let (a, b) = (&members[a].host, &members[b].host);
        let cut = |from: &str, to: &str| {
            picture.links.iter().any(|link| link.is_cut && link.from == from && link.to == to)
        };
        cut(a, b) && cut(b, a)
    };
    let count = layout.members.len();
    // Each member's group: the lowest number that reaches it.
    let mut group: Vec<usize> = (0..count).collect();
    for _ in 0..count {
        for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
            if !is_cut(a, b) {
                group[a] = group[a].min(group[b]);
            }
        }
    }
    let center = |index: usize| layout.members[index].rect.center();
    let gaps: Vec<Point> = (0..count)
        .map(|index| (index, (index + 1) % count))
        .filter(|(a, b)| group[*a] != group[*b])
        .map(|(a, b)| center(a).toward(center(b), 0.5))
        .collect();
    let share = 1.0 / gaps.len().max(1) as f64;
    let hub = gaps
        .iter()
        .fold(Point::new(0.0, 0.0), |sum, gap| Point::new(sum.x + gap.x * share, sum.y + gap.y * share));
    let out = |gap: &Point| Route::new([hub, within(layout, hub, *gap, hub.distance(*gap) + BEYOND)]);
    gaps.iter().map(out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::level::Level;
    use clusterarium::picture::{EtcdMember, LinkFault};

    fn group(count: u32) -> Picture {
        let member =
            |number: u32| EtcdMember { actor: number, host: format!("h{number}"), ..EtcdMember::default() };
        Picture { etcd: (0..count).map(member).collect(), ..Picture::default() }
    }

    #[test]
    fn a_line_parts_the_ring_where_it_is_drawn_and_is_shown_there() {
        for count in [3, 5, 7] {
            let mut picture = group(count);
            let layout = Layout::of(&picture, Level::Operator, 1000.0, 700.0);
            let center = |index: usize| layout.members[index].rect.center();
            // Across the neighbourhoods of the first member: it stands alone.
            let from = center(0).toward(center(1), 0.5);
            let to = center(0).toward(center(count as usize - 1), 0.5);
            let parted = sides(&layout, from, to);
            let (alone, rest) =
                if parted[0].len() == 1 { (&parted[0], &parted[1]) } else { (&parted[1], &parted[0]) };
            assert_eq!((alone.as_slice(), rest.len()), (&[0][..], count as usize - 1));
            assert!(walls(&layout, &picture).is_empty());
            for other in rest {
                for (a, b) in [(0, *other), (*other, 0)] {
                    let (from, to) = (format!("h{a}"), format!("h{b}"));
                    picture.links.push(LinkFault { from, to, is_cut: true, ..LinkFault::default() });
                }
            }
            assert_eq!(walls(&layout, &picture).len(), 2);
            // While one direction of one cable is left they are not parted.
            picture.links.pop();
            assert!(walls(&layout, &picture).is_empty());
            let line = whole(&layout, from, to);
            assert!([0.0, 1.0].iter().all(|share| layout.table.inset(-1.0).contains(line.at(*share))));
        }
    }
}
