//! Where members, ledgers and the API server stand.
//!
//! Picture to hold in mind: a round table beside a wall of ledgers. The members stand in a ring in the order of
//! their names, the ledgers in the same order, and all ledgers show the same window of line numbers.

use clusterarium::picture::{ComponentKind, EtcdMember, Picture};
use clusterarium::sorted::SortedMap;

use crate::arithmetic::{cos, sin};
use crate::stage::cables::Cable;
use crate::stage::geometry::{Point, Rect, Route, World};
use crate::stage::level::Level;
use crate::stage::pods::Placed;

#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub is_upright: bool,
    pub bounds: Rect,
    /// Where the ring and the API servers are.
    pub table: Rect,
    /// Index into the picture's members, and the circle's box.
    pub members: Vec<Placed>,
    /// Index into the picture's components: the API servers.
    pub servers: Vec<Placed>,
    /// The ledgers: all of them, with their line numbers above.
    pub ledgers: Rect,
    /// The lines that are shown: the first, and how many.
    pub first_index: u64,
    pub lines: u64,
    /// The two sentences.
    pub note: Rect,
    rows: usize,
    doors: SortedMap<u32, Rect>,
}

const WIDE: (f64, f64) = (980.0, 600.0);
const UPRIGHT: (f64, f64) = (460.0, 760.0);
const MARGIN: f64 = 18.0;
/// The names of the members, left of their ledgers.
const NAMES: f64 = 44.0;
/// The line numbers above the ledgers.
const HEAD: f64 = 58.0;
const CELL_GAP: f64 = 6.0;

impl Layout {
    pub fn of(picture: &Picture, level: Level, width: f64, height: f64) -> Layout {
        let World { is_upright, width, height } = World::of(width, height, WIDE, UPRIGHT);
        let rows = picture.etcd.len();
        let mut layout =
            Layout { is_upright, rows, bounds: Rect::new(0.0, 0.0, width, height), ..Layout::default() };
        let table = if is_upright {
            Rect::new(0.0, 0.0, width, height * 0.48)
        } else {
            Rect::new(0.0, 0.0, width * 0.42, height)
        };
        layout.table = table;
        layout.place_table(picture, table);
        let (x, y) =
            if is_upright { (MARGIN, table.bottom() + 8.0) } else { (table.right() + MARGIN, MARGIN) };
        let is_told = level == Level::Beginner;
        let note_height = if is_told { 186.0 } else { 124.0 };
        let room = Rect::new(x, y, width - x - MARGIN, height - y - MARGIN);
        layout.note = Rect { y: room.bottom() - note_height, height: note_height, ..room };
        layout.ledgers = Rect { height: room.height - note_height - 14.0, ..room };
        layout.lines = match (is_upright, is_told) {
            (true, false) => 6,
            (true, true) => 4,
            (false, false) => 9,
            (false, true) => 6,
        };
        let most = |of: fn(&EtcdMember) -> u64| picture.etcd.iter().map(of).max().unwrap_or(0);
        let (highest, settled) = (most(|member| member.last_index), most(|member| member.commit_index));
        // One empty line after the last: the next entry will stand there. But who was cut off may have written ever so
        // much that nobody confirms: half of the window is for what is settled.
        let first = (highest + 2).min(settled + 1 + layout.lines / 2);
        layout.first_index = first.saturating_sub(layout.lines).max(1);
        layout
    }

