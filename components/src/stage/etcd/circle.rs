//! A member as a circle with its election timer around it: the same in every lens that shows members.
//!
//! Picture to hold in mind: an egg timer. The leader's disc is full and needs none; a follower's ring runs down
//! until a heartbeat turns it up again.

use clusterarium::picture::EtcdMember;

use crate::stage::brush::Brush;
use crate::stage::geometry::Rect;
use crate::stage::palette::Palette;

/// Widths of the ring and of the timer, and how far the timer stands off, in world units.
pub struct Stroke {
    pub ring: f64,
    pub timer: f64,
    pub gap: f64,
}

/// The colours that belong to the member's state.
pub struct Look<'a> {
    pub line: &'a str,
    /// For words on the disc.
    pub ink: &'a str,
}

pub fn paint<'a>(
    brush: &Brush,
    palette: &'a Palette,
    member: &EtcdMember,
    rect: Rect,
    stroke: Stroke,
) -> Look<'a> {
    let (center, radius) = (rect.center(), rect.width / 2.0);
    let is_leader = member.role == "Leader" && member.is_running;
    let (fill, line, ink) = match (member.is_running, is_leader) {
        (false, _) => (&palette.sunken, &palette.failed, &palette.failed),
        (true, true) => (&palette.etcd, &palette.etcd, &palette.on_etcd),
        (true, false) => (&palette.surface, &palette.etcd, &palette.etcd),
    };
    brush.circle(center, radius, Some(fill), Some((line, stroke.ring)));
    if member.is_running && !is_leader {
        let share = 1.0 - f64::from(member.election_elapsed_per_mille.min(1000)) / 1000.0;
        brush.arc(center, radius + stroke.gap, share, &palette.etcd, stroke.timer);
    }
    Look { line, ink }
}
