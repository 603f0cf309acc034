//! The etcd lens: who leads, who votes, and how far each member's log has come.
//!
//! Picture to hold in mind: clerks around a table, each with a ledger. Left the table: whose hourglass runs out
//! first calls an election. Right the ledgers, line under line: what a majority has written down is settled.
//!
//! - [`circle`] a member, here and in other lenses
//! - [`controls`] the set-ups and stories above it; [`cut`] a line across the ring
//! - [`layout`] where members, ledger lines and the API server stand
//! - [`paint`] how they are drawn
//! - [`situation`] the state of the group in two sentences

pub mod circle;
pub mod controls;
mod cut;
mod layout;
mod paint;
mod situation;

use std::sync::Arc;

use clusterarium::picture::{Flow, Picture, Shape};

use super::brush::Brush;
use super::cables;
use super::geometry::{Point, Rect, Route};
use super::level::Level;
use super::scene::{Frame, Scene, Subject, Target};
use layout::Layout;

pub struct Etcd {
    picture: Arc<Picture>,
    layout: Layout,
    level: Level,
}

impl Etcd {
    pub fn of(subject: Subject) -> Etcd {
        let level = subject.level;
        let layout = Layout::of(&subject.picture, level, subject.width, subject.height);
        Etcd { picture: subject.picture, layout, level }
    }
}

impl Scene for Etcd {
    fn bounds(&self) -> Rect {
        self.layout.bounds
    }

    fn paint(&self, frame: &Frame, brush: &Brush) {
        let is_told = self.level == Level::Beginner;
        paint::Painter { picture: &self.picture, layout: &self.layout, is_told, frame, brush }.paint();
    }

    fn route(&self, from: u32, to: u32) -> Option<Route> {
        self.layout.route(from, to)
    }

    fn hit(&self, at: Point) -> Option<Target> {
        let (layout, picture) = (&self.layout, &self.picture);
        if let Some(placed) = layout.members.iter().find(|placed| placed.rect.contains(at)) {
            return Some(Target::Component(picture.etcd[placed.index].name.clone()));
        }
        if let Some(placed) = layout.servers.iter().find(|placed| placed.rect.contains(at)) {
            return Some(Target::Component(picture.components[placed.index].name.clone()));
        }
        if let Some((row, index)) = layout.entry_at(at) {
            let member = picture.etcd.get(row)?;
            let is_kept = member.log.iter().any(|entry| entry.index == index);
            return is_kept.then(|| Target::Entry(member.name.clone(), index));
        }
        cables::hit(&layout.cables(picture), at)
    }

    fn sides(&self, from: Point, to: Point) -> Option<[Vec<usize>; 2]> {
        let is_free = matches!(self.hit(from), None | Some(Target::Link(..)));
        (is_free && self.layout.table.contains(from)).then(|| cut::sides(&self.layout, from, to))
    }

    fn find(&self, target: &Target) -> Option<Rect> {
        let (layout, picture) = (&self.layout, &self.picture);
        match target {
            Target::Component(name) => layout
                .members
                .iter()
                .find(|placed| picture.etcd[placed.index].name == *name)
                .or_else(|| {
                    layout.servers.iter().find(|placed| picture.components[placed.index].name == *name)
                })
                .map(|placed| placed.rect),
            Target::Entry(member, index) => {
                let row = picture.etcd.iter().position(|other| other.name == *member)?;
                layout.cell(row, *index)
            }
            Target::Link(a, b) => cables::find(&layout.cables(picture), a, b),
            _ => None,
        }
    }

    fn labels(&self, flow: &Flow) -> bool {
        // Heartbeats come ten times a second from a leader that has nothing to say: a dot is enough.
        flow.shape != Shape::Heartbeat
            && !(flow.shape == Shape::RaftReply && flow.label.contains("Heartbeat"))
    }

    fn taken(&self) -> Option<Vec<Rect>> {
        (self.level == Level::Wire).then(|| self.layout.taken())
    }
}
