//! The network lens: one packet, hop by hop, by the very rules that the nodes have at this instant.
//!
//! Picture to hold in mind: a letter's way drawn as a staircase. Each step down is one thing that happened to it;
//! each column is a place; at the right the envelope is copied out, and where it was rewritten it is marked.
//!
//! - [`controls`] who sends, and to whom
//! - [`layout`] columns and steps
//! - [`paint`] how they are drawn

pub mod controls;
mod layout;
mod paint;

use super::brush::Brush;
use super::geometry::{Point, Rect, Route};
use super::scene::{Frame, Scene, Subject, Target};
use layout::Layout;

pub struct Network {
    subject: Subject,
    layout: Layout,
}

impl Network {
    pub fn of(subject: Subject) -> Network {
        let trace = subject.detail.as_ref().and_then(|detail| detail.packet.as_ref());
        let layout = Layout::of(trace, subject.width, subject.height);
        Network { subject, layout }
    }
}

impl Scene for Network {
    fn bounds(&self) -> Rect {
        self.layout.bounds
    }

    fn paint(&self, frame: &Frame, brush: &Brush) {
        let trace = self.subject.detail.as_ref().and_then(|detail| detail.packet.as_ref());
        paint::Painter { trace, layout: &self.layout, frame, brush }.paint();
    }

    /// The cluster's own messages are not of this lens: what moves here is one packet.
    fn route(&self, _from: u32, _to: u32) -> Option<Route> {
        None
    }

    fn hit(&self, at: Point) -> Option<Target> {
        let column = self.layout.columns.iter().find(|column| column.head.contains(at))?;
        (!column.node.is_empty()).then(|| Target::Host(column.node.clone()))
    }

    fn find(&self, _target: &Target) -> Option<Rect> {
        None
    }
}
