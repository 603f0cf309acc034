//! Several control-plane nodes: where their parts stand in the API-flow lens.
//!
//! Picture to hold in mind: the storeys of a house. Each has its API server on the right and, beside it, the two that
//! speak to that one alone. Cables from below come up a shaft of their own, so that none crosses a storey.

use clusterarium::picture::{Component, ComponentKind, HostRole, Picture};

use crate::stage::geometry::Rect;

/// Between two storeys.
const GAP: f64 = 10.0;
/// The width of a node's name.
const LABEL: f64 = 40.0;

/// The control-plane nodes and the rooms that they share.
pub struct Planes<'a> {
    hosts: Vec<&'a str>,
    /// All API servers' room, and that of what stands beside them.
    spine: Rect,
    side: Rect,
}

impl<'a> Planes<'a> {
    pub fn of(picture: &'a Picture, side: Rect, spine: Rect) -> Planes<'a> {
        let is_plane = |role: HostRole| role == HostRole::ControlPlane;
        let hosts = picture.hosts.iter().filter(|host| is_plane(host.role));
        Planes { hosts: hosts.map(|host| host.name.as_str()).collect(), side, spine }
    }

    /// Where `component` stands; `None`: it belongs to no storey.
    pub fn place(&self, component: &Component) -> Option<Rect> {
        let storey = self.hosts.iter().position(|host| *host == component.host)?;
        let half = |room: Rect, second: bool| {
            let height = (room.height - 6.0) / 2.0;
            let y = if second { room.y + height + 6.0 } else { room.y };
            Rect { y, height, ..room }
        };
        Some(match component.kind {
            ComponentKind::ApiServer => self.storey(self.spine, storey),
            ComponentKind::ControllerManager => half(self.storey(self.side, storey), false),
            ComponentKind::Scheduler => half(self.storey(self.side, storey), true),
            _ => return None,
        })
    }

    /// Each node's place for what runs on every node, in `room`: side by side, or one above the other. Left of it is
    /// room for its name.
    pub fn strips(&self, room: Rect, is_stacked: bool) -> Vec<(&'a str, Rect)> {
        let count = self.hosts.len() as f64;
        let (width, height) = match is_stacked {
            true => (room.width, room.height / count),
            false => (room.width / count, room.height),
        };
        let place = |(number, host): (usize, &&'a str)| {
            let number = number as f64;
            let (x, y) = match is_stacked {
                true => (room.x, room.y + number * height),
                false => (room.x + number * width, room.y),
            };
            let below = if is_stacked { 6.0 } else { 0.0 };
            (*host, Rect::new(x + LABEL, y, width - LABEL - 6.0, height - below))
        };
        self.hosts.iter().enumerate().map(place).collect()
    }

    fn storey(&self, room: Rect, number: usize) -> Rect {
        let count = self.hosts.len() as f64;
        let height = (room.height - GAP * (count - 1.0)) / count;
        Rect { y: room.y + number as f64 * (height + GAP), height, ..room }
    }
}

/// How many control-plane nodes there are.
pub fn count(picture: &Picture) -> usize {
    picture.hosts.iter().filter(|host| host.role == HostRole::ControlPlane).count().max(1)
}
