//! The network lens: one packet, hop by hop, by the very rules that the nodes have at this instant.
//!
//! Picture to hold in mind: a letter's way drawn as a staircase. Each step down is one thing that happened to it;
//! each column is a place; at the right the envelope is copied out, and where it was rewritten it is marked.
//!
//! - [`controls`] who sends, and to whom
//! - [`layout`] columns and steps
//! - [`paint`] how they are drawn
//! - [`load`] many requests instead of one packet, and how they are spread

pub mod controls;
mod layout;
mod load;
mod paint;

use super::brush::Brush;
use super::geometry::{Point, Rect, Route};
use super::scene::{Frame, Scene, Subject, Target};
use layout::Layout;

pub struct Network {
    subject: Subject,
    layout: Layout,
    /// Drawn instead of a packet, unless one is selected.
    load: Option<load::Layout>,
}

impl Network {
    pub fn of(subject: Subject) -> Network {
        let trace = subject.detail.as_ref().and_then(|detail| detail.packet.as_ref());
        let layout = Layout::of(trace, subject.width, subject.height);
        let is_packet = matches!(subject.selected, Some(Target::Packet(_)));
        let load = subject.picture.load.as_ref().filter(|_| !is_packet);
        let load = load.map(|load| load::Layout::of(load, subject.width, subject.height));
        Network { subject, layout, load }
    }
}

impl Scene for Network {
    fn bounds(&self) -> Rect {
        self.load.as_ref().map_or(self.layout.bounds, |load| load.bounds)
    }

    fn paint(&self, frame: &Frame, brush: &Brush) {
        if let (Some(layout), Some(load)) = (&self.load, &self.subject.picture.load) {
            return load::Painter { load, layout, frame, brush }.paint();
        }
        let trace = self.subject.detail.as_ref().and_then(|detail| detail.packet.as_ref());
        paint::Painter { trace, layout: &self.layout, frame, brush }.paint();
    }

    /// The cluster's own messages are not of this lens: what moves here is one packet.
    fn route(&self, _from: u32, _to: u32) -> Option<Route> {
        None
    }

    fn hit(&self, at: Point) -> Option<Target> {
        if let (Some(layout), Some(load)) = (&self.load, &self.subject.picture.load) {
            return layout.hit(load, at);
        }
        let column = self.layout.columns.iter().find(|column| column.head.contains(at))?;
        (!column.node.is_empty()).then(|| Target::Host(column.node.clone()))
    }

    fn find(&self, target: &Target) -> Option<Rect> {
        let (layout, load) = (self.load.as_ref()?, self.subject.picture.load.as_ref()?);
        layout.find(load, target)
    }
}
