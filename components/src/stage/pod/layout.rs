//! Where the pod, its node's network and its steps stand.
//!
//! Picture to hold in mind: a section through one floor of the house: the room above, the cable shaft below,
//! and on the left the builder's list.

use clusterarium::picture::{Component, ComponentKind};
use clusterarium::sorted::SortedMap;

use crate::stage::geometry::{Point, Rect, Route, World};
use crate::stage::pods::Placed;
use crate::stage::scene::Subject;

#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub bounds: Rect,
    /// The builder's list.
    pub steps: Rect,
    pub node: Rect,
    /// The node's kubelet and engine: their names and boxes.
    pub parts: Vec<(String, Rect)>,
    pub pod: Rect,
    /// Index into the pod's containers.
    pub containers: Vec<Placed>,
    /// Index into the detail's volumes.
    pub volumes: Vec<Placed>,
    /// The pause container.
    pub slab: Rect,
    pub bridge: Rect,
    /// The node's network card.
    pub card: Rect,
    doors: SortedMap<u32, Rect>,
}

const WIDE: (f64, f64) = (980.0, 600.0);
const UPRIGHT: (f64, f64) = (460.0, 800.0);
const MARGIN: f64 = 18.0;

impl Layout {
    pub fn of(subject: &Subject, pod: Option<usize>) -> Layout {
        let World { is_upright, width, height } = World::of(subject.width, subject.height, WIDE, UPRIGHT);
        let mut layout = Layout { bounds: Rect::new(0.0, 0.0, width, height), ..Layout::default() };
        let node = if is_upright {
            layout.steps = Rect::new(MARGIN, height * 0.6, width - 2.0 * MARGIN, height * 0.4 - MARGIN);
            Rect::new(MARGIN, MARGIN, width - 2.0 * MARGIN, height * 0.6 - 2.0 * MARGIN)
        } else {
            layout.steps = Rect::new(MARGIN, MARGIN, 250.0, height - 2.0 * MARGIN);
            let x = layout.steps.right() + MARGIN;
            Rect::new(x, MARGIN, width - x - MARGIN, height - 2.0 * MARGIN)
        };
        layout.node = node;
        let Some(pod) = pod else { return layout };
        layout.place_parts(subject, &subject.picture.pods[pod].node);
        let inset = if is_upright { 12.0 } else { 40.0 };
        let top = node.y + 88.0;
        let card_height = 44.0;
        let below = 2.0 * card_height + 2.0 * 34.0 + 14.0;
        layout.pod = Rect::new(node.x + inset, top, node.width - 2.0 * inset, node.bottom() - top - below);
        let inner = layout.pod.inset(12.0);
        let slab_height = (inner.height * 0.26).clamp(50.0, 76.0);
        layout.slab = Rect { y: inner.bottom() - slab_height, height: slab_height, ..inner };
        let room = Rect::new(inner.x, inner.y + 34.0, inner.width, layout.slab.y - inner.y - 34.0 - 4.0);
        layout.place_room(subject, pod, room);
        let y = layout.pod.bottom() + 34.0;
        layout.bridge = Rect::new(layout.pod.x, y, layout.pod.width, card_height);
        let width = (node.width * 0.6).min(300.0);
        let x = node.center().x - width / 2.0;
        layout.card = Rect::new(x, layout.bridge.bottom() + 34.0, width, card_height);
        layout
    }

    fn place_parts(&mut self, subject: &Subject, host: &str) {
        // Far apart: what the two say to each other needs room between them.
        let width = (self.node.width * 0.24).min(150.0);
        let left = self.node.x + 16.0;
        let right = self.node.right() - 16.0 - width;
        for (kind, x) in [(ComponentKind::Kubelet, left), (ComponentKind::ContainerEngine, right)] {
            let is_it = |component: &&Component| component.host == *host && component.kind == kind;
            if let Some(component) = subject.picture.components.iter().find(is_it) {
                let rect = Rect::new(x, self.node.y + 42.0, width, 34.0);
                self.parts.push((component.name.clone(), rect));
                self.doors.insert(component.actor, rect);
            }
        }
    }

    /// Volumes on the left, containers on the right of the room above the slab.
    fn place_room(&mut self, subject: &Subject, pod: usize, room: Rect) {
        let containers = subject.picture.pods[pod].containers.len().max(1) as f64;
        let volumes = subject.detail.as_ref().map_or(0, |detail| detail.volumes.len());
        let shelf = if volumes > 0 { (room.width * 0.26).min(170.0) } else { 0.0 };
        let left = room.x + if volumes > 0 { shelf + 34.0 } else { 0.0 };
        let gap = 12.0;
        let width = ((room.right() - left - gap * (containers - 1.0)) / containers).min(230.0);
        // Few containers stand in the middle of the slab, not at its end.
        let all = width * containers + gap * (containers - 1.0);
        let start = left + (room.right() - left - all) / 2.0;
        for index in 0..subject.picture.pods[pod].containers.len() {
            let x = start + index as f64 * (width + gap);
            self.containers.push(Placed { index, rect: Rect::new(x, room.y, width, room.height) });
        }
        let height = ((room.height - 8.0 * (volumes as f64 - 1.0)) / volumes.max(1) as f64).min(56.0);
        for index in 0..volumes {
            let y = room.y + index as f64 * (height + 8.0);
            self.volumes.push(Placed { index, rect: Rect::new(room.x, y, shelf, height) });
        }
    }

    /// Between the kubelet and the engine of this node; other messages are not of this lens.
    pub fn route(&self, from: u32, to: u32) -> Option<Route> {
        let (a, b) = (self.doors.get(&from)?, self.doors.get(&to)?);
        let (a, b) = (a.center(), b.center());
        (from != to).then(|| {
            let half = self.parts.first().map_or(0.0, |(_, rect)| rect.width / 2.0);
            let toward = (b.x - a.x).signum();
            Route::new([Point::new(a.x + half * toward, a.y), Point::new(b.x - half * toward, b.y)])
        })
    }
}