    fn place_table(&mut self, picture: &Picture, table: Rect) {
        let count = picture.etcd.len();
        let radius = match (self.is_upright, count) {
            (false, 0..=3) => 52.0,
            (false, _) => 42.0,
            (true, 0..=3) => 40.0,
            (true, _) => 33.0,
        };
        let server_height = 44.0;
        let ring = Rect::new(table.x, table.y, table.width, table.height - server_height - 40.0);
        let center = Point::new(ring.center().x, ring.center().y + if count == 3 { 18.0 } else { 0.0 });
        let (across, down) = if count > 1 {
            (ring.width / 2.0 - radius - 30.0, ring.height / 2.0 - radius - 34.0)
        } else {
            (0.0, 0.0)
        };
        let place = |index: usize| {
            let angle = std::f64::consts::TAU * index as f64 / count as f64 - std::f64::consts::FRAC_PI_2;
            Point::new(center.x + across * cos(angle), center.y + down * sin(angle))
        };
        // In a narrow ring many members have to be small ones.
        let apart = |index: usize| {
            let (here, next) = (place(index), place((index + 1) % count));
            (here.x - next.x).abs().max((here.y - next.y).abs())
        };
        let radius = match count {
            0 | 1 => radius,
            _ => (0..count).map(|index| (apart(index) - 8.0) / 2.0).fold(radius, f64::min),
        };
        for index in 0..count {
            let Point { x, y } = place(index);
            let rect = Rect::new(x, y, 0.0, 0.0).inset(-radius);
            self.members.push(Placed { index, rect });
            self.doors.insert(picture.etcd[index].actor, rect);
        }
        let servers: Vec<usize> = (0..picture.components.len())
            .filter(|index| picture.components[*index].kind == ComponentKind::ApiServer)
            .collect();
        let width = ((table.width - 2.0 * MARGIN) / servers.len().max(1) as f64 - 12.0).min(190.0);
        let left = table.center().x - (width + 12.0) * servers.len() as f64 / 2.0;
        for (position, index) in servers.into_iter().enumerate() {
            let x = left + position as f64 * (width + 12.0) + 6.0;
            let rect = Rect::new(x, table.bottom() - server_height - 14.0, width, server_height);
            self.servers.push(Placed { index, rect });
            self.doors.insert(picture.components[index].actor, rect);
        }
    }

    /// The ballot at a member's shoulder: whom it voted for.
    pub fn ballot(member: Rect) -> Rect {
        let (center, radius) = (member.center(), member.width / 2.0);
        let (width, height) = ((radius * 1.15).max(44.0), (radius * 0.5).max(19.0));
        Rect::new(center.x + radius * 0.28, center.y - radius * 0.95 - height / 2.0, width, height)
    }

    /// What the words of messages must not cover: members with what stands below them, and all that is to be read.
    pub fn taken(&self) -> Vec<Rect> {
        let mut taken = vec![self.ledgers, self.note];
        for placed in &self.members {
            let rect = placed.rect.inset(-8.0);
            let below = Rect { y: rect.bottom(), height: 40.0, x: rect.x - 20.0, width: rect.width + 40.0 };
            taken.extend([rect, below, Layout::ballot(placed.rect)]);
        }
        for placed in &self.servers {
            taken.push(placed.rect);
        }
        taken
    }

    fn row_height(&self) -> f64 {
        ((self.ledgers.height - HEAD) / self.rows.max(1) as f64).min(118.0)
    }

    /// The box of a line in the `row`th ledger; `None` outside the window.
    pub fn cell(&self, row: usize, index: u64) -> Option<Rect> {
        let column = index.checked_sub(self.first_index).filter(|column| *column < self.lines)?;
        let width = (self.ledgers.width - NAMES) / self.lines as f64;
        let height = (self.row_height() - 42.0).clamp(26.0, 54.0).min(self.row_height() - 4.0);
        Some(Rect::new(
            self.ledgers.x + NAMES + column as f64 * width,
            self.ledgers.y + HEAD + row as f64 * self.row_height(),
            width - CELL_GAP,
            height,
        ))
    }

    /// The lower end of the last ledger.
    pub fn ledgers_end(&self) -> f64 {
        self.ledgers.y + HEAD + self.rows as f64 * self.row_height()
    }

    /// The ledger and the line at a point.
    pub fn entry_at(&self, at: Point) -> Option<(usize, u64)> {
        (0..self.rows)
            .flat_map(|row| (0..self.lines).map(move |column| (row, self.first_index + column)))
            .find(|(row, index)| self.cell(*row, *index).is_some_and(|rect| rect.contains(at)))
    }

