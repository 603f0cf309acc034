//! From a layout to strokes: the API-flow lens.
//!
//! Picture to hold in mind: a sign painter who letters every box once, large enough for the last row. Drawing is
//! a function of the layout, the messages and the time, so scrubbing backwards needs no code of its own
//! (`docs/architecture.md`, invariant 9).

use clusterarium::picture::{Component, ComponentKind, HostRole, InHand, Picture};

use super::layout::{Layout, daemon_of_node};
use crate::stage::brush::{Align, Brush, font};
use crate::stage::etcd::circle::{self, Look, Stroke};
use crate::stage::geometry::{Point, Rect};
use crate::stage::lettering::Lettering;
use crate::stage::palette::Palette;
use crate::stage::pods;
use crate::stage::scene::Frame;

pub struct Painter<'a> {
    pub picture: &'a Picture,
    pub layout: &'a Layout,
    pub frame: &'a Frame<'a>,
    pub brush: &'a Brush<'a>,
}

/// The control loops that a reader of the course knows by name, and how they are called here.
const LOOPS: [(&str, &str); 6] = [
    ("deployment-controller", "deployment"),
    ("replicaset-controller", "replicaset"),
    ("daemon-set-controller", "daemonset"),
    ("node-lifecycle-controller", "node"),
    ("generic-garbage-collector", "garbage"),
    ("namespace-controller", "namespace"),
];

/// So many revisions the cache of an API server may be behind etcd at any moment, and nobody need know.
const STALE: u64 = 3;

/// The stages of a request's way through the API server, and how they are called where there is little room.
const STAGES: [(&str, &str); 5] = [
    ("authentication", "authn"),
    ("authorization", "authz"),
    ("admission", "admit"),
    ("validation", "valid"),
    ("storage", "store"),
];

impl Lettering for Painter<'_> {
    const CODE_WEIGHT: u32 = 520;

    fn palette(&self) -> &Palette {
        self.frame.palette
    }
    fn brush(&self) -> &Brush<'_> {
        self.brush
    }
}

