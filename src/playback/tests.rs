use super::*;
use crate::command::{Command, Scenario};
use crate::{benchmark, cluster};

const FRAME: Duration = Duration::from_millis(16);

/// A cluster with one worker in which nothing is going on any more but heartbeats.
fn quiet() -> History<Cluster> {
    let mut history = cluster::boot(1, Scenario { workers: 1, etcd_members: 1, ..Scenario::default() });
    history.run_until(Time::from_secs(90));
    history
}

fn playing(speed: Speed, history: &History<Cluster>) -> Playback {
    let mut playback = Playback { speed, ..Playback::default() };
    playback.moved(history);
    playback
}

/// Whether a message is on its way that is worth seeing: by what is in the queue, where `look` goes by the record.
fn something_flies(history: &History<Cluster>) -> bool {
    history.engine().in_flight().iter().any(|(_, _, _, _, message)| !is_routine(message))
}

#[test]
fn marks_are_a_logarithmic_scale() {
    for (mark, per_mille) in [
        (0, 1),
        (10, 10),
        (13, 20),
        (20, 100),
        (27, 501),
        (29, 794),
        (30, 1000),
        (31, 1259),
        (40, 10_000),
        (50, 100_000),
        (59, 794_300),
        (60, 1_000_000),
        (61, 1_000_000),
        (u32::MAX, 1_000_000),
    ] {
        assert_eq!(per_mille_at(mark), per_mille, "mark {mark}");
    }
    for (per_mille, mark) in [
        (0, 0),
        (1, 0),
        (6, 8),
        (999, 30),
        (1000, 30),
        (1121, 30),
        (1122, 31),
        (891_299, 59),
        (891_300, 60),
        (u64::MAX, 60),
    ] {
        assert_eq!(mark_of(per_mille), mark, "{per_mille} per mille");
    }
    for mark in 0..=LAST_MARK {
        // Below 0.01x whole thousandths lie further apart than marks.
        if mark >= 10 {
            assert_eq!(mark_of(per_mille_at(mark)), mark);
        }
        assert!(per_mille_at(mark) <= per_mille_at(mark + 1));
    }
}

#[test]
fn a_set_speed_is_kept_to_the_microsecond() {
    let mut history = quiet();
    // Speed in thousandths, real time of a call, calls, simulated time in all.
    for (speed, real_us, calls, simulated_us) in [
        (1000, 16_000, 10, 160_000),
        (1, 999, 1, 0),
        (1, 999, 1000, 999),
        (1, 16_667, 60, 1000),
        (6, 16_667, 60, 6000),
        (1500, 1, 3, 4),
        (1_000_000, 1000, 5, 5_000_000),
        // Out of the scale: its ends.
        (0, 16_000, 10, 160),
        (u64::MAX, 1000, 1, 1_000_000),
    ] {
        let mut playback = playing(Speed::PerMille(speed), &history);
        let start = history.now();
        for _ in 0..calls {
            let pace = playback.advance(&mut history, Duration(real_us));
            assert_eq!(pace, speed.clamp(1, 1_000_000));
        }
        assert_eq!(
            history.now().since(start),
            Duration(simulated_us),
            "{speed} for {calls} times {real_us} us"
        );
    }
}

#[test]
fn a_pause_holds_time() {
    let mut history = quiet();
    for speed in [Speed::Auto, Speed::PerMille(1_000_000)] {
        let mut playback = Playback { is_playing: false, ..playing(speed, &history) };
        let before = (history.now(), history.engine().hash());
        assert_eq!(playback.advance(&mut history, Duration::from_secs(3600)), 0);
        assert_eq!((history.now(), history.engine().hash()), before);
    }
}

#[test]
fn time_falls_behind_before_a_call_takes_long_and_does_not_catch_up() {
    let mut history = quiet();
    let mut playback = playing(Speed::PerMille(1_000_000), &history);
    let (start, events) = (history.now(), history.engine().events());
    playback.advance(&mut history, Duration::from_secs(3600));
    let handled = history.engine().events() - events;
    // All that is due at one instant is handled together.
    assert!((EVENTS_PER_CALL..EVENTS_PER_CALL + 100).contains(&handled), "{handled}");
    assert!(history.now().since(start) < Duration::from_secs(3_600_000));
    let stopped = history.now();
    playback.advance(&mut history, Duration::from_millis(1));
    assert_eq!(history.now().since(stopped), Duration::from_secs(1));
}

