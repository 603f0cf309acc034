//! Where everything on the stage stands: from a picture to boxes and routes.
//!
//! Picture to hold in mind: the course's architecture drawing. The control plane lies across the top with the
//! API server as its spine: everything passes through it. Below stand the nodes, side by side, and pods stand
//! in nodes. Positions depend on what there is, never on what happens, so nothing jumps.

use std::collections::BTreeMap;

use clusterarium::picture::{Component, ComponentKind, Host, HostRole, Picture, Pod};

use super::geometry::{Point, Rect, Route};

/// What can be pointed at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    Component(String),
    Host(String),
    /// Namespace and name.
    Pod(String, String),
    /// Namespace, pod and container.
    Container(String, String, String),
    /// A message, by its line in the record.
    Message(u64),
}

/// A laid-out picture.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// All of it.
    pub bounds: Rect,
    pub control_plane: Rect,
    /// Index into the picture's components, and where each stands.
    pub components: Vec<Placed>,
    /// Index into the picture's hosts: those that are drawn as node cards.
    pub nodes: Vec<Placed>,
    /// Index into the picture's pods.
    pub pods: Vec<Placed>,
    /// Etcd members: index into the picture's members, and the circle's box.
    pub members: Vec<Placed>,
    pub etcd: Rect,
    pub terminal: Rect,
    /// Bound to no node: they wait here.
    pub unscheduled: Rect,
    /// Where an actor is entered and left.
    doors: BTreeMap<u32, Door>,
    /// The height at which routes from the API server turn towards the nodes.
    bus: f64,
    spine: Rect,
}

#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub index: usize,
    pub rect: Rect,
}

#[derive(Clone, Copy, Debug)]
struct Door {
    rect: Rect,
    kind: ComponentKind,
}

const MARGIN: f64 = 24.0;
const GAP: f64 = 20.0;
const WIDTH: f64 = 1240.0;
const PLANE_HEIGHT: f64 = 400.0;
const BUS_GAP: f64 = 64.0;
const NODE_HEIGHT: f64 = 330.0;
const NODE_MINIMUM_WIDTH: f64 = 290.0;
const CHIP_HEIGHT: f64 = 38.0;
/// A pod at full size.
pub const POD_WIDTH: f64 = 128.0;
pub const POD_HEIGHT: f64 = 96.0;

impl Scene {
    pub fn of(picture: &Picture) -> Scene {
        let mut scene = Scene::default();
        let by_host = |host: &str| -> Vec<(usize, &Component)> {
            picture.components.iter().enumerate().filter(|(_, component)| component.host == host).collect()
        };
        let workers: Vec<(usize, &Host)> =
            picture.hosts.iter().enumerate().filter(|(_, host)| host.role == HostRole::Worker).collect();
        let columns = columns_for(workers.len());
        let node_width = ((WIDTH - GAP * (columns as f64 - 1.0)) / columns as f64).max(NODE_MINIMUM_WIDTH);
        let width = node_width * columns as f64 + GAP * (columns as f64 - 1.0);
        scene.terminal = Rect::new(MARGIN, MARGIN + 60.0, 150.0, 72.0);
        let left = scene.terminal.right() + 70.0;
        scene.control_plane = Rect::new(left, MARGIN, width, PLANE_HEIGHT);
        scene.place_control_plane(picture);
        scene.bus = scene.control_plane.bottom() + BUS_GAP / 2.0;
        let top = scene.control_plane.bottom() + BUS_GAP;
        for (position, (index, host)) in workers.iter().enumerate() {
            let (column, row) = (position % columns, position / columns);
            let rect = Rect::new(
                left + column as f64 * (node_width + GAP),
                top + row as f64 * (NODE_HEIGHT + GAP),
                node_width,
                NODE_HEIGHT,
            );
            scene.nodes.push(Placed { index: *index, rect });
            scene.place_chips(
                &by_host(&host.name),
                Rect::new(rect.x + 14.0, rect.y + 46.0, rect.width - 28.0, CHIP_HEIGHT),
            );
            let pods: Vec<usize> = pods_of(picture, &host.name);
            let area = Rect::new(rect.x + 14.0, rect.y + 98.0, rect.width - 28.0, rect.height - 98.0 - 48.0);
            scene.place_pods(&pods, area);
        }
        let rows = workers.len().div_ceil(columns).max(1) as f64;
        let bottom = top + rows * (NODE_HEIGHT + GAP) - GAP;
        let waiting: Vec<usize> = pods_of(picture, "");
        scene.unscheduled = Rect::new(MARGIN, top, scene.terminal.width + 30.0, NODE_HEIGHT);
        let area = Rect::new(MARGIN + 10.0, top + 40.0, scene.unscheduled.width - 20.0, NODE_HEIGHT - 50.0);
        scene.place_pods(&waiting, area);
        scene.bounds = Rect::new(0.0, 0.0, left + width + MARGIN, bottom + MARGIN);
        for (index, component) in picture.components.iter().enumerate() {
            if let Some(placed) = scene.components.iter().find(|placed| placed.index == index) {
                scene.doors.insert(component.actor, Door { rect: placed.rect, kind: component.kind });
            }
        }
        for placed in &scene.members {
            let member = &picture.etcd[placed.index];
            scene.doors.insert(member.actor, Door { rect: placed.rect, kind: ComponentKind::Etcd });
        }
        scene
    }

