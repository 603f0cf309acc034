//! The ways between the parts of the API-flow lens: which cable a message takes, and which cables there are.
//!
//! Picture to hold in mind: the conduits in the walls. Each part has a door; from below cables come up to a bus and
//! on to the API server, or through a shaft beside several of them; nothing crosses a box that it does not end at.

use clusterarium::picture::{Component, ComponentKind, HostRole, Picture};

use crate::stage::cables::Cable;
use crate::stage::geometry::{Point, Rect, Route};
use crate::stage::pods::Placed;

use super::layout::{GAP, Layout, of_kind, role_of};

#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) rect: Rect,
    /// The machine that it is a door of.
    host: String,
    kind: ComponentKind,
    is_on_worker: bool,
}

impl Door {
    fn of(picture: &Picture, component: &Component, rect: Rect) -> Door {
        let is_on_worker = role_of(picture, &component.host) == Some(HostRole::Worker);
        Door { rect, host: component.host.clone(), kind: component.kind, is_on_worker }
    }
}

impl Layout {
    pub(super) fn open_doors(&mut self, picture: &Picture) {
        for placed in &self.components {
            let component = &picture.components[placed.index];
            self.doors.insert(component.actor, Door::of(picture, component, placed.rect));
        }
        // CoreDNS speaks from the pod that it lives in.
        for component in of_kind(picture, ComponentKind::CoreDns) {
            let is_its = |placed: &&Placed| {
                let pod = &picture.pods[placed.index];
                pod.node == component.host
                    && pod.namespace == "kube-system"
                    && pod.name.starts_with("coredns-")
            };
            if let Some(placed) = self.pods.iter().find(is_its) {
                self.doors.insert(component.actor, Door::of(picture, component, placed.rect));
            }
        }
        for placed in &self.members {
            let member = &picture.etcd[placed.index];
            let (host, kind) = (member.host.clone(), ComponentKind::Etcd);
            self.doors.insert(member.actor, Door { rect: placed.rect, host, kind, is_on_worker: false });
        }
    }

    /// The way that a message takes between two actors.
    pub fn route(&self, from: u32, to: u32) -> Option<Route> {
        let (a, b) = (self.doors.get(&from)?, self.doors.get(&to)?);
        let is_server = |door: &Door| door.kind == ComponentKind::ApiServer;
        if from == to {
            return None;
        }
        if is_server(b) && !is_server(a) {
            return Some(self.way(a, b.rect));
        }
        if is_server(a) && !is_server(b) {
            return Some(self.way(b, a.rect).reversed());
        }
        if a.kind == ComponentKind::Etcd && b.kind == ComponentKind::Etcd {
            return Some(between_circles(a.rect, b.rect));
        }
        Some(Route::new([a.rect.edge_towards(b.rect.center()), b.rect.edge_towards(a.rect.center())]))
    }

    /// From a component to an API server.
    fn way(&self, door: &Door, server: Rect) -> Route {
        let rect = door.rect;
        // Where it comes from below: one of several is reached through a shaft beside them.
        let from = |start: Point| {
            let x = server.center().x;
            if server.bottom() >= self.spine.bottom() - 1.0 {
                let turns = [Point::new(start.x, self.bus), Point::new(x, self.bus)];
                return Route::new([start, turns[0], turns[1], Point::new(x, server.bottom())]);
            }
            let (shaft, y) = (self.shaft(server), server.bottom() - 10.0);
            Route::new([
                start,
                Point::new(start.x, self.bus),
                Point::new(shaft, self.bus),
                Point::new(shaft, y),
                Point::new(server.right(), y),
            ])
        };
        if self.is_upright {
            return self.way_upright(door, server);
        }
        match door.kind {
            ComponentKind::Etcd => {
                let y = rect.center().y.clamp(server.y + 16.0, server.bottom() - 16.0);
                Route::new([rect.edge_towards(Point::new(server.right(), y)), Point::new(server.right(), y)])
            }
            ComponentKind::Terminal => {
                // Above the controllers, so that the user's own request has a way of its own.
                let y = self.control_plane.y + 8.0;
                let turn = rect.right() + 9.0;
                let start = [Point::new(rect.right(), rect.center().y), Point::new(turn, rect.center().y)];
                if server.y <= self.spine.y + 1.0 {
                    let x = server.center().x;
                    let end = [Point::new(x, y), Point::new(x, server.y)];
                    return Route::new([start[0], start[1], Point::new(turn, y), end[0], end[1]]);
                }
                let (x, door) = (server.x - 10.0, server.y + 12.0);
                let end = [Point::new(x, y), Point::new(x, door), Point::new(server.x, door)];
                Route::new([start[0], start[1], Point::new(turn, y), end[0], end[1], end[2]])
            }
            ComponentKind::ControllerManager | ComponentKind::Scheduler => {
                let margin = 20.0_f64.min(server.height / 4.0);
                let y = rect.center().y.clamp(server.y + margin, server.bottom() - margin);
                Route::new([Point::new(rect.right(), y), Point::new(server.x, y)])
            }
            _ if door.is_on_worker => from(Point::new(rect.center().x, rect.y)),
            _ => from(Point::new(rect.center().x, rect.bottom())),
        }
    }

