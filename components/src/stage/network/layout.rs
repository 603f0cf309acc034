//! Columns and steps: from a packet's trace to boxes.
//!
//! Picture to hold in mind: a staircase on squared paper. Each place is a column, in the order in which the packet
//! first came there; each hop is a row; way there and way back are two flights.

use clusterarium::picture::{Hop, PacketTrace, PacketVerdict};

use crate::stage::geometry::{Point, Rect, World};

#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub bounds: Rect,
    pub columns: Vec<Column>,
    pub steps: Vec<Step>,
    /// Where the envelopes are copied out.
    pub envelopes: Rect,
    /// How it ended.
    pub verdict: Rect,
}

/// A place: a machine, or the world outside.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Empty: outside of the cluster.
    pub node: String,
    pub head: Rect,
    /// All of it, down to the last step.
    pub rect: Rect,
}

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub is_back: bool,
    /// Into the way there, or back.
    pub index: usize,
    pub rect: Rect,
}

impl Step {
    pub fn hop<'a>(&self, trace: &'a PacketTrace) -> Option<&'a Hop> {
        if self.is_back { trace.back.get(self.index) } else { trace.there.get(self.index) }
    }
    pub fn entry(&self) -> Point {
        self.rect.center()
    }
}

const WIDE: (f64, f64) = (980.0, 600.0);
const UPRIGHT: (f64, f64) = (520.0, 780.0);
const MARGIN: f64 = 18.0;
const HEAD: f64 = 40.0;
const VERDICT: f64 = 72.0;
const STEP_MOST: f64 = 46.0;
/// Steps that can be drawn large enough to be read.
const STEPS: usize = 12;

impl Layout {
    pub fn of(trace: Option<&PacketTrace>, width: f64, height: f64) -> Layout {
        let World { is_upright, width, height } = World::of(width, height, WIDE, UPRIGHT);
        let top = MARGIN;
        let mut layout = Layout { bounds: Rect::new(0.0, 0.0, width, height), ..Layout::default() };
        layout.verdict = Rect::new(MARGIN, height - MARGIN - VERDICT, width - 2.0 * MARGIN, VERDICT);
        let Some(trace) = trace else { return layout };
        let envelopes = if is_upright { 0.0 } else { 384.0 };
        let right = width - MARGIN - envelopes;
        layout.envelopes =
            Rect::new(right + 8.0, top, (envelopes - 8.0).max(0.0), layout.verdict.y - top - 12.0);
        // The way back undoes the way there, and both together are seldom legible: it is in the inspector, unless
        // it is short or the packet died on it.
        let is_short = trace.there.len() + trace.back.len() <= STEPS;
        let died_on_way_back = trace.verdict != PacketVerdict::Answered && !trace.back.is_empty();
        let back: &[Hop] = if is_short || died_on_way_back { &trace.back } else { &[] };
        let hops = || trace.there.iter().chain(back);
        for hop in hops() {
            if !layout.columns.iter().any(|column| column.node == hop.place.node) {
                layout.columns.push(Column { node: hop.place.node.clone(), ..Column::default() });
            }
        }
        let count = layout.columns.len().max(1) as f64;
        let column_width = (right - MARGIN) / count;
        for (position, column) in layout.columns.iter_mut().enumerate() {
            let x = MARGIN + position as f64 * column_width;
            column.rect = Rect::new(x, top, column_width - 10.0, layout.verdict.y - top - 12.0);
            column.head = Rect { height: HEAD, ..column.rect };
        }
        let room = layout.verdict.y - 12.0 - top - HEAD - 8.0;
        let step_height = (room / hops().count().max(1) as f64).min(STEP_MOST);
        let mut y = top + HEAD + 4.0;
        for (is_back, flight) in [(false, trace.there.as_slice()), (true, back)] {
            for (index, hop) in flight.iter().enumerate() {
                let column = layout.columns.iter().find(|column| column.node == hop.place.node);
                let Some(column) = column else { continue };
                let rect = Rect::new(column.rect.x + 10.0, y, column.rect.width - 20.0, step_height - 7.0);
                layout.steps.push(Step { is_back, index, rect });
                y += step_height;
            }
        }
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterarium::picture::Place;

    #[test]
    fn each_hop_has_a_step_in_the_column_of_its_place() {
        let hop =
            |node: &str| Hop { place: Place { node: node.into(), ..Place::default() }, ..Hop::default() };
        for (width, height) in [(1090.0, 720.0), (720.0, 440.0), (390.0, 640.0)] {
            for length in [1, 6, 14] {
                let there: Vec<Hop> =
                    (0..length).map(|number| hop(if number * 2 < length { "a" } else { "b" })).collect();
                let back = there.iter().rev().cloned().collect();
                let trace = PacketTrace { there, back, ..PacketTrace::default() };
                let layout = Layout::of(Some(&trace), width, height);
                let is_short = 2 * length <= STEPS;
                assert_eq!(layout.steps.len(), if is_short { 2 * length } else { length });
                for (position, step) in layout.steps.iter().enumerate() {
                    let node = &step.hop(&trace).unwrap().place.node;
                    let column = layout.columns.iter().find(|column| column.node == *node).unwrap();
                    assert!(column.rect.contains(step.rect.center()), "{width} {length}");
                    for other in &layout.steps[position + 1..] {
                        assert!(!step.rect.overlaps(other.rect));
                    }
                }
            }
        }
    }
}
