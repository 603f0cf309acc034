//! The engine's promises, kept by a toy world: seek equals replay, a fork equals a fresh run of its log,
//! a stopped process forgets its timers, a stopped host is silent where a stopped process refuses.

use clusterarium::sim::History;
use clusterarium::sim::actor::Message;
use clusterarium::sim::{
    ActorId, Context, Control, Duration, Engine, HostId, Input, Language, Network, Random, Time, World,
};

#[derive(Clone)]
enum Toy {}

#[derive(Clone, Debug)]
enum Ball {
    Flying(u64),
    Refused,
}

#[derive(Clone, Debug)]
enum Button {
    Boot { players: u32 },
    Throw { player: u32 },
    Stop { player: u32 },
    Start { player: u32 },
    Cut { a: u32, b: u32 },
    HostDown { host: u32, down: bool },
    Heal,
}

impl Language for Toy {
    type Message = Ball;
    type Timer = u64;
    type Command = Button;
    type Note = u64;
}

impl Message for Ball {
    fn digest(&self) -> u64 {
        if let Ball::Flying(value) = self { *value } else { u64::MAX }
    }
    fn class(&self) -> u16 {
        0
    }
    fn refusal(&self) -> Option<Ball> {
        matches!(self, Ball::Flying(_)).then_some(Ball::Refused)
    }
    fn most_resends(&self) -> u32 {
        0
    }
}

