//! What every lens makes: a scene, which knows where everything stands and how it is drawn.
//!
//! Picture to hold in mind: a stage set. A lens builds the set for one picture and one window; from then on the
//! set only answers: what stands here, where does that stand, which way does a message take. It is built anew
//! when the picture, the window or the selection changes, and nothing in it moves by itself.

use std::sync::Arc;

use clusterarium::picture::{Detail, Flow, Picture, Shape};

use super::brush::Brush;
use super::geometry::{Camera, Point, Rect, Route};
use super::level::Level;
use super::palette::Palette;

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
    /// A line of an etcd member's log: the member and the index.
    Entry(String, u64),
    /// The cable between two machines.
    Link(String, String),
    /// A key of etcd, and those below a prefix from a name on: only the inspector shows them.
    Key(String),
    Keys(String, String),
    /// The load that is sent to a service.
    Load,
    /// A packet to be followed.
    Packet(Packet),
}

/// A question to the network: who sends to whom (`super::network::controls` reads the words), and which of many
/// packets like it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    pub from: String,
    pub to: String,
    pub number: u32,
}

/// What a scene is built from.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub picture: Arc<Picture>,
    /// What the inspector shows of the selection, once it has come.
    pub detail: Option<Arc<Detail>>,
    pub selected: Option<Target>,
    pub level: Level,
    /// The canvas, in CSS pixels.
    pub width: f64,
    pub height: f64,
}

/// One lens's set for one [`Subject`], in world units.
pub trait Scene {
    /// All of it: what the camera fits into the canvas.
    fn bounds(&self) -> Rect;
    /// Draws everything but the messages.
    fn paint(&self, frame: &Frame, brush: &Brush);
    /// The way that a message takes between two actors; `None` where this lens does not show it.
    fn route(&self, from: u32, to: u32) -> Option<Route>;
    /// What stands at a point, the innermost thing first.
    fn hit(&self, at: Point) -> Option<Target>;
    /// The box of a target, to look at it closely and to mark it.
    fn find(&self, target: &Target) -> Option<Rect>;
    /// Who of etcd's members (by their places in the picture) stands on which side of a line drawn from one point to
    /// another; `None`: where it begins, no lines are drawn.
    fn sides(&self, _from: Point, _to: Point) -> Option<[Vec<usize>; 2]> {
        None
    }
    /// Whether a message carries its words; else it is a small mark.
    fn labels(&self, flow: &Flow) -> bool {
        let is_raft = matches!(flow.shape, Shape::Vote | Shape::Append | Shape::Heartbeat | Shape::RaftReply);
        !flow.is_routine && !is_raft
    }
    /// Where messages carry their fields beside them: what these must not cover.
    fn taken(&self) -> Option<Vec<Rect>> {
        None
    }
}

/// What one frame adds to a scene.
pub struct Frame<'a> {
    pub palette: &'a Palette,
    pub camera: Camera,
    /// Microseconds of simulated time.
    pub time_us: f64,
    pub selected: Option<&'a Target>,
    pub hovered: Option<&'a Target>,
    /// A line that is being drawn across the scene.
    pub cut: Option<(Point, Point)>,
    /// What changed a moment ago, and how much of its halo is left (0 to 1).
    pub halos: &'a [(Target, f64)],
}

impl Frame<'_> {
    /// Pixels on the screen of a length in the world.
    pub fn px(&self, units: f64) -> f64 {
        units * self.camera.zoom
    }

    /// Halos of what just changed, the selection and what is under the pointer.
    pub fn emphasis(&self, scene: &dyn Scene, brush: &Brush) {
        let pixel = 1.0 / self.camera.zoom;
        let around = |target: &Target, by: f64| scene.find(target).map(|rect| rect.inset(-by));
        for (target, strength) in self.halos {
            if let Some(rect) = around(target, 3.0 * pixel) {
                brush.canvas.set_global_alpha(*strength);
                brush.stroke(rect, 11.0, &self.palette.halo, 5.0 * pixel, false);
                brush.canvas.set_global_alpha(1.0);
            }
        }
        for (target, width, is_dashed) in [(self.hovered, 1.5, true), (self.selected, 3.0, false)] {
            let is_twice = is_dashed && self.hovered == self.selected;
            if let Some(rect) = target.and_then(|target| around(target, 4.0 * pixel))
                && !is_twice
            {
                brush.stroke(rect, 12.0, &self.palette.ink, width * pixel, is_dashed);
            }
        }
    }
}
