//! Where everything stands in the API-flow lens: from a picture and a window to boxes and routes.
//!
//! Picture to hold in mind: the course's architecture drawing. The control plane lies across the top with the
//! API server as its spine: everything passes through it. Below stand the nodes, side by side, and pods stand
//! in nodes. Positions depend on what there is, never on what happens, so nothing jumps.
//!
//! The drawing is made to fill the window: its unit is a CSS pixel, or more where the window is large (a
//! projector), so words stay legible. A narrow window (a phone) gets the same drawing set upright.

use clusterarium::picture::{Component, ComponentKind, Host, HostRole, Picture, Pod};
use clusterarium::sorted::SortedMap;

use crate::arithmetic::{cos, sin};
use crate::stage::geometry::{Point, Rect, World};
use crate::stage::pods::{self, Placed};

use super::planes::{self, Planes};
use super::routes::Door;

/// A laid-out picture, in world units.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Set upright, for a narrow window.
    pub is_upright: bool,
    pub bounds: Rect,
    pub control_plane: Rect,
    /// Index into the picture's components, and where each stands.
    pub components: Vec<Placed>,
    /// Index into the picture's hosts: those that are drawn as node cards.
    pub nodes: Vec<Placed>,
    /// Index into the picture's pods.
    pub pods: Vec<Placed>,
    /// kube-proxy's pods, drawn as the node component that they are; index into the picture's pods.
    pub proxies: Vec<Placed>,
    /// Etcd members: index into the picture's members, and the circle's box.
    pub members: Vec<Placed>,
    pub etcd: Rect,
    pub terminal: Rect,
    /// Bound to no node: they wait here.
    pub unscheduled: Rect,
    /// Names of machines, each left of the chips that it is of.
    pub labels: Vec<(String, Rect)>,
    /// The API servers' room.
    pub spine: Rect,
    /// Where an actor is entered and left.
    pub(super) doors: SortedMap<u32, Door>,
    /// The height at which routes from the API server turn towards the nodes.
    pub(super) bus: f64,
}

/// The least world that the drawing needs, set wide and set upright.
const WIDE: (f64, f64) = (980.0, 610.0);
const UPRIGHT: (f64, f64) = (460.0, 740.0);

const MARGIN: f64 = 16.0;
pub(super) const GAP: f64 = 14.0;
const BUS_GAP: f64 = 44.0;
const CHIP_HEIGHT: f64 = 30.0;
const NODE_MINIMUM_WIDTH: f64 = 214.0;
const NODE_MINIMUM_HEIGHT: f64 = 190.0;
/// What a node card has above and below its pods.
const NODE_HEAD: f64 = 38.0 + CHIP_HEIGHT + 10.0;
const NODE_FOOT: f64 = 40.0;

impl Layout {
    /// `width` and `height` are the canvas's, in CSS pixels.
    pub fn of(picture: &Picture, width: f64, height: f64) -> Layout {
        let World { is_upright, width, height } = World::of(width, height, WIDE, UPRIGHT);
        let mut layout = Layout { is_upright, ..Layout::default() };
        if is_upright {
            layout.place_upright(picture, width);
        } else {
            layout.place_wide(picture, width);
        }
        layout.bus = layout.control_plane.bottom() + BUS_GAP / 2.0;
        let top = layout.control_plane.bottom() + BUS_GAP;
        let bottom =
            layout.place_nodes(picture, Rect::new(MARGIN, top, width - 2.0 * MARGIN, height - top - MARGIN));
        layout.bounds = Rect::new(0.0, 0.0, width.max(layout.nodes_right() + MARGIN), bottom + MARGIN);
        layout.open_doors(picture);
        layout
    }

    fn nodes_right(&self) -> f64 {
        self.nodes.iter().map(|node| node.rect.right()).fold(0.0, f64::max)
    }

