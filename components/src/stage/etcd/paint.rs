//! From a layout to strokes: the etcd lens.
//!
//! Picture to hold in mind: ink that dries. An entry that is only in memory is a dashed outline, on disk a
//! heavier one, committed a firm one, applied it is filled.

use clusterarium::picture::{EntryState, EtcdMember, LinkFault, Picture};

use super::circle::{self, Stroke};
use super::layout::Layout;
use super::{controls, cut, situation};
use crate::stage::brush::{Align, Brush, font};
use crate::stage::cables::Cable;
use crate::stage::geometry::{Point, Rect, Route};
use crate::stage::lettering::Lettering;
use crate::stage::palette::Palette;
use crate::stage::scene::Frame;

pub struct Painter<'a> {
    pub picture: &'a Picture,
    pub layout: &'a Layout,
    /// What happens is told beside it: only what is settled is shown of the logs.
    pub is_told: bool,
    pub frame: &'a Frame<'a>,
    pub brush: &'a Brush<'a>,
}

impl Lettering for Painter<'_> {
    const CODE_WEIGHT: u32 = 620;

    fn palette(&self) -> &Palette {
        self.frame.palette
    }
    fn brush(&self) -> &Brush<'_> {
        self.brush
    }
}

impl Painter<'_> {
    pub fn paint(&self) {
        for cable in self.layout.cables(self.picture) {
            self.cable(&cable);
        }
        for wall in cut::walls(self.layout, self.picture) {
            self.brush.route(&wall, &self.palette().failed, 6.0, false);
        }
        if let Some((from, to)) = self.frame.cut {
            let line = cut::whole(self.layout, from, to);
            self.brush.route(&line, &self.palette().failed, 4.0, true);
            let sides = cut::sides(self.layout, from, to).map(|side| controls::list(&side));
            let text = format!("{}  |  {}", sides[0], sides[1]);

            let width = text.len() as f64 * 10.0;
            let at = Point::new(to.x.min(self.layout.table.right() - width / 2.0), to.y - 22.0);
            let plate = Rect::new(at.x - width / 2.0, at.y - 15.0, width, 30.0);
            self.brush.fill(plate, 8.0, &self.palette().surface);
            self.text(&text, at, 300.0, 17.0, 700, &self.palette().failed, Align::Center);
        }
        self.servers();
        for placed in &self.layout.members {
            self.member(placed.index, placed.rect);
        }
        self.ledgers();
        self.note();
    }

    /// A cable: what is cut is dashed, with a cross where it ends; what is slow or lossy says so.
    fn cable(&self, cable: &Cable) {
        let palette = self.palette();
        let [there, back] = cable.faults(self.picture);
        let ways = [(there, 0.62), (back, 0.38)];
        let (color, width, is_bad) = cable.look(self.picture, palette);
        self.brush.route(&cable.route, color, width, is_bad);
        if !cable.is_between_members {
            return;
        }
        let alike =
            |fault: Option<&LinkFault>| fault.map(|fault| (fault.extra_delay_us, fault.loss_per_million));
        let is_cut = [there, back].into_iter().flatten().any(|fault| fault.is_cut);
        let is_alike = !is_cut && alike(ways[0].0) == alike(ways[1].0);
        for (fault, share) in &ways[usize::from(is_alike)..] {
            let Some(fault) = fault else { continue };
            let at = cable.route.at(if is_alike { 0.5 } else { *share });
            if fault.is_cut {
                let end = |x: f64, y: f64| Point::new(at.x + x * 7.0, at.y + y * 7.0);
                for ends in [[end(-1.0, -1.0), end(1.0, 1.0)], [end(-1.0, 1.0), end(1.0, -1.0)]] {
                    self.brush.route(&Route::new(ends), color, 3.0, false);
                }
                continue;
            }
            let mut words = Vec::new();
            if fault.extra_delay_us > 0 {
                words.push(format!("+{} ms", fault.extra_delay_us / 1000));
            }
            if fault.loss_per_million > 0 {
                words.push(format!("−{} %", fault.loss_per_million / 10_000));
            }
            let words = words.join(" ");
            let width = words.len() as f64 * 8.0;
            self.brush.fill(Rect::new(at.x - width / 2.0, at.y - 10.0, width, 20.0), 4.0, &palette.ground);
            self.text(&words, at, 120.0, 14.0, 640, color, Align::Center);
        }
    }

    fn servers(&self) {
        let palette = self.palette();
        for placed in &self.layout.servers {
            let component = &self.picture.components[placed.index];
            let (ground, line) = if component.is_running {
                (&palette.steady_soft, &palette.steady)
            } else {
                (&palette.sunken, &palette.failed)
            };
            self.brush.fill(placed.rect, 10.0, ground);
            self.brush.stroke(placed.rect, 10.0, line, 2.0, !component.is_running);
            let name = match (component.is_running, self.layout.servers.len()) {
                (true, 1) => "kube-apiserver".to_string(),
                (true, _) => format!("API {}", component.host),
                (false, 1) => "kube-apiserver: stopped".to_string(),
                (false, _) => format!("{}: stopped", component.host),
            };
            self.text(
                &name,
                placed.rect.center(),
                placed.rect.width - 12.0,
                16.0,
                700,
                &palette.ink,
                Align::Center,
            );
        }
    }

    fn member(&self, index: usize, rect: Rect) {
        let (palette, brush) = (self.palette(), self.brush);
        let member = &self.picture.etcd[index];
        let (center, radius) = (rect.center(), rect.width / 2.0);
        let is_leader = member.is_running && member.role == "Leader";
        let look = circle::paint(brush, palette, member, rect, Stroke { ring: 3.0, timer: 5.0, gap: 8.0 });
        let ink = look.ink;
        let size = radius * 0.42;
        self.code(
            &format!("m{}", index + 1),
            Point::new(center.x, center.y - size * 0.55),
            radius * 1.7,
            size,
            ink,
            Align::Center,
        );
        let role = match member.role.as_str() {
            "PreCandidate" => "pre-candidate".to_string(),
            role => role.to_ascii_lowercase(),
        };
        let at = Point::new(center.x, center.y + size * 0.62);
        let size = if role.len() > 10 { radius * 0.25 } else { 16.0 };
        self.text(&role, at, radius * 1.8, size, 640, ink, Align::Center);
        if !member.is_learner {
            self.ballot(member, Layout::ballot(rect));
        }
        let below = Point::new(center.x, rect.bottom() + 22.0);
        let text = format!("{}  term {}", member.host, member.term);
        self.text(&text, below, 190.0, 15.0, 480, &palette.ink_muted, Align::Center);
        let granted: Vec<String> = member
            .votes
            .iter()
            .filter(|vote| vote.is_granted)
            .filter_map(|vote| self.picture.etcd.iter().position(|other| other.name == vote.from))
            .map(|voter| format!("m{}", voter + 1))
            .collect();
        if !granted.is_empty() && !is_leader {
            let at = Point::new(center.x, rect.bottom() + 40.0);
            self.text(
                &format!("votes: {}", granted.join(", ")),
                at,
                190.0,
                15.0,
                640,
                &palette.etcd,
                Align::Center,
            );
        }
    }

    /// Whom a member voted for in its term: a slip with a name, dashed and empty as long as it has not.
    fn ballot(&self, member: &EtcdMember, slip: Rect) {
        let palette = self.palette();
        let vote = member.vote.as_ref();
        let to = vote.and_then(|vote| self.picture.etcd.iter().position(|other| other.name == *vote));
        let line = if vote.is_some() { &palette.etcd } else { &palette.line_strong };
        self.brush.fill(slip, 4.0, &palette.surface);
        self.brush.stroke(slip, 4.0, line, 2.0, vote.is_none());
        let text = to.map_or_else(|| "no vote".to_string(), |to| format!("→ m{}", to + 1));
        let size = slip.height * if to.is_some() { 0.66 } else { 0.55 };
        let ink = if vote.is_some() { &palette.ink } else { &palette.ink_muted };
        self.text(&text, slip.center(), slip.width - 6.0, size, 700, ink, Align::Center);
    }

    fn ledgers(&self) {
        let (layout, palette) = (self.layout, self.palette());
        let ledgers = layout.ledgers;
        self.text(
            "Logs",
            Point::new(ledgers.x, ledgers.y + 14.0),
            120.0,
            18.0,
            700,
            &palette.ink,
            Align::Left,
        );
        let leader = self
            .picture
            .etcd
            .iter()
            .filter(|member| member.is_running && member.role == "Leader")
            .max_by_key(|member| member.term);
        for index in layout.first_index..layout.first_index + layout.lines {
            if let Some(cell) = layout.cell(0, index) {
                let at = Point::new(cell.center().x, cell.y - 14.0);
                self.text(&index.to_string(), at, cell.width, 14.0, 480, &palette.ink_muted, Align::Center);
            }
        }
        for (row, member) in self.picture.etcd.iter().enumerate() {
            self.ledger(row, member, leader);
        }
        if let Some(leader) = leader {
            let at = Point::new(ledgers.right() - 8.0, ledgers.y + 14.0);
            let text = format!("committed to {}", leader.commit_index);
            self.text(&text, at, ledgers.width * 0.6, 16.0, 640, &palette.etcd, Align::Right);
            if let Some(cell) = layout.cell(0, leader.commit_index) {
                let x = cell.right() + 3.0;
                let line =
                    Route::new([Point::new(x, cell.y - 26.0), Point::new(x, layout.ledgers_end() - 12.0)]);
                self.brush.route(&line, &palette.etcd, 2.0, true);
            }
        }
    }

    fn ledger(&self, row: usize, member: &EtcdMember, leader: Option<&EtcdMember>) {
        let (layout, palette) = (self.layout, self.palette());
        let Some(first) = layout.cell(row, layout.first_index) else { return };
        let ink = if member.is_running { &palette.ink } else { &palette.failed };
        let at = Point::new(layout.ledgers.x, first.center().y);
        self.code(&format!("m{}", row + 1), at, 40.0, 17.0, ink, Align::Left);
        let last = member.last_index;
        if last < layout.first_index {
            let at = Point::new(first.x, first.center().y);
            let text = format!("ends with entry {last}");
            return self.text(&text, at, layout.ledgers.width, 15.0, 560, &palette.ink_muted, Align::Left);
        }
        for index in layout.first_index..layout.first_index + layout.lines {
            if let Some(cell) = layout.cell(row, index) {
                self.entry(member, index, cell);
            }
        }
        if last >= layout.first_index + layout.lines {
            let at = Point::new(layout.ledgers.right() - 6.0, first.bottom() + 14.0);
            self.text(&format!("… to entry {last}"), at, 160.0, 14.0, 560, &palette.ink_muted, Align::Right);
        }
        if self.is_told {
            return;
        }
        // What the leader believes of this member's ledger.
        let Some(peer) = leader
            .filter(|leader| leader.name != member.name)
            .and_then(|leader| leader.peers.iter().find(|peer| peer.name == member.name))
        else {
            return;
        };
        self.mark(row, peer.match_index, "match", &palette.steady, true);
        self.mark(row, peer.next_index, "next", &palette.motion, false);
    }

    fn mark(&self, row: usize, index: u64, word: &str, color: &str, is_filled: bool) {
        let Some(cell) = self.layout.cell(row, index) else { return };
        let (x, y) = (cell.center().x, cell.bottom() + 5.0);
        let corners = [Point::new(x, y), Point::new(x + 6.0, y + 10.0), Point::new(x - 6.0, y + 10.0)];
        self.brush.polygon(&corners, is_filled.then_some(color), Some((color, 1.8)));
        self.text(word, Point::new(x, y + 20.0), cell.width + 8.0, 14.0, 560, color, Align::Center);
    }

    fn entry(&self, member: &EtcdMember, index: u64, cell: Rect) {
        let (brush, palette) = (self.brush, self.palette());
        let Some(entry) = member.log.iter().find(|entry| entry.index == index) else {
            if index < member.first_index && member.first_index > 0 {
                // What is before the log is in a snapshot.
                brush.fill(cell, 6.0, &palette.etcd_soft);
            } else if index <= member.applied_index {
                // Too far back to be told of.
                brush.fill(cell, 6.0, &palette.etcd);
            } else if index <= member.last_index {
                brush.stroke(cell, 6.0, &palette.etcd, 2.2, true);
            } else {
                brush.stroke(cell, 6.0, &palette.line, 1.2, false);
            }
            return;
        };
        let (fill, width, is_dashed, ink) = match entry.state {
            EntryState::InMemory => (None, 1.2, true, &palette.ink_muted),
            EntryState::Persisted => (None, 2.2, true, &palette.ink),
            EntryState::Committed => (Some(&palette.etcd_soft), 2.2, false, &palette.ink),
            EntryState::Applied => (Some(&palette.etcd), 2.2, false, &palette.on_etcd),
        };
        if let Some(fill) = fill {
            brush.fill(cell, 6.0, fill);
        }
        brush.stroke(cell, 6.0, &palette.etcd, width, is_dashed);
        let word = short_word(&entry.key, &entry.what);
        let is_tall = cell.height >= 40.0;
        let y = if is_tall { cell.center().y - 8.0 } else { cell.center().y };
        self.text(&word, Point::new(cell.center().x, y), cell.width - 4.0, 14.0, 620, ink, Align::Center);
        if is_tall {
            let at = Point::new(cell.center().x, cell.center().y + 12.0);
            self.text(&entry.term.to_string(), at, cell.width - 4.0, 14.0, 450, ink, Align::Center);
        }
    }

    fn note(&self) {
        let (note, palette) = (self.layout.note, self.palette());
        let situation = situation::of(self.picture);
        self.brush.fill(note, 12.0, &palette.surface);
        let line = if situation.is_trouble { &palette.motion } else { &palette.line };
        self.brush.stroke(note, 12.0, line, if situation.is_trouble { 2.5 } else { 1.5 }, false);
        let width = note.width - 36.0;
        // What is told is read from the last row.
        let larger = if self.is_told { 4.0 } else { 0.0 };
        let title = font(700, 18.0 + larger, &palette.font_text);
        let text = font(450, 16.0 + larger, &palette.font_text);
        let mut y = note.y + 26.0;
        let votes = if self.is_told { situation::votes(self.picture) } else { String::new() };
        for (words, font, color, step) in [
            (&situation.headline, &title, &palette.ink, 23.0 + larger),
            (&votes, &title, &palette.etcd, 23.0 + larger),
            (&situation.meaning, &text, &palette.ink_muted, 21.0 + larger),
        ] {
            for words in self.brush.wrap(words, width, font) {
                self.brush.text(&words, Point::new(note.x + 18.0, y), width + 8.0, font, color, Align::Left);
                y += step;
            }
            y += if words.is_empty() { 0.0 } else { 4.0 };
        }
    }
}

/// What an entry is about, in a word that fits its box: the kind of its key.
fn short_word(key: &str, what: &str) -> String {
    let kind = key.strip_prefix("/registry/").and_then(|rest| rest.split('/').next());
    match (kind, what) {
        (Some("minions"), _) => "node".into(),
        (Some("services"), _) => "service".into(),
        (Some(kind), _) => kind.strip_suffix('s').unwrap_or(kind).into(),
        (None, "") => "elect".into(),
        (None, what) => what.split(' ').next().unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::short_word;

    #[test]
    fn an_entry_is_called_by_its_kind() {
        for (key, what, word) in [
            ("/registry/pods/default/web", "put /registry/pods/default/web", "pod"),
            ("/registry/minions/worker-1", "put", "node"),
            ("/registry/leases/kube-node-lease/worker-1", "put", "lease"),
            ("", "", "elect"),
            ("", "compact 12", "compact"),
        ] {
            assert_eq!(short_word(key, what), word);
        }
    }
}