/// Players that throw each ball on, sometimes after a rest, sometimes two for one.
#[derive(Clone, Default)]
struct Game {
    players: Vec<Player>,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Player {
    caught: u64,
    refused: u64,
    starts: u64,
    sum: u64,
}

impl World for Game {
    type Language = Toy;
    fn handle(&mut self, actor: ActorId, input: Input<Toy>, context: &mut Context<Toy>) {
        let others = self.players.len() as u64;
        let player = &mut self.players[actor.0 as usize];
        match input {
            Input::Start => {
                *player = Player { starts: player.starts + 1, ..Player::default() };
                context.periodic(Duration::from_millis(50), 0);
            }
            Input::Timer(0) => context.periodic(Duration::from_millis(50), 0),
            Input::Timer(value) => {
                let to = ActorId(context.random().below(others) as u32);
                context.send(to, Ball::Flying(value));
            }
            Input::Message { message: Ball::Flying(value), .. } => {
                player.caught += 1;
                player.sum = player.sum.wrapping_mul(31).wrapping_add(value);
                let rest = context.random().duration(Duration(1), Duration::from_millis(5));
                context.timer(rest, value + 1);
                if value % 50 == 49 {
                    context.send_after(rest, actor, Ball::Flying(value + 7));
                }
                context.note(value);
            }
            Input::Message { message: Ball::Refused, .. } => {
                player.refused += 1;
                context.timer(Duration::from_millis(10), 1);
            }
        }
    }
    fn command(&mut self, command: &Button, control: &mut Control<Toy>) {
        match *command {
            Button::Boot { players } => {
                for host in 0..players {
                    let actor = control.create(HostId(host));
                    self.players.push(Player::default());
                    control.start(actor);
                }
            }
            Button::Throw { player } => control.wake(ActorId(player), 1),
            Button::Stop { player } => control.stop(ActorId(player)),
            Button::Start { player } => control.start(ActorId(player)),
            Button::Cut { a, b } => control.network().set_cut(HostId(a), HostId(b), true),
            Button::HostDown { host, down } => control.network().set_down(HostId(host), down),
            Button::Heal => control.network().heal(),
        }
    }
}

type State = (u64, Vec<Player>, u64);

fn state(history: &History<Game>) -> State {
    let engine = history.engine();
    (engine.hash(), engine.world.players.clone(), engine.next_record().0)
}

fn fresh(seed: u64) -> History<Game> {
    History::new(Engine::new(seed, Game::default(), Network::default()))
}

/// A game with random faults, played for `length`.
fn played(seed: u64, length: Time) -> History<Game> {
    let mut random = Random::stream(seed, "buttons");
    let mut history = fresh(seed);
    history.checkpoint_every(300);
    history.command(Button::Boot { players: 5 });
    for player in 0..5 {
        history.command(Button::Throw { player });
    }
    while history.now() < length {
        let next = history.now() + random.duration(Duration(1), Duration::from_millis(100));
        history.run_until(next.min(length));
        let player = random.below(5) as u32;
        let other = random.below(5) as u32;
        history.command(match random.below(7) {
            0 => Button::Stop { player },
            1 => Button::Start { player },
            2 => Button::Cut { a: player, b: other },
            3 => Button::HostDown { host: player, down: true },
            4 => Button::HostDown { host: player, down: false },
            5 => Button::Heal,
            _ => Button::Throw { player },
        });
    }
    history.run_until(length);
    history
}

/// The state of a run of `history`'s log, up to `time`, from nothing.
fn replayed(seed: u64, history: &History<Game>, time: Time) -> State {
    let mut replay = fresh(seed);
    replay.replace_log(history.log().to_vec());
    replay.run_until(time);
    state(&replay)
}

#[test]
fn a_seek_equals_a_replay() {
    for seed in 0..4 {
        let length = Time::from_secs(4);
        let mut history = played(seed, length);
        assert!(history.checkpoints() > 2, "the game must be long enough for checkpoints to matter");
        let end = state(&history);
        let mut random = Random::stream(seed, "seeks");
        for _ in 0..25 {
            let time = Time(random.below(length.0));
            history.seek(time);
            assert_eq!(state(&history), replayed(seed, &history, time), "seed {seed}, instant {time}");
        }
        // Instants of commands are the hard ones: each is the last thing of its instant.
        let instants: Vec<Time> = history.log().iter().map(|(time, _)| *time).collect();
        for time in instants {
            history.seek(time);
            assert_eq!(state(&history), replayed(seed, &history, time), "seed {seed}, command at {time}");
        }
        history.seek(length);
        assert_eq!(state(&history), end);
    }
}

#[test]
fn a_fork_equals_a_fresh_run_of_its_log() {
    for seed in 0..4 {
        let mut history = played(seed, Time::from_secs(3));
        let old = (history.log().len(), state(&history));
        history.seek(Time::from_millis(1_321));
        history.command(Button::Throw { player: 2 });
        history.run_until(Time::from_secs(4));
        assert_eq!(state(&history), replayed(seed, &history, Time::from_secs(4)));
        // Seeking on the new line still works, and the old one can be gone back to.
        history.seek(Time::from_secs(2));
        assert_eq!(state(&history), replayed(seed, &history, Time::from_secs(2)));
        let branch = history.branches[0].clone();
        history.replace_log(branch.log);
        history.run_until(branch.horizon);
        assert_eq!((history.log().len(), state(&history)), old);
    }
}

/// Whatever stretch of time is asked for, it holds the lines that were written in it, from either end.
#[test]
fn a_stretch_of_the_trace_holds_its_lines_read_from_either_end() {
    let history = played(5, Time::from_secs(3));
    let end = history.now().0;
    let stretches =
        [(0, 0), (0, 1), (0, end + 1), (end, u64::MAX), (end + 1, u64::MAX), (1_000_000, 2_000_000)];
    for (from, until) in stretches {
        let expected: Vec<u64> = history
            .trace
            .iter()
            .filter(|(_, record)| (from..until).contains(&record.time.0))
            .map(|(id, _)| id.0)
            .collect();
        let forwards: Vec<u64> = history.trace.between(Time(from)..Time(until)).map(|(id, _)| id.0).collect();
        assert_eq!(forwards, expected, "{from} to {until}");
        let mut backwards: Vec<u64> =
            history.trace.between(Time(from)..Time(until)).rev().map(|(id, _)| id.0).collect();
        backwards.reverse();
        assert_eq!(backwards, expected, "{from} to {until}, backwards");
    }
}

#[test]
fn the_trace_is_the_same_after_a_replay() {
    let mut history = played(9, Time::from_secs(3));
    let lines = |history: &History<Game>| -> Vec<(u64, u64, Option<u64>)> {
        history.trace.iter().map(|(id, record)| (id.0, record.time.0, record.cause().map(|c| c.0))).collect()
    };
    let before = lines(&history);
    history.seek(Time::from_millis(100));
    history.seek(Time::from_secs(3));
    assert_eq!(lines(&history), before);
    let mut again = fresh(9);
    again.replace_log(history.log().to_vec());
    again.run_until(Time::from_secs(3));
    assert_eq!(lines(&again), before);
}

#[test]
fn a_stopped_process_refuses_and_a_stopped_host_is_silent() {
    for (host_down, refused) in [(false, true), (true, false)] {
        let mut history = fresh(1);
        history.command(Button::Boot { players: 2 });
        history.command(Button::Stop { player: 1 });
        history.command(Button::HostDown { host: 1, down: host_down });
        for _ in 0..20 {
            history.command(Button::Throw { player: 0 });
        }
        history.run_until(Time::from_millis(40));
        assert_eq!(history.world().players[0].refused > 0, refused, "host down: {host_down}");
        assert_eq!(history.world().players[1].caught, 0);
    }
}

#[test]
fn a_restart_forgets_timers_and_volatile_state() {
    let mut history = fresh(3);
    history.command(Button::Boot { players: 1 });
    history.command(Button::Throw { player: 0 });
    history.run_until(Time::from_millis(300));
    assert!(history.world().players[0].caught > 0);
    history.command(Button::Start { player: 0 });
    let player = history.world().players[0].clone();
    assert_eq!((player.caught, player.starts), (0, 2));
}