    fn place_wide(&mut self, picture: &Picture, width: f64) {
        let side = 124.0;
        self.terminal = Rect::new(MARGIN, MARGIN + 24.0, side, 64.0);
        let left = MARGIN + side + 18.0;
        let plane = Rect::new(left, MARGIN, width - left - MARGIN, 318.0);
        self.control_plane = plane;
        let y = self.terminal.bottom() + 18.0;
        self.unscheduled = Rect::new(MARGIN, y, side, plane.bottom() - y);
        let top = plane.y + 38.0;
        // Of several API servers each lies across the drawing; the shaft for their cables needs room too.
        let (manager_share, spine_share) =
            if planes::count(picture) > 1 { (0.225, 0.315) } else { (0.325, 0.18) };
        let (manager_width, spine_width, etcd_width) =
            (plane.width * manager_share, plane.width * spine_share, plane.width * 0.255);
        let manager = Rect::new(plane.x + 16.0, top, manager_width, 136.0);
        let scheduler = Rect::new(manager.x, manager.bottom() + 12.0, manager_width, 72.0);
        let body = scheduler.bottom() - top;
        let gaps = (plane.width - 32.0 - manager_width - spine_width - etcd_width) / 2.0;
        self.spine = Rect::new(manager.right() + gaps, top, spine_width, body);
        self.etcd = Rect::new(plane.right() - 16.0 - etcd_width, top, etcd_width, body);
        let strip = Rect::new(manager.x, scheduler.bottom() + 12.0, manager_width + gaps - 14.0, CHIP_HEIGHT);
        let rest = Rect::new(self.spine.x, strip.y, plane.right() - self.spine.x - 16.0, CHIP_HEIGHT);
        self.place_control_plane(picture, manager, scheduler, strip, rest);
        let center = Point::new(self.etcd.center().x, self.etcd.y + 110.0);
        let count = picture.etcd.len();
        let radius = if count > 3 { 22.0 } else { 27.0 };
        let ring = if count > 1 { (self.etcd.width * 0.3, 50.0) } else { (0.0, 0.0) };
        for index in 0..count {
            let angle = std::f64::consts::TAU * index as f64 / count as f64 - std::f64::consts::FRAC_PI_2;
            let (x, y) = (center.x + ring.0 * cos(angle), center.y + ring.1 * sin(angle));
            self.members.push(Placed { index, rect: Rect::new(x, y, 0.0, 0.0).inset(-radius) });
        }
    }

    fn place_upright(&mut self, picture: &Picture, width: f64) {
        let inner = width - 2.0 * MARGIN;
        self.terminal = Rect::new(MARGIN, MARGIN, 96.0, 50.0);
        self.unscheduled = Rect::new(MARGIN, MARGIN + 60.0, 96.0, 58.0);
        self.etcd = Rect::new(self.terminal.right() + GAP, MARGIN, inner - 96.0 - GAP, 118.0);
        let planes = planes::count(picture) as f64;
        self.spine = Rect::new(MARGIN, self.etcd.bottom() + 34.0, inner, 74.0);
        if planes > 1.0 {
            // Beside them on the left what speaks to them alone, on the right the shaft for cables from below.
            self.spine =
                Rect { x: MARGIN + 96.0, width: inner - 96.0 - 26.0, height: planes * 76.0, ..self.spine };
        }
        let top = self.spine.bottom() + 34.0;
        // Of several nodes the other parts stand in a row each.
        let rows = planes * (CHIP_HEIGHT + 6.0);
        let manager = Rect::new(MARGIN, top, inner * 0.64, if planes > 1.0 { rows } else { 106.0 });
        let scheduler = Rect::new(manager.right() + GAP, top, inner - manager.width - GAP, 62.0);
        let strip = Rect::new(scheduler.x, scheduler.bottom() + GAP, scheduler.width, CHIP_HEIGHT);
        self.control_plane = Rect::new(0.0, 0.0, width, manager.bottom());
        let rest = Rect::new(scheduler.x, strip.bottom(), 0.0, 0.0);
        self.place_control_plane(picture, manager, scheduler, strip, rest);
        let count = picture.etcd.len();
        let radius = 21.0;
        for index in 0..count {
            let x = self.etcd.x + self.etcd.width * (index as f64 + 0.5) / count as f64;
            let rect = Rect::new(x, self.etcd.y + 68.0, 0.0, 0.0).inset(-radius);
            self.members.push(Placed { index, rect });
        }
    }

