//! From a layout to strokes: the pod lens.
//!
//! Picture to hold in mind: a building plan. What stands is drawn firm, what is being built is dashed, and the
//! cable is drawn when it has been pulled.

use clusterarium::picture::{Container, ContainerRole, Pod, Step};

use super::birth::{self, Progress};
use super::layout::Layout;
use crate::stage::brush::{Align, Brush, font};
use crate::stage::geometry::{Point, Rect, Route};
use crate::stage::lettering::Lettering;
use crate::stage::palette::Palette;
use crate::stage::scene::{Frame, Subject};

pub struct Painter<'a> {
    pub subject: &'a Subject,
    pub pod: Option<&'a Pod>,
    pub layout: &'a Layout,
    pub frame: &'a Frame<'a>,
    pub brush: &'a Brush<'a>,
}

impl Lettering for Painter<'_> {
    const CODE_WEIGHT: u32 = 560;

    fn palette(&self) -> &Palette {
        self.frame.palette
    }
    fn brush(&self) -> &Brush<'_> {
        self.brush
    }
}

impl Painter<'_> {
    fn story(&self) -> &[Step] {
        self.subject.detail.as_ref().map_or(&[], |detail| &detail.story)
    }
    /// Whether the pod's present sandbox has come to this step, or past it.
    fn has(&self, word: &str) -> bool {
        let begin = self.story().iter().rposition(|step| step.step == "PauseContainerCreated").unwrap_or(0);
        self.story()[begin..].iter().any(|step| step.step == word)
    }

    pub fn paint(&self) {
        let Some(pod) = self.pod else { return self.nothing() };
        self.node(pod);
        self.steps(pod);
        self.body(pod);
        self.volumes(pod);
        for placed in &self.layout.containers {
            self.container(&pod.containers[placed.index], placed.rect);
        }
        self.slab(pod);
        self.network(pod);
    }

    fn nothing(&self) {
        let (palette, bounds) = (self.palette(), self.layout.bounds);
        let at = Point::new(bounds.center().x, bounds.center().y - 14.0);
        self.text("No pod is selected", at, bounds.width - 40.0, 22.0, 700, &palette.ink, Align::Center);
        let at = Point::new(bounds.center().x, bounds.center().y + 16.0);
        let words = "Apply a manifest, or choose a pod in the API flow lens: it is opened here.";
        self.text(words, at, bounds.width - 40.0, 17.0, 450, &palette.ink_muted, Align::Center);
    }

    fn node(&self, pod: &Pod) {
        let (palette, rect) = (self.palette(), self.layout.node);
        self.brush.fill(rect, 14.0, &palette.surface);
        let is_bound = !pod.node.is_empty();
        self.brush.stroke(rect, 14.0, &palette.line, 1.5, !is_bound);
        let name = if is_bound { pod.node.as_str() } else { "no node yet" };
        let at = Point::new(rect.x + 16.0, rect.y + 22.0);
        self.text(name, at, rect.width * 0.5, 18.0, 700, &palette.ink, Align::Left);
        let host = self.subject.picture.hosts.iter().find(|host| host.name == pod.node);
        if let Some(state) = host.and_then(|host| host.node.as_ref()) {
            let at = Point::new(rect.right() - 16.0, rect.y + 22.0);
            let text = format!("pod range {}", state.pod_cidr);
            self.code(&text, at, rect.width * 0.5, 15.0, &palette.ink_muted, Align::Right);
        }
        if let [(_, a), (_, b)] = self.layout.parts.as_slice() {
            let cable = Route::new([Point::new(a.right(), a.center().y), Point::new(b.x, b.center().y)]);
            self.brush.route(&cable, &palette.line, 1.5, false);
        }
        for (name, part) in &self.layout.parts {
            self.brush.fill(*part, 10.0, &palette.ground);
            self.brush.stroke(*part, 10.0, &palette.line, 1.5, false);
            let short = name.split('-').next().unwrap_or(name);
            self.text(short, part.center(), part.width - 8.0, 16.0, 560, &palette.ink, Align::Center);
        }
    }

    fn steps(&self, pod: &Pod) {
        let (palette, list) = (self.palette(), self.layout.steps);
        let at = Point::new(list.x, list.y + 16.0);
        self.text("Birth of a pod", at, list.width, 18.0, 700, &palette.ink, Align::Left);
        let stops = birth::stops(pod, self.story());
        let room = list.height - 44.0;
        let step = (room / stops.len().max(1) as f64).min(46.0);
        let has_details = step >= 36.0;
        let y_of = |index: usize| list.y + 52.0 + step * index as f64;
        let line = Route::new([
            Point::new(list.x + 9.0, y_of(0)),
            Point::new(list.x + 9.0, y_of(stops.len().max(1) - 1)),
        ]);
        self.brush.route(&line, &palette.line, 3.0, false);
        for (index, stop) in stops.iter().enumerate() {
            let dot = Point::new(list.x + 9.0, y_of(index));
            let (fill, line, ink, weight) = match stop.progress {
                Progress::Done => (&palette.steady, &palette.steady, &palette.ink, 480),
                Progress::Now => (&palette.motion, &palette.motion, &palette.ink, 700),
                Progress::Failed => (&palette.surface, &palette.failed, &palette.failed, 700),
                Progress::ToCome => (&palette.ground, &palette.line_strong, &palette.ink_muted, 440),
            };
            self.brush.circle(dot, 7.0, Some(fill), Some((line, 2.0)));
            let x = list.x + 26.0;
            if has_details {
                let at = Point::new(x, dot.y - if stop.detail.is_empty() { 0.0 } else { 8.0 });
                self.text(&stop.title, at, list.width - 28.0, 16.0, weight, ink, Align::Left);
                let at = Point::new(x, dot.y + 11.0);
                self.code(&stop.detail, at, list.width - 28.0, 14.0, &palette.ink_muted, Align::Left);
            } else {
                let words = format!("{}  {}", stop.title, stop.detail);
                self.text(&words, Point::new(x, dot.y), list.width - 28.0, 15.0, weight, ink, Align::Left);
            }
        }
    }

    fn body(&self, pod: &Pod) {
        let (palette, rect) = (self.palette(), self.layout.pod);
        let look = palette.look(pod.tone);
        self.brush.fill(rect, 14.0, &palette.ground);
        self.brush.stroke(rect, 14.0, look.line, 3.0, look.is_dashed);
        let name = font(640, 17.0, &palette.font_code);
        let at = Point::new(rect.x + 16.0, rect.y + 24.0);
        let shown = self.brush.fit_middle(&pod.name, rect.width * 0.62, &name);
        self.brush.text(&shown, at, rect.width * 0.64, &name, &palette.ink, Align::Left);
        let at = Point::new(rect.right() - 16.0, rect.y + 24.0);
        self.text(&pod.status, at, rect.width * 0.34, 16.0, 640, look.line, Align::Right);
    }

    fn container(&self, container: &Container, rect: Rect) {
        let palette = self.palette();
        let look = palette.look(container.tone);
        let radius = if container.role == ContainerRole::Init { 22.0 } else { 10.0 };
        self.brush.fill(rect, radius, if look.is_solid { look.line } else { look.fill });
        self.brush.stroke(rect, radius, look.line, 2.5, look.is_dashed);
        let (ink, muted) = if look.is_solid {
            (look.on_line, look.on_line)
        } else {
            (palette.ink.as_str(), palette.ink_muted.as_str())
        };
        let (x, width) = (rect.center().x, rect.width - 12.0);
        let mut y = rect.y + 26.0;
        self.text(&container.name, Point::new(x, y), width, 20.0, 700, ink, Align::Center);
        y += 24.0;
        let role = match container.role {
            ContainerRole::Init => "init container",
            ContainerRole::Sidecar => "sidecar",
            ContainerRole::App => "",
        };
        let restarts = match container.restarts {
            0 => String::new(),
            1 => "1 restart".to_string(),
            count => format!("{count} restarts"),
        };
        for (words, is_code) in [
            (container.image.as_str(), true),
            (role, false),
            (container.state.as_str(), false),
            (&restarts, false),
        ] {
            if words.is_empty() || y > rect.bottom() - 8.0 {
                continue;
            }
            if is_code {
                self.code(words, Point::new(x, y), width, 15.0, muted, Align::Center);
            } else {
                self.text(words, Point::new(x, y), width, 15.0, 520, muted, Align::Center);
            }
            y += 21.0;
        }
    }

    fn volumes(&self, pod: &Pod) {
        let palette = self.palette();
        let Some(detail) = &self.subject.detail else { return };
        for placed in &self.layout.volumes {
            let (volume, rect) = (&detail.volumes[placed.index], placed.rect);
            for container in &volume.mounted_by {
                let index = pod.containers.iter().position(|other| other.name == *container);
                let Some(target) = self.layout.containers.iter().find(|other| Some(other.index) == index)
                else {
                    continue;
                };
                // Along the floor behind the containers that stand in between.
                let y = rect.center().y;
                let line = Route::new([Point::new(rect.right(), y), Point::new(target.rect.x, y)]);
                self.brush.route(&line, &palette.steady, 2.0, false);
            }
            self.brush.fill(rect, 8.0, &palette.sunken);
            self.brush.stroke(rect, 8.0, &palette.line_strong, 1.2, false);
            let at =
                Point::new(rect.center().x, rect.center().y - if rect.height > 40.0 { 9.0 } else { 0.0 });
            self.text(&volume.name, at, rect.width - 10.0, 15.0, 640, &palette.ink, Align::Center);
            if rect.height > 40.0 {
                let at = Point::new(rect.center().x, rect.center().y + 11.0);
                self.code(&volume.kind, at, rect.width - 10.0, 14.0, &palette.ink_muted, Align::Center);
            }
        }
    }

    fn slab(&self, pod: &Pod) {
        let (palette, rect) = (self.palette(), self.layout.slab);
        let Some(sandbox) = &pod.sandbox else {
            self.brush.stroke(rect, 8.0, &palette.line_strong, 1.8, true);
            let words = "no pause container yet";
            return self.text(
                words,
                rect.center(),
                rect.width - 16.0,
                17.0,
                520,
                &palette.ink_muted,
                Align::Center,
            );
        };
        let (ground, ink) = if sandbox.is_ready {
            (&palette.slab, &palette.on_slab)
        } else {
            (&palette.motion_soft, &palette.ink)
        };
        self.brush.fill(rect, 8.0, ground);
        self.brush.stroke(rect, 8.0, &palette.slab, 2.0, !sandbox.is_ready);
        let at = Point::new(rect.x + 18.0, rect.center().y - 12.0);
        self.text("pause", at, rect.width * 0.4, 20.0, 700, ink, Align::Left);
        let at = Point::new(rect.x + 18.0, rect.center().y + 13.0);
        let holds = if sandbox.host_network {
            "holds the IPC namespace; network: the node's own"
        } else {
            "holds the network, IPC and UTS namespaces"
        };
        let (second, part) = match sandbox.second_ip.as_str() {
            _ if sandbox.host_network => ("", 0.0),
            "" => ("lo  eth0", 0.2),
            address => (address, 0.42),
        };
        let room = rect.width * part;
        self.text(holds, at, rect.width - room - 48.0, 15.0, 480, ink, Align::Left);
        let address = if sandbox.ip.is_empty() { sandbox.step.as_str() } else { sandbox.ip.as_str() };
        let at = Point::new(rect.right() - 18.0, rect.center().y - 12.0);
        self.code(address, at, rect.width * 0.5, 20.0, ink, Align::Right);
        let at = Point::new(rect.right() - 18.0, rect.center().y + 13.0);
        self.code(second, at, room, 15.0, ink, Align::Right);
    }

    /// The cable from the pod to the bridge, and from there to the node's network card.
    fn network(&self, pod: &Pod) {
        let (palette, layout) = (self.palette(), self.layout);
        let (slab, bridge, card) = (layout.slab, layout.bridge, layout.card);
        let on_host = pod.sandbox.as_ref().is_some_and(|sandbox| sandbox.host_network);
        let has_cable = !on_host && self.has("VethPairCreated") && !self.has("CniDel");
        let x = slab.right() - slab.width * 0.14;
        let cable = Route::new([Point::new(x, slab.bottom()), Point::new(x, bridge.y)]);
        let color = if has_cable { &palette.steady } else { &palette.line_strong };
        if !on_host {
            self.brush.route(&cable, color, if has_cable { 4.0 } else { 1.5 }, !has_cable);
            let at = Point::new(x - 10.0, bridge.y - 13.0);
            let words = if has_cable { "veth pair" } else { "no cable yet" };
            self.text(words, at, 140.0, 15.0, 520, &palette.ink_muted, Align::Right);
        }
        let host = self.subject.picture.hosts.iter().find(|host| host.name == pod.node);
        let down = card.center().x;
        let cable = Route::new([Point::new(down, bridge.bottom()), Point::new(down, card.y)]);
        self.brush.route(&cable, &palette.steady, 4.0, false);
        let gateway = host
            .and_then(|host| host.node.as_ref())
            .and_then(|node| node.pod_cidr.split_once(".0/"))
            .map_or(String::new(), |(network, length)| format!("bridge {network}.1/{length}"));
        let address = host.map_or(String::new(), |host| host.ip.clone());
        for (rect, name, words) in [(bridge, "cni0", gateway), (card, "eth0", address)] {
            self.brush.fill(rect, 10.0, &palette.ground);
            self.brush.stroke(rect, 10.0, &palette.steady, 2.0, false);
            let at = Point::new(rect.x + 16.0, rect.center().y);
            self.code(name, at, rect.width * 0.4, 16.0, &palette.ink, Align::Left);
            let at = Point::new(rect.right() - 16.0, rect.center().y);
            self.code(&words, at, rect.width * 0.7, 15.0, &palette.ink_muted, Align::Right);
        }
    }
}
