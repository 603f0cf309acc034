//! From a scene to strokes: the API-flow lens, at every distance.
//!
//! Picture to hold in mind: a map that shows streets only when you are near. Far away a pod is a dot of its
//! colour; nearer it gets its shape; near it has its name, its containers and the slab they stand on.
//!
//! Drawing is a function of the scene, the messages and the time, so scrubbing backwards needs no code of its
//! own (`docs/architecture.md`, invariant 9).

use clusterarium::picture::{ComponentKind, ContainerRole, Picture, Pod, Tone};

use super::brush::{Align, Brush, font};
use super::geometry::{Camera, Point, Rect};
use super::palette::Palette;
use super::scene::{Scene, Target, container_boxes, slab_box};

/// Everything that one frame is drawn from.
pub struct Frame<'a> {
    pub picture: &'a Picture,
    pub scene: &'a Scene,
    pub palette: &'a Palette,
    pub camera: Camera,
    pub selected: Option<&'a Target>,
    pub hovered: Option<&'a Target>,
    /// Pods, components and members that changed a moment ago, and how much of the halo is left (0 to 1).
    pub halos: &'a [(Target, f64)],
}

/// On-screen height in pixels from which a pod has containers, and from which it has words.
const POD_SHAPES_PX: f64 = 22.0;
const POD_WORDS_PX: f64 = 58.0;