    /// The components of the control plane's machines; what runs on every node stands in `strip`, other pods in `rest`.
    fn place_control_plane(
        &mut self,
        picture: &Picture,
        manager: Rect,
        scheduler: Rect,
        strip: Rect,
        rest: Rect,
    ) {
        let many = (planes::count(picture) > 1).then(|| {
            let side = match self.is_upright {
                true => Rect { x: MARGIN, width: self.spine.x - MARGIN - 8.0, ..self.spine },
                false => Rect { y: self.spine.y, height: self.spine.height, ..manager },
            };
            Planes::of(picture, side, self.spine)
        });
        let mut chips = Vec::new();
        for (index, component) in picture.components.iter().enumerate() {
            let is_control_plane =
                role_of(picture, &component.host).is_some_and(|role| role == HostRole::ControlPlane);
            if let Some(rect) = many.as_ref().and_then(|planes| planes.place(component)) {
                self.components.push(Placed { index, rect });
                continue;
            }
            let rect = match component.kind {
                ComponentKind::ApiServer => self.spine,
                ComponentKind::ControllerManager => manager,
                ComponentKind::Scheduler => scheduler,
                ComponentKind::Terminal => self.terminal,
                ComponentKind::Etcd | ComponentKind::CoreDns => continue,
                _ if is_control_plane => {
                    chips.push(Chip::Component(index));
                    continue;
                }
                _ => continue,
            };
            self.components.push(Placed { index, rect });
        }
        let mut pods: Vec<usize> = Vec::new();
        for host in picture.hosts.iter().filter(|host| host.role == HostRole::ControlPlane) {
            // The control plane's own static pods are drawn as what they are: the components above.
            for index in pods::of_node(picture, &host.name) {
                let pod = &picture.pods[index];
                if daemon_of_node(pod).is_some() {
                    chips.push(Chip::Proxy(index));
                } else if !pod.is_mirror {
                    pods.push(index);
                }
            }
        }
        match many {
            None => {
                self.place_chips(picture, &chips, strip);
                self.pods.extend(pods::place(&pods, rest));
            }
            Some(planes) => {
                let (right, room) = match self.is_upright {
                    true => (self.spine.right() + 26.0, manager),
                    false => (rest.right(), strip),
                };
                // CoreDNS lies at the end where it may run there.
                let tray = Rect { x: right - 64.0, width: 64.0, ..room };
                let room = Rect { width: right - room.x - 64.0 - 8.0, ..room };
                for (host, rect) in planes.strips(room, self.is_upright) {
                    let of_host = |chip: &&Chip| chip.host(picture) == host;
                    let chips: Vec<Chip> = chips.iter().filter(of_host).cloned().collect();
                    self.place_chips(picture, &chips, rect);
                    self.labels.push((host.to_string(), rect));
                }
                self.pods.extend(pods::place(&pods, tray));
            }
        }
    }

