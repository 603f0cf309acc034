//! From simulated time to a place on the timeline and back.
//!
//! Picture to hold in mind: an elastic ruler. Where much happens it is stretched, so that hops of half a
//! millisecond stand apart; where nothing happens a minute is a finger's width.

use crate::arithmetic::ln_1p;

/// A monotone, piecewise linear map from time to `0..=1`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// (time in microseconds, place), ascending in both.
    knots: Vec<(f64, f64)>,
}

/// A gap this long is one unit of the ruler; ten times as long is only some two units more.
const UNIT_US: f64 = 60.0;

impl Axis {
    /// The ruler for events at `times_us` (ascending) within `start_us..=end_us`.
    pub fn of(times_us: impl IntoIterator<Item = f64>, start_us: f64, end_us: f64) -> Axis {
        let end_us = end_us.max(start_us + 1.0);
        let mut knots = vec![(start_us, 0.0)];
        let mut place = 0.0;
        for time in times_us.into_iter().filter(|time| *time > start_us && *time < end_us).chain([end_us]) {
            let last = knots.last().map_or(start_us, |knot| knot.0);
            if time <= last {
                continue;
            }
            place += ln_1p((time - last) / UNIT_US);
            knots.push((time, place));
        }
        for knot in &mut knots {
            knot.1 /= place.max(f64::MIN_POSITIVE);
        }
        Axis { knots }
    }

    pub fn place(&self, time_us: f64) -> f64 {
        interpolate(&self.knots, time_us, |knot| knot.0, |knot| knot.1)
    }
    pub fn time_us(&self, place: f64) -> f64 {
        interpolate(&self.knots, place, |knot| knot.1, |knot| knot.0)
    }
}

fn interpolate(
    knots: &[(f64, f64)],
    at: f64,
    from: impl Fn(&(f64, f64)) -> f64,
    to: impl Fn(&(f64, f64)) -> f64,
) -> f64 {
    let after = knots.partition_point(|knot| from(knot) < at);
    let (Some(first), Some(last)) = (knots.first(), knots.last()) else { return 0.0 };
    if after == 0 {
        return to(first);
    }
    let (Some(low), Some(high)) = (knots.get(after - 1), knots.get(after)) else { return to(last) };
    let span = from(high) - from(low);
    if span <= 0.0 {
        return to(low);
    }
    to(low) + (to(high) - to(low)) * (at - from(low)) / span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let axis = Axis::of([1_000.0, 1_500.0, 60_000_000.0], 0.0, 120_000_000.0);
        for time in [0.0, 700.0, 1_200.0, 1_500.0, 5_000_000.0, 119_000_000.0, 120_000_000.0] {
            let back = axis.time_us(axis.place(time));
            assert!((back - time).abs() < 1.0, "{time} came back as {back}");
        }
        assert_eq!((axis.place(-5.0), axis.place(1e12)), (0.0, 1.0));
    }

    #[test]
    fn a_burst_is_stretched() {
        let burst: Vec<f64> = (0..50).map(|hop| 1_000_000.0 + f64::from(hop) * 400.0).collect();
        let axis = Axis::of(burst, 0.0, 100_000_000.0);
        let share = axis.place(1_020_000.0) - axis.place(1_000_000.0);
        assert!(share > 0.5, "twenty milliseconds of a hundred seconds take {share} of the ruler");
    }
}