impl Frame<'_> {
    /// Pixels on the screen of a length in the world.
    fn px(&self, units: f64) -> f64 {
        units * self.camera.zoom
    }
    fn is_selected(&self, target: &Target) -> bool {
        self.selected == Some(target)
    }

    pub fn paint(&self, brush: &Brush) {
        self.cables(brush);
        self.control_plane(brush);
        self.nodes(brush);
        self.components(brush);
        self.etcd(brush);
        self.unscheduled(brush);
        for placed in &self.scene.pods {
            self.pod(brush, &self.picture.pods[placed.index], placed.rect);
        }
        self.emphasis(brush);
    }

    fn cables(&self, brush: &Brush) {
        for route in self.scene.cables() {
            brush.route(&route, &self.palette.line, 1.5, false);
        }
    }

    fn control_plane(&self, brush: &Brush) {
        let (plane, palette) = (self.scene.control_plane, self.palette);
        brush.fill(plane, 14.0, &palette.surface);
        brush.stroke(plane, 14.0, &palette.line, 1.5, false);
        let title = font(620, 17.0, &palette.font_text);
        let at = Point::new(plane.x + 20.0, plane.y + 26.0);
        brush.text("Control plane", at, plane.width * 0.4, &title, &palette.ink_muted, Align::Left);
        let names: Vec<&str> = self
            .picture
            .hosts
            .iter()
            .filter(|host| host.role == clusterarium::picture::HostRole::ControlPlane)
            .map(|host| host.name.as_str())
            .collect();
        let code = font(420, 15.0, &palette.font_code);
        let at = Point::new(plane.right() - 20.0, plane.y + 26.0);
        brush.text(&names.join(" "), at, plane.width * 0.25, &code, &palette.ink_faint, Align::Right);
        // Cables run above the panel's ground.
        self.cables_within(brush);
    }

    fn cables_within(&self, brush: &Brush) {
        brush.canvas.save();
        let plane = self.scene.control_plane;
        brush.canvas.begin_path();
        brush.canvas.rect(plane.x, plane.y, plane.width, plane.height);
        brush.canvas.clip();
        self.cables(brush);
        brush.canvas.restore();
    }

    fn nodes(&self, brush: &Brush) {
        let palette = self.palette;
        for placed in &self.scene.nodes {
            let host = &self.picture.hosts[placed.index];
            let rect = placed.rect;
            let state = host.node.as_ref();
            let is_ready = state.is_some_and(|node| node.status.starts_with("Ready"));
            let ground = if host.is_up { &palette.surface } else { &palette.sunken };
            brush.fill(rect, 14.0, ground);
            let (line, width, is_dashed) = match (host.is_up, is_ready) {
                (false, _) => (&palette.failed, 2.0, true),
                (true, true) => (&palette.line, 1.5, false),
                (true, false) => (&palette.motion, 2.0, true),
            };
            brush.stroke(rect, 14.0, line, width, is_dashed);
            let title = font(700, 18.0, &palette.font_text);
            let at = Point::new(rect.x + 16.0, rect.y + 25.0);
            brush.text(&host.name, at, rect.width * 0.55, &title, &palette.ink, Align::Left);
            let status = match (host.is_up, state) {
                (false, _) => "powered off".to_string(),
                (true, None) => "not registered".to_string(),
                (true, Some(node)) if node.status == "Ready" => node.pod_cidr.clone(),
                (true, Some(node)) => node.status.clone(),
            };
            let color = if is_ready && host.is_up { &palette.ink_faint } else { &palette.failed };
            let small = font(520, 14.0, &palette.font_text);
            let at = Point::new(rect.right() - 16.0, rect.y + 25.0);
            brush.text(&status, at, rect.width * 0.42, &small, color, Align::Right);
            if let Some(node) = state {
                self.meter(brush, rect, node.cpu_milli.used, node.cpu_milli.of);
            }
        }
    }

    /// How much of the node's CPU is spoken for.
    fn meter(&self, brush: &Brush, node: Rect, used_milli: u64, of_milli: u64) {
        let palette = self.palette;
        let bar = Rect::new(node.x + 16.0, node.bottom() - 36.0, node.width - 32.0, 7.0);
        brush.fill(bar, 3.5, &palette.sunken);
        let share = (used_milli as f64 / of_milli.max(1) as f64).min(1.0);
        if share > 0.0 {
            brush.fill(Rect { width: (bar.width * share).max(7.0), ..bar }, 3.5, &palette.steady);
        }
        let text =
            format!("cpu requests {}.{} of {}", used_milli / 1000, used_milli % 1000 / 100, of_milli / 1000);
        let small = font(420, 14.0, &palette.font_text);
        let at = Point::new(node.x + 16.0, node.bottom() - 16.0);
        brush.text(&text, at, node.width - 32.0, &small, &palette.ink_faint, Align::Left);
    }

    fn components(&self, brush: &Brush) {
        let palette = self.palette;
        for placed in &self.scene.components {
            let component = &self.picture.components[placed.index];
            let rect = placed.rect;
            let is_spine = component.kind == ComponentKind::ApiServer;
            let (ground, line) = match (component.is_running, is_spine) {
                (false, _) => (&palette.sunken, &palette.failed),
                (true, true) => (&palette.steady_soft, &palette.steady),
                (true, false) => (&palette.ground, &palette.line),
            };
            brush.fill(rect, 10.0, ground);
            let width = if is_spine { 2.0 } else { 1.5 };
            brush.stroke(rect, 10.0, line, width, !component.is_running);
            match component.kind {
                ComponentKind::ApiServer => self.api_server(brush, rect, component.is_running),
                ComponentKind::ControllerManager => self.controllers(brush, rect, component),
                ComponentKind::Scheduler => {
                    self.title(brush, rect, "kube-scheduler", 26.0);
                    let waiting = match component.busy {
                        0 => "no pod waits".to_string(),
                        1 => "1 pod waits".to_string(),
                        count => format!("{count} pods wait"),
                    };
                    let text = if component.is_running { waiting } else { "stopped".to_string() };
                    self.line(brush, rect, &text, 50.0);
                }
                ComponentKind::Terminal => {
                    self.title(brush, rect, "kubectl", 26.0);
                    self.line(brush, rect, "you", 50.0);
                }
                kind => {
                    let name = match kind {
                        ComponentKind::Kubelet => "kubelet",
                        ComponentKind::ContainerEngine => "containerd",
                        _ => "kube-proxy",
                    };
                    let color = if component.is_running { &palette.ink } else { &palette.failed };
                    let text = font(520, 15.0, &palette.font_text);
                    brush.text(name, rect.center(), rect.width - 8.0, &text, color, Align::Center);
                }
            }
        }
    }

    fn title(&self, brush: &Brush, rect: Rect, text: &str, y: f64) {
        let title = font(700, 17.0, &self.palette.font_text);
        let at = Point::new(rect.x + 16.0, rect.y + y);
        brush.text(text, at, rect.width - 32.0, &title, &self.palette.ink, Align::Left);
    }
    fn line(&self, brush: &Brush, rect: Rect, text: &str, y: f64) {
        let small = font(420, 15.0, &self.palette.font_text);
        let at = Point::new(rect.x + 16.0, rect.y + y);
        brush.text(text, at, rect.width - 32.0, &small, &self.palette.ink_muted, Align::Left);
    }

    fn api_server(&self, brush: &Brush, rect: Rect, is_running: bool) {
        let palette = self.palette;
        let title = font(700, 18.0, &palette.font_text);
        let at = Point::new(rect.center().x, rect.y + 26.0);
        let name = if is_running { "kube-apiserver" } else { "kube-apiserver (stopped)" };
        brush.text(name, at, rect.width - 12.0, &title, &palette.ink, Align::Center);
        let stages = ["authentication", "authorization", "admission", "validation", "storage"];
        let (gap, height) = (7.0, (rect.height - 60.0 - 4.0 * 7.0) / 5.0);
        let small = font(480, 15.0, &palette.font_text);
        for (index, stage) in stages.into_iter().enumerate() {
            let y = rect.y + 48.0 + index as f64 * (height + gap);
            let stage_box = Rect::new(rect.x + 14.0, y, rect.width - 28.0, height);
            brush.fill(stage_box, 6.0, &palette.surface);
            brush.stroke(stage_box, 6.0, &palette.steady, 1.0, false);
            brush.text(
                stage,
                stage_box.center(),
                stage_box.width - 8.0,
                &small,
                &palette.ink_muted,
                Align::Center,
            );
        }
    }

    fn controllers(&self, brush: &Brush, rect: Rect, component: &clusterarium::picture::Component) {
        let palette = self.palette;
        self.title(brush, rect, "kube-controller-manager", 26.0);
        if !component.is_running {
            return self.line(brush, rect, "stopped", 52.0);
        }
        // The busiest first among the loops that a reader knows by name.
        const KNOWN: [&str; 6] = [
            "deployment-controller",
            "replicaset-controller",
            "daemon-set-controller",
            "node-lifecycle-controller",
            "generic-garbage-collector",
            "namespace-controller",
        ];
        const NAMES: [&str; 6] = ["deployment", "replicaset", "daemonset", "node", "gc", "namespace"];
        let small = font(450, 14.0, &palette.font_text);
        let column = (rect.width - 16.0) / 3.0;
        for (index, known) in KNOWN.iter().enumerate() {
            let work = component.loops.iter().find(|one| one.name == *known);
            let is_busy = work.is_some_and(|one| !one.queued.is_empty() || !one.processing.is_empty());
            let (x, y) = (
                rect.x + 8.0 + column * (index % 3) as f64 + column / 2.0,
                rect.y + 62.0 + (index / 3) as f64 * 58.0,
            );
            let color = if is_busy { &palette.motion } else { &palette.line_strong };
            brush.arc(Point::new(x, y), 11.0, 0.78, color, if is_busy { 4.0 } else { 2.5 });
            let ink = if is_busy { &palette.ink } else { &palette.ink_muted };
            brush.text(NAMES[index], Point::new(x, y + 24.0), column - 2.0, &small, ink, Align::Center);
        }
    }

    fn etcd(&self, brush: &Brush) {
        let (rect, palette) = (self.scene.etcd, self.palette);
        brush.fill(rect, 10.0, &palette.ground);
        brush.stroke(rect, 10.0, &palette.line, 1.5, false);
        self.title(brush, rect, "etcd", 26.0);
        let term = self.picture.etcd.iter().map(|member| member.term).max().unwrap_or(0);
        let code = font(520, 15.0, &palette.font_code);
        let at = Point::new(rect.right() - 16.0, rect.y + 26.0);
        brush.text(&format!("term {term}"), at, rect.width * 0.45, &code, &palette.etcd, Align::Right);
        for (position, a) in self.scene.members.iter().enumerate() {
            for b in &self.scene.members[position + 1..] {
                if let Some(route) =
                    self.scene.route(self.picture.etcd[a.index].actor, self.picture.etcd[b.index].actor)
                {
                    brush.route(&route, &palette.line, 1.5, false);
                }
            }
        }
        for placed in &self.scene.members {
            let member = &self.picture.etcd[placed.index];
            let (center, radius) = (placed.rect.center(), placed.rect.width / 2.0);
            let is_leader = member.role == "Leader" && member.is_running;
            let (fill, line, ink) = match (member.is_running, is_leader) {
                (false, _) => (&palette.sunken, &palette.failed, &palette.failed),
                (true, true) => (&palette.etcd, &palette.etcd, &palette.on_etcd),
                (true, false) => (&palette.surface, &palette.etcd, &palette.etcd),
            };
            brush.circle(center, radius, Some(fill), Some((line, 2.5)));
            if member.is_running && !is_leader {
                let share = 1.0 - f64::from(member.election_elapsed_per_mille.min(1000)) / 1000.0;
                brush.arc(center, radius + 5.0, share, &palette.etcd, 2.5);
            }
            let short = font(700, 15.0, &palette.font_code);
            let name = format!("m{}", placed.index + 1);
            brush.text(&name, center, radius * 1.7, &short, ink, Align::Center);
            let role = match (member.is_running, member.role.as_str()) {
                (false, _) => "stopped".to_string(),
                (true, "Leader") => "leader".to_string(),
                (true, "Follower") => String::new(),
                (true, role) => role.to_lowercase(),
            };
            let small = font(620, 14.0, &palette.font_text);
            let at = Point::new(center.x, center.y - radius - 13.0);
            brush.text(&role, at, 90.0, &small, line, Align::Center);
        }
        let (highest, committed) = self
            .picture
            .etcd
            .iter()
            .fold((0, 0), |(a, b), member| (a.max(member.last_index), b.max(member.commit_index)));
        let text = format!("revision {} · log {highest}, committed {committed}", self.picture.revision);
        let small = font(420, 14.0, &palette.font_text);
        let at = Point::new(rect.center().x, rect.bottom() - 16.0);
        brush.text(&text, at, rect.width - 16.0, &small, &palette.ink_muted, Align::Center);
    }

    fn unscheduled(&self, brush: &Brush) {
        let count = self.picture.pods.iter().filter(|pod| pod.node.is_empty()).count();
        if count == 0 {
            return;
        }
        let (rect, palette) = (self.scene.unscheduled, self.palette);
        brush.stroke(rect, 14.0, &palette.line_strong, 1.5, true);
        let title = font(620, 15.0, &palette.font_text);
        let at = Point::new(rect.x + 12.0, rect.y + 22.0);
        brush.text("No node yet", at, rect.width - 24.0, &title, &palette.ink_muted, Align::Left);
    }

    fn pod(&self, brush: &Brush, pod: &Pod, rect: Rect) {
        let palette = self.palette;
        let look = palette.look(pod.tone);
        let unit = rect.height / super::scene::POD_HEIGHT;
        let height = self.px(rect.height);
        if height < POD_SHAPES_PX {
            let fill = if look.is_solid { look.line } else { look.fill };
            brush.fill(rect, 3.0 * unit, fill);
            if !look.is_solid {
                brush.stroke(rect, 3.0 * unit, look.line, 8.0 * unit, false);
            }
            return;
        }
        brush.fill(rect, 8.0 * unit, &palette.surface);
        brush.stroke(rect, 8.0 * unit, look.line, 2.0 * unit, look.is_dashed);
        let has_words = height >= POD_WORDS_PX;
        if has_words {
            let name = font(520, 13.0 * unit, &palette.font_code);
            let at = Point::new(rect.x + 7.0 * unit, rect.y + 14.0 * unit);
            brush.text(&pod.name, at, rect.width - 14.0 * unit, &name, &palette.ink, Align::Left);
        }
        for (index, container_rect) in container_boxes(pod, rect) {
            let container = &pod.containers[index];
            let look = palette.look(container.tone);
            let radius = if container.role == ContainerRole::Init { 10.0 } else { 5.0 } * unit;
            brush.fill(container_rect, radius, if look.is_solid { look.line } else { look.fill });
            if !look.is_solid {
                brush.stroke(container_rect, radius, look.line, 1.5 * unit, look.is_dashed);
            }
            if has_words {
                let ink = if look.is_solid { look.on_line } else { &palette.ink };
                let text = font(620, 13.0 * unit, &palette.font_text);
                let width = container_rect.width - 6.0 * unit;
                brush.text(&container.name, container_rect.center(), width, &text, ink, Align::Center);
            }
        }
        let slab = slab_box(rect);
        match &pod.sandbox {
            Some(sandbox) => {
                let color = if sandbox.is_ready { &palette.slab } else { &palette.sunken };
                brush.fill(slab, 4.0 * unit, color);
                if has_words {
                    let text = match (sandbox.host_network, sandbox.ip.as_str()) {
                        (true, _) => "host network",
                        (false, "") => sandbox.step.as_str(),
                        (false, ip) => ip,
                    };
                    let ink = if sandbox.is_ready { &palette.on_slab } else { &palette.ink_muted };
                    let code = font(620, 12.5 * unit, &palette.font_code);
                    brush.text(text, slab.center(), slab.width - 6.0 * unit, &code, ink, Align::Center);
                }
            }
            None => {
                brush.stroke(slab, 4.0 * unit, &palette.line_strong, 1.2 * unit, true);
                if has_words {
                    let small = font(480, 12.5 * unit, &palette.font_text);
                    let text = if pod.tone == Tone::Pending { pod.status.as_str() } else { "no sandbox" };
                    brush.text(
                        text,
                        slab.center(),
                        slab.width - 6.0 * unit,
                        &small,
                        &palette.ink_muted,
                        Align::Center,
                    );
                }
            }
        }
    }

    /// Halos of what just changed, the selection and what is under the pointer.
    fn emphasis(&self, brush: &Brush) {
        let palette = self.palette;
        let around = |target: &Target, by: f64| {
            self.scene.find(self.picture, target).map(|rect| {
                Rect::new(rect.x - by, rect.y - by, rect.width + 2.0 * by, rect.height + 2.0 * by)
            })
        };
        let pixel = 1.0 / self.camera.zoom;
        for (target, strength) in self.halos {
            if let Some(rect) = around(target, 3.0 * pixel) {
                brush.canvas.set_global_alpha(*strength);
                brush.stroke(rect, 11.0, &palette.halo, 5.0 * pixel, false);
                brush.canvas.set_global_alpha(1.0);
            }
        }
        for (target, width) in [(self.hovered, 1.5), (self.selected, 3.0)] {
            if let Some(rect) = target.and_then(|target| around(target, 4.0 * pixel)) {
                brush.stroke(
                    rect,
                    12.0,
                    &palette.ink,
                    width * pixel,
                    !self.is_selected(target.unwrap_or(&Target::Message(0))),
                );
            }
        }
    }
}