    /// The node cards in `area`; its lower end, further down where the nodes need more room.
    fn place_nodes(&mut self, picture: &Picture, area: Rect) -> f64 {
        let workers: Vec<(usize, &Host)> =
            picture.hosts.iter().enumerate().filter(|(_, host)| host.role == HostRole::Worker).collect();
        let least = if self.is_upright { 136.0 } else { NODE_MINIMUM_WIDTH };
        let columns = columns_for(workers.len(), area.width, least);
        let rows = workers.len().div_ceil(columns).max(1);
        let width = ((area.width - GAP * (columns as f64 - 1.0)) / columns as f64).max(least);
        let height = ((area.height - GAP * (rows as f64 - 1.0)) / rows as f64).max(NODE_MINIMUM_HEIGHT);
        for (position, (index, host)) in workers.iter().enumerate() {
            let (column, row) = (position % columns, position / columns);
            let rect = Rect::new(
                area.x + column as f64 * (width + GAP),
                area.y + row as f64 * (height + GAP),
                width,
                height,
            );
            self.nodes.push(Placed { index: *index, rect });
            let inner = Rect { x: rect.x + 12.0, width: rect.width - 24.0, ..rect };
            let all = pods::of_node(picture, &host.name);
            let (proxies, pods): (Vec<usize>, Vec<usize>) =
                all.into_iter().partition(|index| daemon_of_node(&picture.pods[*index]).is_some());
            let mut chips: Vec<Chip> = picture
                .components
                .iter()
                .enumerate()
                .filter(|(_, component)| component.host == host.name)
                .filter(|(_, component)| {
                    !matches!(component.kind, ComponentKind::Etcd | ComponentKind::CoreDns)
                })
                .map(|(index, _)| Chip::Component(index))
                .collect();
            chips.extend(proxies.into_iter().map(Chip::Proxy));
            let strip = Rect { y: rect.y + 38.0, height: CHIP_HEIGHT, ..inner };
            self.place_chips(picture, &chips, strip);
            let room = Rect { y: rect.y + NODE_HEAD, height: rect.height - NODE_HEAD - NODE_FOOT, ..inner };
            self.pods.extend(pods::place(&pods, room));
        }
        let waiting = pods::of_node(picture, "");
        let tray = self.unscheduled;
        let head = if self.is_upright { 20.0 } else { 34.0 };
        let room = Rect::new(tray.x + 8.0, tray.y + head, tray.width - 16.0, tray.height - head - 8.0);
        self.pods.extend(pods::place(&waiting, room));
        area.y + rows as f64 * (height + GAP) - GAP
    }

    fn place_chips(&mut self, picture: &Picture, chips: &[Chip], strip: Rect) {
        // Where the process has an actor of its own, that one is its chip, and not the pod that it runs in.
        let has_actor = |pod: usize| {
            let pod = &picture.pods[pod];
            let of_host = |component: &Component| component.host == pod.node;
            picture.components.iter().any(|one| of_host(one) && Some(one.kind) == daemon_of_node(pod))
        };
        let shown: Vec<&Chip> =
            chips.iter().filter(|chip| !matches!(chip, Chip::Proxy(pod) if has_actor(*pod))).collect();
        for (position, chip) in shown.iter().enumerate() {
            let rect = beside(strip, position, shown.len());
            match chip {
                Chip::Component(index) => self.components.push(Placed { index: *index, rect }),
                Chip::Proxy(index) => self.proxies.push(Placed { index: *index, rect }),
            }
        }
    }

    /// The box of a component's actor.
    #[cfg(test)]
    pub fn rect_of(&self, actor: u32) -> Option<Rect> {
        self.doors.get(&actor).map(|door| door.rect)
    }
}

#[derive(Clone)]
enum Chip {
    Component(usize),
    Proxy(usize),
}

impl Chip {
    /// The machine that it is on.
    fn host<'a>(&self, picture: &'a Picture) -> &'a str {
        match self {
            Chip::Component(index) => &picture.components[*index].host,
            Chip::Proxy(index) => &picture.pods[*index].node,
        }
    }
}

pub(super) fn of_kind(picture: &Picture, kind: ComponentKind) -> Vec<&Component> {
    picture.components.iter().filter(|component| component.kind == kind).collect()
}

pub(super) fn role_of(picture: &Picture, host: &str) -> Option<HostRole> {
    picture.hosts.iter().find(|other| other.name == host).map(|host| host.role)
}

/// A part of the node that runs as a pod of a DaemonSet.
pub fn daemon_of_node(pod: &Pod) -> Option<ComponentKind> {
    let owner = pod.owner.as_ref().filter(|owner| owner.kind == "DaemonSet")?;
    match (pod.namespace.as_str(), owner.name.as_str()) {
        ("kube-system", "kube-proxy") => Some(ComponentKind::KubeProxy),
        ("kube-system", "kube-router") => Some(ComponentKind::KubeRouter),
        ("kube-system", "calico-node") => Some(ComponentKind::CalicoNode),
        _ => None,
    }
}

/// The `position`th of `count` equal boxes, side by side in `room`.
fn beside(room: Rect, position: usize, count: usize) -> Rect {
    let gap = 8.0;
    let width = (room.width - gap * (count as f64 - 1.0)) / count.max(1) as f64;
    Rect { x: room.x + position as f64 * (width + gap), width, ..room }
}