#[test]
fn auto_hurries_through_silence_and_slows_down_for_what_is_worth_seeing() {
    let mut history = quiet();
    let mut playback = playing(Speed::Auto, &history);
    // Real milliseconds of silence, pace at their end. It doubles each third of a second.
    let mut silence_ms = 0;
    for (until_ms, pace) in [
        (0, 250),
        (320, 250),
        (336, 500),
        (656, 500),
        (672, 1000),
        (992, 1000),
        (1008, 2000),
        (1344, 4000),
        (1680, 8000),
        (2000, 16_000),
        (4000, 16_000),
    ] {
        let mut now = playback.advance(&mut history, Duration::ZERO);
        while silence_ms < until_ms {
            now = playback.advance(&mut history, FRAME);
            silence_ms += 16;
        }
        assert_eq!(now, pace, "after {until_ms} ms");
    }
    // The cluster was asked for something: slow as long as anything flies, and no longer.
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: one\nspec:\n  containers:\n  - name: web\n    image: nginx\n";
    history.command(Command::WriteFile { path: "one.yaml".into(), content: Some(manifest.into()) });
    history.command(Command::Exec {
        session: 0,
        line: "kubectl apply -f one.yaml".into(),
        stdin: String::new(),
    });
    let (mut slow, mut fast) = (0, 0);
    for _ in 0..2000 {
        let pace = playback.advance(&mut history, FRAME);
        assert_eq!(pace == AUTO_SLOW_PER_MILLE, something_flies(&history), "at {:?}", history.now());
        if pace == AUTO_SLOW_PER_MILLE {
            slow += 1;
        } else {
            fast += 1;
        }
    }
    assert!(slow > 100 && fast > 100, "{slow} frames slow, {fast} fast");
}

#[test]
fn a_deployments_whole_story_takes_some_twenty_seconds() {
    let mut history = benchmark::ready_cluster(1, 3);
    history.run_until(history.now() + Duration::from_secs(30));
    // Run ahead to where the story ends, and back to its beginning.
    let begin = history.now();
    assert!(benchmark::pods(&mut history, 3).is_complete);
    let goal = history.now();
    history.seek(begin);
    let mut playback = playing(Speed::Auto, &history);
    let mut real_us = 0;
    while history.now() < goal {
        playback.advance(&mut history, FRAME);
        real_us += FRAME.0;
    }
    assert!((10_000_000..30_000_000).contains(&real_us), "{real_us} us");
}

#[test]
fn steps_stop_at_each_message_there_and_back() {
    let mut history = quiet();
    let mut playback = playing(Speed::Auto, &history);
    let begin = history.now();
    history.command(Command::Exec {
        session: 0,
        line: "kubectl create deployment one --image=nginx".into(),
        stdin: String::new(),
    });
    let mut there = Vec::new();
    for _ in 0..12 {
        playback.step(&mut history, true);
        there.push(history.now());
    }
    assert!(!playback.is_playing);
    assert!(there.windows(2).all(|pair| pair[0] < pair[1]), "{there:?}");
    // None is left out: what was sent in between stands in the record.
    let sent = |history: &History<Cluster>, from: Time, to: Time| -> Vec<Time> {
        let lines = history.trace.between(Time(from.0 + 1)..Time(to.0 + 1));
        let mut times: Vec<Time> = lines
            .filter(|(_, record)| is_worth_seeing(&record.what))
            .map(|(_, record)| record.time)
            .collect();
        times.dedup();
        times
    };
    assert_eq!(sent(&history, begin, there[11]), there);
    let mut back = vec![history.now()];
    for _ in 0..11 {
        playback.step(&mut history, false);
        back.push(history.now());
    }
    back.reverse();
    assert_eq!(back, there);
    // And forth again, over the same line.
    playback.step(&mut history, true);
    assert_eq!(history.now(), there[1]);
}

#[test]
fn a_step_in_a_silent_cluster_ends_all_the_same() {
    let mut history = quiet();
    let mut playback = playing(Speed::Auto, &history);
    let start = history.now();
    playback.step(&mut history, true);
    let passed = history.now().since(start);
    assert!(Duration::ZERO < passed && passed < Duration::from_secs(62), "{passed:?}");
    let mut fresh = cluster::boot(1, Scenario::default());
    playback.step(&mut fresh, false);
    assert_eq!(fresh.now(), Time::ZERO);
}