    /// Where cables from below go up to an API server that has others under it.
    fn shaft(&self, server: Rect) -> f64 {
        let storeys = ((self.spine.bottom() - server.bottom()) / server.height.max(1.0)).round();
        server.right() + 6.0 + 7.0 * storeys
    }

    /// The same, where the API server lies across the drawing: straight up or down to it.
    fn way_upright(&self, door: &Door, server: Rect) -> Route {
        let center = door.rect.center();
        let x = center.x.clamp(server.x + 10.0, server.right() - 10.0);
        if matches!(door.kind, ComponentKind::ControllerManager | ComponentKind::Scheduler)
            && server.y < center.y
            && center.y < server.bottom()
        {
            return Route::new([Point::new(door.rect.right(), center.y), Point::new(server.x, center.y)]);
        }
        if door.kind == ComponentKind::Terminal && self.spine.height > server.height {
            let (shaft, y) = (server.x - 4.0, server.y + 12.0);
            return Route::new([
                Point::new(shaft, door.rect.bottom()),
                Point::new(shaft, y),
                Point::new(server.x, y),
            ]);
        }
        if center.y < server.y {
            return Route::new([Point::new(center.x, door.rect.bottom()), Point::new(x, server.y)]);
        }
        if !door.is_on_worker {
            return Route::new([Point::new(center.x, door.rect.y), Point::new(x, server.bottom())]);
        }
        if self.spine.height > server.height {
            let (shaft, y) = (self.shaft(server), server.bottom() - 10.0);
            return Route::new([
                Point::new(center.x, door.rect.y),
                Point::new(center.x, self.bus),
                Point::new(shaft, self.bus),
                Point::new(shaft, y),
                Point::new(server.right(), y),
            ]);
        }
        // Between the controller manager and the scheduler.
        let shaft = server.x + server.width * 0.64 + GAP / 2.0;
        Route::new([
            Point::new(center.x, door.rect.y),
            Point::new(center.x, self.bus),
            Point::new(shaft, self.bus),
            Point::new(shaft, server.bottom()),
        ])
    }

    /// A member of etcd beside the only API server there is, which knows the others too.
    fn is_shared(&self, door: &Door) -> bool {
        let servers = self.doors.values().filter(|door| door.kind == ComponentKind::ApiServer).count();
        door.kind == ComponentKind::Etcd && servers == 1
    }

    /// The cables to draw: one a component that speaks to an API server, and those between etcd members.
    pub fn cables(&self) -> Vec<Cable<'_>> {
        let servers = self.doors.values().filter(|door| door.kind == ComponentKind::ApiServer);
        let mut cables: Vec<Cable> = Vec::new();
        for server in servers {
            // What has an API server on its own machine speaks to no other, the user's terminal apart.
            let has_own = |door: &Door| {
                let is_there =
                    |server: &Door| server.kind == ComponentKind::ApiServer && server.host == door.host;
                self.doors.values().any(is_there)
            };
            let speaks = |door: &&Door| {
                !matches!(door.kind, ComponentKind::ApiServer | ComponentKind::ContainerEngine)
                    && (door.host == server.host || !has_own(door) || self.is_shared(door))
            };
            cables.extend(self.doors.values().filter(speaks).map(|door| Cable {
                route: self.way(door, server.rect),
                from: &door.host,
                to: &server.host,
                is_between_members: false,
            }));
        }
        let members: Vec<&Door> =
            self.doors.values().filter(|door| door.kind == ComponentKind::Etcd).collect();
        for (position, a) in members.iter().enumerate() {
            cables.extend(members[position + 1..].iter().map(|b| Cable {
                route: between_circles(a.rect, b.rect),
                from: &a.host,
                to: &b.host,
                is_between_members: true,
            }));
        }
        cables
    }
}

fn between_circles(a: Rect, b: Rect) -> Route {
    let (from, to) = (a.center(), b.center());
    let distance = from.distance(to).max(1.0);
    let radius = a.width / 2.0;
    Route::new([from.toward(to, radius / distance), to.toward(from, radius / distance)])
}