    fn place_control_plane(&mut self, picture: &Picture) {
        let plane = self.control_plane;
        let column = |share: f64| plane.x + plane.width * share;
        let top = plane.y + 50.0;
        let manager = Rect::new(plane.x + 24.0, top, plane.width * 0.27, 168.0);
        let scheduler = Rect::new(manager.x, manager.bottom() + 20.0, manager.width, 72.0);
        self.spine = Rect::new(column(0.445), top, plane.width * 0.16, 260.0);
        self.etcd = Rect::new(column(0.725), top, plane.width * 0.255, 260.0);
        let mut chips = Vec::new();
        for (index, component) in picture.components.iter().enumerate() {
            let is_control_plane = picture
                .hosts
                .iter()
                .any(|host| host.name == component.host && host.role == HostRole::ControlPlane);
            let rect = match component.kind {
                ComponentKind::ApiServer => self.spine,
                ComponentKind::ControllerManager => manager,
                ComponentKind::Scheduler => scheduler,
                ComponentKind::Terminal => self.terminal,
                ComponentKind::Etcd => continue,
                _ if is_control_plane => {
                    chips.push((index, component));
                    continue;
                }
                _ => continue,
            };
            self.components.push(Placed { index, rect });
        }
        let strip =
            Rect::new(plane.x + 24.0, plane.bottom() - CHIP_HEIGHT - 16.0, manager.width, CHIP_HEIGHT);
        self.place_chips(&chips, strip);
        let hosts: Vec<&Host> =
            picture.hosts.iter().filter(|host| host.role == HostRole::ControlPlane).collect();
        let mut pods: Vec<usize> = Vec::new();
        for host in hosts {
            // The control plane's own static pods are drawn as what they are: the components above.
            pods.extend(
                pods_of(picture, &host.name).into_iter().filter(|index| !picture.pods[*index].is_mirror),
            );
        }
        let area =
            Rect::new(strip.right() + 30.0, strip.y - 10.0, plane.right() - strip.right() - 54.0, 56.0);
        self.place_pods(&pods, area);
        let count = picture.etcd.len();
        let center = Point::new(self.etcd.center().x, self.etcd.y + 140.0);
        let radius = 27.0;
        let ring = if count > 1 { 72.0 } else { 0.0 };
        for index in 0..count {
            let angle = std::f64::consts::TAU * index as f64 / count as f64 - std::f64::consts::FRAC_PI_2;
            let (x, y) = (center.x + ring * 1.15 * angle.cos(), center.y + ring * angle.sin());
            let rect = Rect::new(x - radius, y - radius, 2.0 * radius, 2.0 * radius);
            self.members.push(Placed { index, rect });
        }
    }