    pub fn route(&self, from: u32, to: u32) -> Option<Route> {
        if from == to {
            return None;
        }
        let (a, b) = (*self.doors.get(&from)?, *self.doors.get(&to)?);
        Some(Route::new([self.edge(a, b.center()), self.edge(b, a.center())]))
    }

    /// Where a straight line from the middle of `rect` to `target` leaves it: members are round, servers are not.
    fn edge(&self, rect: Rect, target: Point) -> Point {
        let center = rect.center();
        let distance = center.distance(target).max(1.0);
        if self.members.iter().any(|member| member.rect == rect) {
            return center.toward(target, rect.width / 2.0 / distance);
        }
        rect.edge_towards(target)
    }

    /// The cables: between all members, and from each API server to each member. Of several servers each speaks to the
    /// member on its own machine alone, if there is one.
    pub fn cables<'a>(&self, picture: &'a Picture) -> Vec<Cable<'a>> {
        let member = |placed: &Placed| (placed.rect, picture.etcd[placed.index].host.as_str());
        let cable = |(a, from): (Rect, &'a str), (b, to): (Rect, &'a str), is_between_members: bool| {
            let route = Route::new([self.edge(a, b.center()), self.edge(b, a.center())]);
            Cable { route, from, to, is_between_members }
        };
        let mut cables = Vec::new();
        for (position, a) in self.members.iter().enumerate() {
            let here = member(a);
            cables.extend(self.members[position + 1..].iter().map(|b| cable(here, member(b), true)));
            for server in &self.servers {
                let host = picture.components[server.index].host.as_str();
                let has_own = picture.etcd.iter().any(|member| member.host == host);
                if self.servers.len() == 1 || !has_own || here.1 == host {
                    cables.push(cable((server.rect, host), here, false));
                }
            }
        }
        cables
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn members_and_ledgers_stand_apart_in_every_window() {
        for (width, height) in [(1090.0, 720.0), (1920.0, 900.0), (720.0, 440.0), (390.0, 640.0)] {
            for (count, level) in
                [1, 3, 5, 7].into_iter().flat_map(|count| Level::ALL.map(|(level, _)| (count, level)))
            {
                let mut picture = Picture::default();
                for number in 0..count {
                    let last_index = 100 + u64::from(number);
                    picture.etcd.push(EtcdMember { actor: number, last_index, ..EtcdMember::default() });
                }
                let layout = Layout::of(&picture, level, width, height);
                let mut boxes: Vec<Rect> = layout.members.iter().map(|member| member.rect).collect();
                assert!(boxes.iter().all(|member| layout.table.contains(Layout::ballot(*member).center())));
                boxes.push(layout.note);
                for row in 0..count as usize {
                    for index in layout.first_index..layout.first_index + layout.lines {
                        let cell = layout.cell(row, index).unwrap();
                        assert_eq!(layout.entry_at(cell.center()), Some((row, index)));
                        boxes.push(cell);
                    }
                }
                for (position, a) in boxes.iter().enumerate() {
                    assert!(layout.bounds.contains(a.center()));
                    for b in &boxes[position + 1..] {
                        assert!(!a.overlaps(*b), "{count} members in {width} x {height}: {a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_settled_stays_in_sight_beside_a_log_that_nobody_confirms() {
        for (width, height) in [(1090.0, 720.0), (390.0, 640.0)] {
            for (settled, written) in [(100, 101), (100, 103), (100, 160), (2, 3)] {
                let member =
                    |last_index| EtcdMember { last_index, commit_index: settled, ..EtcdMember::default() };
                let etcd = vec![member(written), member(settled), member(settled)];
                let picture = Picture { etcd, ..Picture::default() };
                let layout = Layout::of(&picture, Level::Operator, width, height);
                let is_shown = |index: u64| layout.cell(1, index).is_some();
                assert!(is_shown(settled) && is_shown(settled - 1) && is_shown(settled + 1));
            }
        }
    }
}
