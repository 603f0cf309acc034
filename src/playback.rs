//! Play, pause, speed, step, seek: how fast simulated time runs past.
//!
//! Picture to hold in mind: a film projector with an attentive operator. In *auto* the operator watches the
//! film: while something worth seeing is in the air it turns slowly, through empty stretches it hurries.
//!
//! There is no clock here: the caller says how much real time has passed.

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::picture::is_routine;
use crate::sim::trace::What;
use crate::sim::{Duration, History, RecordId, Time};

/// How fast simulated time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speed {
    /// As fast as what happens can be followed.
    Auto,
    /// In thousandths of real time: 1 is 0.001x, 1,000 real time, 1,000,000 is 1,000x.
    PerMille(u64),
}

/// Marks on the logarithmic scale of speeds: ten a decade, from 0.001x at 0 to 1,000x at the last.
pub const LAST_MARK: u32 = 60;
/// A decade's marks, in thousandths of its beginning, and half-way (on the logarithmic scale) to the next mark.
const MARKS: [u64; 10] = [1000, 1259, 1585, 1995, 2512, 3162, 3981, 5012, 6310, 7943];
const HALF_WAY: [u64; 10] = [1122, 1413, 1778, 2239, 2818, 3548, 4467, 5623, 7079, 8913];

/// The speed at a mark of the scale, in thousandths of real time; past the last mark: that of the last.
pub fn per_mille_at(mark: u32) -> u64 {
    let mark = mark.min(LAST_MARK);
    (MARKS[mark as usize % 10] * 10_u64.pow(mark / 10) + 500) / 1000
}

/// The mark that is nearest to a speed in thousandths of real time.
pub fn mark_of(per_mille: u64) -> u32 {
    let is_past = |mark: &u32| {
        u128::from(per_mille) * 1000 >= u128::from(HALF_WAY[*mark as usize % 10]) * 10_u128.pow(mark / 10)
    };
    (0..LAST_MARK).take_while(is_past).count() as u32
}

/// Auto speed while messages worth seeing are on their way: a hop of half a millisecond takes a tenth of a
/// second, and a Deployment's whole story some twenty.
const AUTO_SLOW_PER_MILLE: u64 = 6;
/// Auto speed at the beginning of a quiet stretch, and its limit; it doubles every third of a second.
const AUTO_FAST_PER_MILLE: u64 = 250;
const AUTO_FASTEST_PER_MILLE: u64 = 16_000;
const AUTO_DOUBLING_US: u64 = 333_000;
/// Events handled in one call at most: the caller's thread stays responsive, and time falls behind instead.
const EVENTS_PER_CALL: u64 = 20_000;

#[derive(Clone, Debug)]
pub struct Playback {
    pub is_playing: bool,
    pub speed: Speed,
    /// Real time since the last thing worth seeing, for auto.
    quiet_us: u64,
    /// Until when something worth seeing is on its way.
    busy_until: Time,
    /// The first line of the record that auto has not looked at.
    next_line: u64,
    /// Simulated time that is owed: below a microsecond at slow speeds.
    owed_thousandths: u64,
}

impl Default for Playback {
    fn default() -> Playback {
        Playback {
            is_playing: true,
            speed: Speed::Auto,
            quiet_us: 0,
            busy_until: Time::ZERO,
            next_line: 0,
            owed_thousandths: 0,
        }
    }
}

impl Playback {
    /// Lets `real` time pass. Returns the speed that it had at the end, in thousandths.
    pub fn advance(&mut self, history: &mut History<Cluster>, real: Duration) -> u64 {
        if !self.is_playing {
            return 0;
        }
        let last_event = history.engine().events() + EVENTS_PER_CALL;
        let mut left_us = real.0;
        loop {
            let speed = self.current(history.now());
            let is_slow = speed == AUTO_SLOW_PER_MILLE;
            self.owed_thousandths += left_us * speed;
            let span = Duration(self.owed_thousandths / 1000);
            let mut target = history.now() + span;
            if self.speed == Speed::Auto {
                // Stops where the speed may change.
                let next = history.engine().next_time().unwrap_or(Time::MAX);
                target = if is_slow { target.min(self.busy_until) } else { target.min(next) };
            }
            let from = history.now();
            self.run(history, target, last_event);
            let passed = history.now().since(from);
            self.owed_thousandths = self.owed_thousandths.saturating_sub(passed.0 * 1000);
            self.look(history);
            let used_us = (passed.0 * 1000).div_ceil(speed.max(1)).min(left_us);
            if speed > AUTO_SLOW_PER_MILLE {
                self.quiet_us += used_us;
            }
            left_us -= used_us;
            let is_over = self.speed != Speed::Auto || left_us == 0 || target == from + span;
            if is_over || history.engine().events() >= last_event {
                self.owed_thousandths = if history.now() < target { 0 } else { self.owed_thousandths % 1000 };
                return self.current(history.now());
            }
            // What is left of the real time is paid at the new speed.
            self.owed_thousandths = 0;
        }
    }

    /// Goes to the next message that is sent, or to the one before.
    pub fn step(&mut self, history: &mut History<Cluster>, forward: bool) {
        self.is_playing = false;
        let now = history.now();
        if !forward {
            let before = history
                .trace
                .between(Time::ZERO..now)
                .rev()
                .find(|(_, record)| is_worth_seeing(&record.what))
                .map_or(Time::ZERO, |(_, record)| record.time);
            history.seek(before);
            return;
        }
        let limit = now + Duration::from_secs(60);
        let mut next = history.engine().next_record();
        while history.now() < limit {
            let Some(time) = history.engine().next_time() else { return };
            history.run_until(time);
            let end = history.engine().next_record();
            let seen = (next.0..end.0)
                .filter_map(|id| history.trace.get(RecordId(id)))
                .any(|record| is_worth_seeing(&record.what));
            if seen && history.now() > now {
                return;
            }
            next = end;
        }
    }

    /// After a seek or a fork the record is looked at from the present on.
    pub fn moved(&mut self, history: &History<Cluster>) {
        self.next_line = history.engine().next_record().0;
        self.busy_until = history.now();
        self.quiet_us = 0;
        self.owed_thousandths = 0;
    }

    fn run(&self, history: &mut History<Cluster>, target: Time, last_event: u64) {
        // A quiet second at a thousandfold speed may hold more events than one call should handle.
        while history.engine().events() < last_event {
            match history.engine().next_time() {
                Some(time) if time <= target => history.run_until(time),
                _ => return history.run_until(target),
            }
        }
    }

    fn current(&self, now: Time) -> u64 {
        match self.speed {
            Speed::PerMille(speed) => speed.clamp(1, 1_000_000),
            Speed::Auto if now < self.busy_until => AUTO_SLOW_PER_MILLE,
            Speed::Auto => {
                let doublings = (self.quiet_us / AUTO_DOUBLING_US).min(10);
                (AUTO_FAST_PER_MILLE << doublings).min(AUTO_FASTEST_PER_MILLE)
            }
        }
    }

    fn look(&mut self, history: &History<Cluster>) {
        let end = history.engine().next_record().0;
        for id in self.next_line..end {
            let Some(record) = history.trace.get(RecordId(id)) else { continue };
            if let What::Sent { arrives: Ok(time), .. } = record.what
                && is_worth_seeing(&record.what)
            {
                self.busy_until = self.busy_until.max(time);
                self.quiet_us = 0;
            }
        }
        self.next_line = end;
    }
}

fn is_worth_seeing(what: &What<crate::language::Wire>) -> bool {
    matches!(what, What::Sent { message, .. } if !is_routine(message))
}

#[cfg(test)]
mod tests;