    fn place_chips(&mut self, chips: &[(usize, &Component)], strip: Rect) {
        let gap = 8.0;
        let width = (strip.width - gap * (chips.len() as f64 - 1.0)) / chips.len().max(1) as f64;
        for (position, (index, _)) in chips.iter().enumerate() {
            let x = strip.x + position as f64 * (width + gap);
            self.components.push(Placed { index: *index, rect: Rect::new(x, strip.y, width, strip.height) });
        }
    }

    /// Stands pods in rows; where they do not fit at full size all of them shrink alike.
    fn place_pods(&mut self, pods: &[usize], area: Rect) {
        if pods.is_empty() {
            return;
        }
        let mut scale = 1.0;
        let (mut columns, mut cell) = (1, (POD_WIDTH, POD_HEIGHT));
        while scale > 0.03 {
            cell = (POD_WIDTH * scale, POD_HEIGHT * scale);
            let gap = 8.0 * scale;
            columns = (((area.width + gap) / (cell.0 + gap)) as usize).max(1);
            let rows = ((area.height + gap) / (cell.1 + gap)) as usize;
            if columns * rows >= pods.len() && cell.0 <= area.width {
                break;
            }
            scale *= 0.92;
        }
        let gap = 8.0 * scale;
        for (position, index) in pods.iter().enumerate() {
            let (column, row) = (position % columns, position / columns);
            let rect = Rect::new(
                area.x + column as f64 * (cell.0 + gap),
                area.y + row as f64 * (cell.1 + gap),
                cell.0,
                cell.1,
            );
            self.pods.push(Placed { index: *index, rect });
        }
    }

    /// The box of a component's actor.
    pub fn rect_of(&self, actor: u32) -> Option<Rect> {
        self.doors.get(&actor).map(|door| door.rect)
    }
    pub fn spine(&self) -> Rect {
        self.spine
    }

    /// The way that a message takes between two actors.
    pub fn route(&self, from: u32, to: u32) -> Option<Route> {
        let (a, b) = (self.doors.get(&from)?, self.doors.get(&to)?);
        if b.kind == ComponentKind::ApiServer && a.kind != ComponentKind::ApiServer {
            return Some(self.to_spine(a));
        }
        if a.kind == ComponentKind::ApiServer {
            return Some(self.to_spine(b).reversed());
        }
        if a.kind == ComponentKind::Etcd && b.kind == ComponentKind::Etcd {
            return Some(between_circles(a.rect, b.rect));
        }
        Some(Route::new([edge_towards(a.rect, b.rect.center()), edge_towards(b.rect, a.rect.center())]))
    }

    /// From a component to the API server.
    fn to_spine(&self, door: &Door) -> Route {
        let (rect, spine) = (door.rect, self.spine);
        match door.kind {
            ComponentKind::Etcd => {
                let y = spine.y + spine.height * 0.5;
                Route::new([edge_towards(rect, Point::new(spine.right(), y)), Point::new(spine.right(), y)])
            }
            ComponentKind::Terminal => {
                // Above the controllers, so that the user's own request has a way of its own.
                let y = self.control_plane.y + 42.0;
                Route::new([
                    Point::new(rect.right(), rect.center().y),
                    Point::new(rect.right() + 34.0, rect.center().y),
                    Point::new(rect.right() + 34.0, y),
                    Point::new(spine.center().x, y),
                    Point::new(spine.center().x, spine.y),
                ])
            }
            ComponentKind::ControllerManager | ComponentKind::Scheduler => {
                let y = rect.center().y.clamp(spine.y + 20.0, spine.bottom() - 20.0);
                Route::new([Point::new(rect.right(), y), Point::new(spine.x, y)])
            }
            _ if rect.y > self.control_plane.bottom() => Route::new([
                Point::new(rect.center().x, rect.y),
                Point::new(rect.center().x, self.bus),
                Point::new(spine.center().x, self.bus),
                Point::new(spine.center().x, spine.bottom()),
            ]),
            _ => Route::new([
                Point::new(rect.right(), rect.center().y),
                Point::new(spine.center().x - 20.0, rect.center().y),
                Point::new(spine.center().x - 20.0, spine.bottom()),
            ]),
        }
    }