/// As many as fit side by side at their least width, in rows as even as can be.
fn columns_for(nodes: usize, width: f64, least: f64) -> usize {
    let most = (((width + GAP) / (least + GAP)) as usize).max(1);
    if nodes <= most {
        return nodes.max(1);
    }
    // Many nodes: a drawing about as wide as the window, whatever size that leaves each.
    let square = ((nodes as f64 * 1.2).sqrt().ceil() as usize).max(most);
    nodes.div_ceil(nodes.div_ceil(square))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterarium::picture::{EtcdMember, Pod};

    /// Canvases: a projector, a laptop, a phone.
    const WINDOWS: [(f64, f64); 3] = [(1090.0, 720.0), (720.0, 440.0), (390.0, 640.0)];

    fn picture(planes: u32, workers: usize, pods: usize) -> Picture {
        let mut picture = Picture::default();
        for number in 0..workers {
            picture.hosts.push(Host { name: format!("worker-{number}"), ..Host::default() });
        }
        for plane in 0..planes {
            let host = format!("cp-{}", plane + 1);
            let role = HostRole::ControlPlane;
            picture.hosts.push(Host { name: host.clone(), role, ..Host::default() });
            for (actor, kind) in (20 * plane..).zip([
                ComponentKind::ApiServer,
                ComponentKind::ControllerManager,
                ComponentKind::Scheduler,
                ComponentKind::Kubelet,
            ]) {
                let (name, host) = (format!("{kind:?}"), host.clone());
                picture.components.push(Component { name, actor, kind, host, ..Component::default() });
            }
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
        for (width, height) in WINDOWS {
            for (planes, workers, pods) in
                [(1, 1, 0), (1, 3, 9), (2, 3, 9), (3, 3, 300), (5, 3, 9), (1, 10, 1000), (3, 50, 200)]
            {
                let picture = picture(planes, workers, pods);
                let layout = Layout::of(&picture, width, height);
                assert_eq!((layout.nodes.len(), layout.pods.len()), (workers, pods));
                for (position, a) in layout.nodes.iter().enumerate() {
                    for b in &layout.nodes[position + 1..] {
                        assert!(!a.rect.overlaps(b.rect), "{workers} nodes");
                    }
                }
                for pod in &layout.pods {
                    assert!(layout.nodes.iter().any(|node| node.rect.contains(pod.rect.center())));
                    assert!(layout.bounds.contains(pod.rect.center()));
                }
                for (position, a) in layout.components.iter().enumerate() {
                    assert!(layout.bounds.contains(a.rect.center()));
                    for b in &layout.components[position + 1..] {
                        assert!(!a.rect.overlaps(b.rect), "{width}: {a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_new_pod_moves_no_other_while_there_is_room() {
        let before = Layout::of(&picture(1, 3, 3), 1090.0, 720.0);
        let after = Layout::of(&picture(1, 3, 6), 1090.0, 720.0);
        for placed in &before.pods {
            let same = after.pods.iter().find(|other| other.index == placed.index).unwrap();
            assert_eq!(same.rect, placed.rect);
        }
    }

    #[test]
    fn every_route_leads_from_door_to_door() {
        let picture = picture(3, 3, 0);
        for (width, height) in WINDOWS {
            let layout = Layout::of(&picture, width, height);
            let of_others = [(21, 20), (42, 40), (43, 40), (10, 20), (40, 12)];
            for (from, to) in
                [(1, 0), (0, 1), (2, 0), (3, 0), (10, 0), (0, 12), (10, 11)].into_iter().chain(of_others)
            {
                let route = layout.route(from, to).unwrap();
                for (end, actor) in [(route.at(0.0), from), (route.at(1.0), to)] {
                    let rect = layout.rect_of(actor).unwrap();
                    assert!(rect.inset(-1.0).contains(end), "{width}: {from} to {to}");
                }
            }
            assert!(layout.route(77, 0).is_none());
        }
    }
}