impl Painter<'_> {
    pub fn paint(&self) {
        self.control_plane();
        for cable in self.layout.cables() {
            let (color, width, is_dashed) = cable.look(self.picture, self.palette());
            self.brush.route(&cable.route, color, width, is_dashed);
        }
        self.nodes();
        self.components();
        self.proxies();
        for (host, rect) in &self.layout.labels {
            let at = Point::new(rect.x - 8.0, rect.center().y);
            self.code(host, at, 40.0, 13.0, &self.palette().ink_faint, Align::Right);
        }
        self.etcd();
        self.unscheduled();
        for placed in &self.layout.pods {
            let height_px = self.frame.px(placed.rect.height);
            pods::paint(self.brush, self.palette(), &self.picture.pods[placed.index], placed.rect, height_px);
        }
    }

    fn control_plane(&self) {
        // Set upright there is no room for a frame around what says by itself what it is.
        if self.layout.is_upright {
            return;
        }
        let (plane, palette) = (self.layout.control_plane, self.palette());
        self.brush.fill(plane, 14.0, &palette.surface);
        self.brush.stroke(plane, 14.0, &palette.line, 1.5, false);
        let at = Point::new(plane.x + 16.0, plane.y + 24.0);
        self.text("Control plane", at, plane.width * 0.3, 16.0, 620, &palette.ink_muted, Align::Left);
        let names: Vec<&str> = self
            .picture
            .hosts
            .iter()
            .filter(|host| host.role == HostRole::ControlPlane)
            .map(|host| host.name.as_str())
            .collect();
        let at = Point::new(plane.right() - 16.0, plane.y + 24.0);
        self.code(&names.join(" "), at, plane.width * 0.25, 15.0, &palette.ink_faint, Align::Right);
    }

    fn nodes(&self) {
        let (brush, palette) = (self.brush, self.palette());
        for placed in &self.layout.nodes {
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
            let y = rect.y + 21.0;
            let title = font(700, 17.0, &palette.font_text);
            let name_width = brush.measure(&host.name, &title);
            brush.text(
                &host.name,
                Point::new(rect.x + 14.0, y),
                rect.width - 28.0,
                &title,
                &palette.ink,
                Align::Left,
            );
            let status = match (host.is_up, state) {
                (false, _) => "powered off".to_string(),
                (true, None) => "not registered".to_string(),
                (true, Some(node)) if node.status == "Ready" => node.pod_cidr.clone(),
                (true, Some(node)) => node.status.clone(),
            };
            let color = if is_ready && host.is_up { &palette.ink_muted } else { &palette.failed };
            let room = rect.width - 28.0 - name_width - 12.0;
            if room > 60.0 {
                self.text(&status, Point::new(rect.right() - 14.0, y), room, 14.0, 520, color, Align::Right);
            }
            if let Some(node) = state {
                self.meter(rect, node.cpu_milli.used, node.cpu_milli.of);
            }
        }
    }

    /// How much of the node's CPU is spoken for.
    fn meter(&self, node: Rect, used_milli: u64, of_milli: u64) {
        let palette = self.palette();
        let bar = Rect::new(node.x + 14.0, node.bottom() - 32.0, node.width - 28.0, 6.0);
        self.brush.fill(bar, 3.0, &palette.sunken);
        let share = (used_milli as f64 / of_milli.max(1) as f64).min(1.0);
        if share > 0.0 {
            self.brush.fill(Rect { width: (bar.width * share).max(6.0), ..bar }, 3.0, &palette.steady);
        }
        let cores = |milli: u64| format!("{}.{}", milli / 1000, milli % 1000 / 100);
        let text = format!("cpu {} of {}", cores(used_milli), cores(of_milli));
        let at = Point::new(node.x + 14.0, node.bottom() - 14.0);
        self.text(&text, at, node.width - 28.0, 14.0, 450, &palette.ink_muted, Align::Left);
    }

    fn components(&self) {
        let (brush, palette) = (self.brush, self.palette());
        for placed in &self.layout.components {
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
                ComponentKind::ApiServer if self.layout.is_upright || rect.width > rect.height => {
                    self.api_server_across(rect, component)
                }
                ComponentKind::ApiServer => self.api_server(rect, component),
                ComponentKind::ControllerManager | ComponentKind::Scheduler if rect.height < 50.0 => {
                    self.candidate(rect, component);
                }
                ComponentKind::ControllerManager => self.controllers(rect, component),
                ComponentKind::Scheduler => self.scheduler(rect, component),
                ComponentKind::Terminal => {
                    self.heading(rect, "kubectl");
                    let at = Point::new(rect.x + 14.0, rect.bottom() - 13.0);
                    self.text("you", at, rect.width - 20.0, 15.0, 450, &palette.ink_muted, Align::Left);
                }
                kind => self.chip(rect, kind, component.is_running),
            }
        }
    }

    fn chip(&self, rect: Rect, kind: ComponentKind, is_running: bool) {
        let palette = self.palette();
        let color = if is_running { &palette.ink } else { &palette.failed };
        let (name, brief) = match kind {
            ComponentKind::Kubelet => ("kubelet", "kubelet"),
            ComponentKind::ContainerEngine => ("containerd", "engine"),
            ComponentKind::KubeRouter => ("kube-router", "router"),
            ComponentKind::CalicoNode => ("calico-node", "calico"),
            _ => ("kube-proxy", "proxy"),
        };
        // Where many stand side by side, a short name is better than the beginning of a long one.
        let whole = self.brush.measure(name, &font(520, 14.0, &palette.font_text));
        let (name, size) = match self.layout.is_upright {
            true => (brief, 12.0),
            false if whole > rect.width - 4.0 => (brief, 14.0),
            false => (name, 14.0),
        };
        self.text(name, rect.center(), rect.width - 4.0, size, 520, color, Align::Center);
    }

    fn proxies(&self) {
        let palette = self.palette();
        for placed in &self.layout.proxies {
            let pod = &self.picture.pods[placed.index];
            let look = palette.look(pod.tone);
            self.brush.fill(placed.rect, 10.0, &palette.ground);
            let line = if look.is_solid { &palette.line } else { look.line };
            self.brush.stroke(placed.rect, 10.0, line, 1.5, look.is_dashed);
            let kind = daemon_of_node(pod).unwrap_or(ComponentKind::KubeProxy);
            self.chip(placed.rect, kind, true);
        }
    }

    fn heading(&self, rect: Rect, text: &str) {
        let at = Point::new(rect.x + 14.0, rect.y + 20.0);
        self.text(text, at, rect.width - 20.0, 16.0, 700, &self.palette().ink, Align::Left);
    }

    /// One of several of which one works, by its lease.
    fn candidate(&self, rect: Rect, component: &Component) {
        let palette = self.palette();
        let name = match component.kind {
            ComponentKind::Scheduler => "scheduler",
            _ => "controllers",
        };
        let (state, color, weight) = match (component.is_running, component.is_leader, component.busy) {
            (false, _, _) => ("stopped".to_string(), &palette.failed, 620),
            (true, false, _) => ("stands by".to_string(), &palette.ink_faint, 450),
            (true, true, 0) => ("leads".to_string(), &palette.steady, 640),
            (true, true, busy) => (format!("leads, {busy}"), &palette.motion, 640),
        };
        let (y, size) = (rect.center().y, if self.layout.is_upright { 12.0 } else { 14.0 });
        // Where there is no room for both, its state is shown by the colour of its name.
        if self.layout.is_upright {
            return self.text(name, rect.center(), rect.width - 6.0, size, weight, color, Align::Center);
        }
        let taken = self.brush.measure(&state, &font(weight, size, &palette.font_text));
        let (left, right) = (Point::new(rect.x + 10.0, y), Point::new(rect.right() - 10.0, y));
        self.text(name, left, rect.width - 26.0 - taken, size, 600, &palette.ink, Align::Left);
        self.text(&state, right, rect.width - 20.0, size, weight, color, Align::Right);
    }

    fn scheduler(&self, rect: Rect, component: &Component) {
        self.heading(rect, if self.layout.is_upright { "scheduler" } else { "kube-scheduler" });
        let (text, color) = match (component.is_running, component.busy) {
            (false, _) => ("stopped".to_string(), &self.palette().failed),
            (true, 0) => ("no pod waits".to_string(), &self.palette().ink_muted),
            (true, 1) => ("1 pod waits".to_string(), &self.palette().motion),
            (true, count) => (format!("{count} pods wait"), &self.palette().motion),
        };
        let at = Point::new(rect.x + 14.0, rect.y + 46.0);
        self.text(&text, at, rect.width - 20.0, 15.0, 480, color, Align::Left);
    }

    /// Requests in hand by the stage that each is in at this instant.
    fn in_stage<'a>(&self, component: &'a Component, stage: usize) -> Vec<&'a InHand> {
        component
            .in_hand
            .iter()
            .filter(|request| request.stage_at(self.frame.time_us as u64) == stage)
            .collect()
    }

    fn api_server(&self, rect: Rect, component: &Component) {
        let palette = self.palette();
        let at = Point::new(rect.center().x, rect.y + 21.0);
        let (name, color) = match (component.is_running, component.behind > STALE) {
            (false, _) => ("kube-apiserver: stopped".to_string(), &palette.ink),
            (true, true) => (format!("{} revisions behind", component.behind), &palette.motion),
            (true, false) => ("kube-apiserver".to_string(), &palette.ink),
        };
        self.text(&name, at, rect.width - 12.0, 17.0, 700, color, Align::Center);
        let gap = 6.0;
        let height = (rect.height - 50.0 - 4.0 * gap) / STAGES.len() as f64;
        for (index, (name, _)) in STAGES.into_iter().enumerate() {
            let y = rect.y + 38.0 + index as f64 * (height + gap);
            let stage = Rect::new(rect.x + 12.0, y, rect.width - 24.0, height);
            let here = self.in_stage(component, index);
            self.stage(stage, name, here.len());
        }
    }

    /// The name, and of several servers which one this is, or how far its cache is behind what etcd has.
    fn api_server_across(&self, rect: Rect, component: &Component) {
        let palette = self.palette();
        let is_one_of_many = rect.height < self.layout.spine.height;
        let mut name = String::from("kube-apiserver");
        if is_one_of_many {
            name.push(' ');
            name.push_str(&component.host);
        }
        let color = match (component.is_running, component.behind > STALE) {
            (false, _) => {
                name.push_str(": stopped");
                &palette.failed
            }
            (true, true) => {
                name = format!("{}: {} revisions behind", component.host, component.behind);
                &palette.motion
            }
            (true, false) => &palette.ink,
        };
        let (y, size) = if is_one_of_many { (15.0, 15.0) } else { (18.0, 16.0) };
        let at = Point::new(rect.center().x, rect.y + y);
        self.text(&name, at, rect.width - 12.0, size, 700, color, Align::Center);
        let width = (rect.width - 16.0 - 4.0 * 5.0) / STAGES.len() as f64;
        let top = y * 2.0;
        for (index, (_, name)) in STAGES.into_iter().enumerate() {
            let x = rect.x + 8.0 + index as f64 * (width + 5.0);
            let stage = Rect::new(x, rect.y + top, width, rect.height - top - 8.0);
            let here = self.in_stage(component, index);
            self.stage(stage, name, here.len());
        }
    }

    /// One desk of the pipeline, lit while requests are at it.
    fn stage(&self, rect: Rect, name: &str, count: usize) {
        let palette = self.palette();
        let is_lit = count > 0;
        self.brush.fill(rect, 6.0, if is_lit { &palette.motion_soft } else { &palette.surface });
        let (line, width) = if is_lit { (&palette.motion, 2.5) } else { (&palette.steady, 1.0) };
        self.brush.stroke(rect, 6.0, line, width, false);
        let is_narrow = rect.width < 60.0;
        let text = if count > 1 && !is_narrow { format!("{name} {count}") } else { name.to_string() };
        let (ink, weight) = if is_lit { (&palette.ink, 700) } else { (&palette.ink_muted, 480) };
        let size = if is_narrow { 14.0 } else { 15.0 };
        self.text(&text, rect.center(), rect.width - 4.0, size, weight, ink, Align::Center);
    }

    fn controllers(&self, rect: Rect, component: &Component) {
        let palette = self.palette();
        self.heading(
            rect,
            if self.layout.is_upright { "controller-manager" } else { "kube-controller-manager" },
        );
        if !component.is_running {
            let at = Point::new(rect.x + 14.0, rect.y + 46.0);
            return self.text("stopped", at, rect.width - 20.0, 15.0, 480, &palette.failed, Align::Left);
        }
        let (columns, rows) = (2, 3);
        let column = (rect.width - 18.0) / columns as f64;
        let row = (rect.height - 40.0) / rows as f64;
        for (index, (known, name)) in LOOPS.into_iter().enumerate() {
            let work = component.loops.iter().find(|one| one.name == known);
            let waiting = work.map_or(0, |one| one.queued.len() + one.processing.len());
            let x = rect.x + 14.0 + column * (index / rows) as f64;
            let y = rect.y + 38.0 + row * ((index % rows) as f64 + 0.5);
            let (color, width, share) =
                if waiting > 0 { (&palette.motion, 4.0, 1.0) } else { (&palette.line_strong, 2.0, 0.78) };
            self.brush.arc(Point::new(x + 8.0, y), 7.0, share, color, width);
            let text = if waiting > 1 { format!("{name} {waiting}") } else { name.to_string() };
            let (ink, weight) = if waiting > 0 { (&palette.ink, 700) } else { (&palette.ink_muted, 460) };
            self.text(&text, Point::new(x + 23.0, y), column - 26.0, 15.0, weight, ink, Align::Left);
        }
    }

    fn etcd(&self) {
        let (rect, palette) = (self.layout.etcd, self.palette());
        self.brush.fill(rect, 10.0, &palette.ground);
        self.brush.stroke(rect, 10.0, &palette.line, 1.5, false);
        self.heading(rect, "etcd");
        let term = self.picture.etcd.iter().map(|member| member.term).max().unwrap_or(0);
        let at = Point::new(rect.right() - 14.0, rect.y + 20.0);
        self.code(&format!("term {term}"), at, rect.width * 0.45, 15.0, &palette.etcd, Align::Right);
        for (position, a) in self.layout.members.iter().enumerate() {
            for b in &self.layout.members[position + 1..] {
                let actors = (self.picture.etcd[a.index].actor, self.picture.etcd[b.index].actor);
                if let Some(route) = self.layout.route(actors.0, actors.1) {
                    self.brush.route(&route, &palette.line, 1.5, false);
                }
            }
        }
        for placed in &self.layout.members {
            self.member(placed.index, placed.rect);
        }
        if self.layout.is_upright {
            return;
        }
        let (highest, committed) = self
            .picture
            .etcd
            .iter()
            .fold((0, 0), |(a, b), member| (a.max(member.last_index), b.max(member.commit_index)));
        let text = if highest > committed {
            format!("{} of {highest} committed", committed)
        } else {
            format!("all {highest} entries committed")
        };
        let color = if highest > committed { &palette.etcd } else { &palette.ink_muted };
        let at = Point::new(rect.center().x, rect.bottom() - 15.0);
        self.text(&text, at, rect.width - 16.0, 14.0, 480, color, Align::Center);
    }

    fn member(&self, index: usize, rect: Rect) {
        let (palette, brush) = (self.palette(), self.brush);
        let member = &self.picture.etcd[index];
        let (center, radius) = (rect.center(), rect.width / 2.0);
        let stroke = Stroke { ring: 2.5, timer: 2.5, gap: 5.0 };
        let Look { line, ink } = circle::paint(brush, palette, member, rect, stroke);
        let code = font(700, 15.0, &palette.font_code);
        brush.text(&format!("m{}", index + 1), center, radius * 1.7, &code, ink, Align::Center);
        let role = match member.role.as_str() {
            "Follower" => return,
            role => role.to_ascii_lowercase(),
        };
        let at = Point::new(center.x, center.y + radius + 14.0);
        self.text(&role, at, 96.0, 14.0, 640, line, Align::Center);
    }

    /// The tray of pods that no node has been chosen for: always there, so that nothing jumps when one lies in it.
    fn unscheduled(&self) {
        let (tray, palette) = (self.layout.unscheduled, self.palette());
        let is_empty = self.picture.pods.iter().all(|pod| !pod.node.is_empty());
        let (line, ink) =
            if is_empty { (&palette.line, &palette.ink_faint) } else { (&palette.line_strong, &palette.ink) };
        self.brush.stroke(tray, 10.0, line, 1.5, true);
        let y = if self.layout.is_upright { 12.0 } else { 18.0 };
        let at = Point::new(tray.center().x, tray.y + y);
        self.text("no node yet", at, tray.width - 12.0, 14.0, 520, ink, Align::Center);
    }
}