    /// The cables to draw: one a component.
    pub fn cables(&self) -> Vec<Route> {
        let mut cables: Vec<Route> = self
            .doors
            .values()
            .filter(|door| !matches!(door.kind, ComponentKind::ApiServer | ComponentKind::ContainerEngine))
            .filter(|door| door.kind != ComponentKind::KubeProxy)
            .map(|door| self.to_spine(door))
            .collect();
        for (position, a) in self.members.iter().enumerate() {
            for b in &self.members[position + 1..] {
                cables.push(between_circles(a.rect, b.rect));
            }
        }
        cables
    }

    /// What stands at `point`, the innermost thing first.
    pub fn hit(&self, picture: &Picture, point: Point) -> Option<Target> {
        if let Some(placed) = self.pods.iter().find(|placed| placed.rect.contains(point)) {
            let pod = &picture.pods[placed.index];
            let container = container_boxes(pod, placed.rect)
                .into_iter()
                .find(|(_, rect)| rect.contains(point))
                .map(|(index, _)| pod.containers[index].name.clone());
            let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
            return Some(match container {
                Some(container) => Target::Container(namespace, name, container),
                None => Target::Pod(namespace, name),
            });
        }
        if let Some(placed) = self.members.iter().find(|placed| placed.rect.contains(point)) {
            return Some(Target::Component(picture.etcd[placed.index].name.clone()));
        }
        if let Some(placed) = self.components.iter().find(|placed| placed.rect.contains(point)) {
            return Some(Target::Component(picture.components[placed.index].name.clone()));
        }
        let placed = self.nodes.iter().find(|placed| placed.rect.contains(point))?;
        Some(Target::Host(picture.hosts[placed.index].name.clone()))
    }

    /// The box of a target, to look at it closely.
    pub fn find(&self, picture: &Picture, target: &Target) -> Option<Rect> {
        match target {
            Target::Component(name) => self
                .components
                .iter()
                .find(|placed| picture.components[placed.index].name == *name)
                .or_else(|| self.members.iter().find(|placed| picture.etcd[placed.index].name == *name))
                .map(|placed| placed.rect),
            Target::Host(name) => self
                .nodes
                .iter()
                .find(|placed| picture.hosts[placed.index].name == *name)
                .map(|placed| placed.rect),
            Target::Pod(namespace, name) | Target::Container(namespace, name, _) => self
                .pods
                .iter()
                .find(|placed| {
                    let pod = &picture.pods[placed.index];
                    pod.namespace == *namespace && pod.name == *name
                })
                .map(|placed| placed.rect),
            Target::Message(_) => None,
        }
    }
}

/// Where the containers of a pod stand in its box: all but the title and the slab.
pub fn container_boxes(pod: &Pod, rect: Rect) -> Vec<(usize, Rect)> {
    let unit = rect.height / POD_HEIGHT;
    let area = Rect::new(
        rect.x + 6.0 * unit,
        rect.y + 26.0 * unit,
        rect.width - 12.0 * unit,
        rect.height - 26.0 * unit - 28.0 * unit,
    );
    let count = pod.containers.len().max(1) as f64;
    let gap = 4.0 * unit;
    let width = (area.width - gap * (count - 1.0)) / count;
    (0..pod.containers.len())
        .map(|index| (index, Rect::new(area.x + index as f64 * (width + gap), area.y, width, area.height)))
        .collect()
}

/// The slab that the containers stand on: the pause container.
pub fn slab_box(rect: Rect) -> Rect {
    let unit = rect.height / POD_HEIGHT;
    Rect::new(rect.x + 4.0 * unit, rect.bottom() - 24.0 * unit, rect.width - 8.0 * unit, 20.0 * unit)
}

fn columns_for(nodes: usize) -> usize {
    match nodes {
        0 => 1,
        1..=4 => nodes,
        5..=6 => 3,
        7..=12 => 4,
        _ => ((nodes as f64 * 1.2).sqrt().ceil() as usize).max(4),
    }
}

fn pods_of(picture: &Picture, node: &str) -> Vec<usize> {
    let mut pods: Vec<usize> =
        (0..picture.pods.len()).filter(|index| picture.pods[*index].node == node).collect();
    // Oldest first: a new pod never moves those that stand.
    pods.sort_by_key(|index| (picture.pods[*index].created_us, *index));
    pods
}

fn edge_towards(rect: Rect, target: Point) -> Point {
    let center = rect.center();
    let (dx, dy) = (target.x - center.x, target.y - center.y);
    let share =
        (rect.width / 2.0 / dx.abs().max(0.001)).min(rect.height / 2.0 / dy.abs().max(0.001)).min(1.0);
    center.toward(target, share)
}

fn between_circles(a: Rect, b: Rect) -> Route {
    let (from, to) = (a.center(), b.center());
    let distance = from.distance(to).max(1.0);
    let radius = a.width / 2.0;
    Route::new([from.toward(to, radius / distance), to.toward(from, radius / distance)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterarium::picture::EtcdMember;

    fn picture(workers: usize, pods: usize) -> Picture {
        let mut picture = Picture::default();
        picture.hosts.push(Host { name: "cp-1".into(), role: HostRole::ControlPlane, ..Host::default() });
        for number in 0..workers {
            picture.hosts.push(Host { name: format!("worker-{number}"), ..Host::default() });
        }
        for (actor, kind) in [
            ComponentKind::ApiServer,
            ComponentKind::ControllerManager,
            ComponentKind::Scheduler,
            ComponentKind::Kubelet,
        ]
        .into_iter()
        .enumerate()
        {
            picture.components.push(Component {
                name: format!("{kind:?}"),
                actor: actor as u32,
                kind,
                host: "cp-1".into(),
                ..Component::default()
            });
        }
        for number in 0..3 {
            picture.etcd.push(EtcdMember {
                name: format!("m{number}"),
                actor: 10 + number,
                ..EtcdMember::default()
            });
        }
        for number in 0..pods {
            picture.pods.push(Pod {
                name: format!("p{number}"),
                node: format!("worker-{}", number % workers),
                created_us: number as u64,
                ..Pod::default()
            });
        }
        picture
    }

    #[test]
    fn nothing_overlaps_and_all_is_within_bounds() {
        for (workers, pods) in [(1, 0), (3, 9), (3, 300), (10, 1000), (50, 200)] {
            let picture = picture(workers, pods);
            let scene = Scene::of(&picture);
            assert_eq!((scene.nodes.len(), scene.pods.len()), (workers, pods));
            for (position, a) in scene.nodes.iter().enumerate() {
                for b in &scene.nodes[position + 1..] {
                    assert!(!a.rect.overlaps(b.rect), "{workers} nodes");
                }
            }
            for pod in &scene.pods {
                assert!(scene.nodes.iter().any(|node| node.rect.contains(pod.rect.center())));
                assert!(scene.bounds.contains(pod.rect.center()));
            }
        }
    }

    #[test]
    fn a_new_pod_moves_no_other_while_there_is_room() {
        let before = Scene::of(&picture(3, 6));
        let after = Scene::of(&picture(3, 9));
        for placed in &before.pods {
            let same = after.pods.iter().find(|other| other.index == placed.index).unwrap();
            assert_eq!(same.rect, placed.rect);
        }
    }

    #[test]
    fn every_route_leads_from_door_to_door() {
        let picture = picture(3, 0);
        let scene = Scene::of(&picture);
        for (from, to) in [(1, 0), (0, 1), (2, 0), (3, 0), (10, 0), (0, 12), (10, 11)] {
            let route = scene.route(from, to).unwrap();
            for (end, actor) in [(route.at(0.0), from), (route.at(1.0), to)] {
                let rect = scene.rect_of(actor).unwrap();
                let close = Rect::new(rect.x - 1.0, rect.y - 1.0, rect.width + 2.0, rect.height + 2.0);
                assert!(close.contains(end), "{from} to {to}");
            }
        }
        assert!(scene.route(77, 0).is_none());
    }
}
