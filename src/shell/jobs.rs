//! Time and strands on the side: `sleep`, `timeout`, `wait`, `jobs`, `kill`.
//!
//! Picture to hold in mind: a kitchen with several pots and a shelf of egg timers.

use crate::api::Text;
use crate::arrange::Gather;
use crate::sim::Duration;

use super::control::plain_node;
use super::machine::{MAXIMUM_TASKS, Machine, Step, Surroundings};
use super::task::{Frame, Program};

/// Longer than any run: `sleep infinity`.
const FOR_EVER: Duration = Duration(u64::MAX / 4);
const LONGEST: u64 = 100 * 365 * 86_400_000_000;

impl Machine {
    pub(super) fn time_and_jobs(
        &mut self,
        id: u32,
        name: &str,
        words: &[String],
        around: &mut Surroundings,
    ) -> Option<Step> {
        match name {
            "sleep" => self.sleep(id, &words[1..], around),
            "timeout" => return self.timeout(id, words, around),
            "wait" => self.wait(id, &words[1..]),
            "kill" => return self.kill(id, &words[1..], around),
            _ => {
                let running = self.tasks.values().filter(|task| task.background).count();
                let text: String = (1..=running).map(|job| format!("[{job}]  Running\n")).collect();
                self.write(id, false, &text, around);
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.shell.status = 0;
                }
            }
        }
        Some(Step::Advanced)
    }

    fn sleep(&mut self, id: u32, words: &[String], around: &mut Surroundings) {
        let mut total = Duration::ZERO;
        let mut wrong = words.is_empty().then_some("missing operand".to_string());
        for word in words {
            match parse_sleep(word) {
                Some(duration) => total = Duration((total + duration).0.min(FOR_EVER.0)),
                None if around.system.dialect().is_busybox() => {
                    wrong = Some(format!("invalid number '{word}'"))
                }
                None => wrong = Some(format!("invalid time interval '{word}'")),
            }
        }
        if let Some(wrong) = &wrong {
            let hint = match around.system.dialect().is_busybox() {
                true => "",
                false => "Try 'sleep --help' for more information.\n",
            };
            self.write(id, true, &format!("sleep: {wrong}\n{hint}"), around);
        }
        let Some(task) = self.tasks.get_mut(&id) else { return };
        match wrong {
            Some(_) => {
                task.shell.status = 1;
                task.after_command();
            }
            None => {
                let until = around.now + total;
                task.frames.push(Frame::program(Program::Sleep { until, status: 0 }));
            }
        }
    }

    /// `timeout [-s SIGNAL] [-k SECONDS] SECONDS COMMAND`.
    fn timeout(&mut self, id: u32, words: &[String], around: &mut Surroundings) -> Option<Step> {
        let mut index = 1;
        while let Some(word) = words.get(index).filter(|word| word.starts_with('-')) {
            index += if matches!(word.as_str(), "-s" | "-k") { 2 } else { 1 };
        }
        let limit = words.get(index).and_then(|word| parse_sleep(word));
        let (Some(limit), Some(command)) = (limit, words.get(index + 1..).filter(|rest| !rest.is_empty()))
        else {
            let text = match around.system.dialect().is_busybox() {
                true => "BusyBox: timeout: no command\n",
                false => "timeout: missing operand\nTry 'timeout --help' for more information.\n",
            };
            self.write(id, true, text, around);
            self.tasks.get_mut(&id)?.shell.status = 1;
            return Some(Step::Advanced);
        };
        if self.tasks.len() >= MAXIMUM_TASKS {
            return Some(self.refuse(id, "fork: retry: Resource temporarily unavailable", around));
        }
        let child = self.tasks.get(&id)?.below(vec![Frame::Run(plain_node(command))]);
        let child = self.add_task(child);
        let deadline = Some(around.now + limit);
        self.tasks.get_mut(&id)?.frames.push(Frame::Join {
            children: vec![child],
            last: child,
            negated: false,
            deadline,
            is_wait: false,
        });
        Some(Step::Advanced)
    }

    /// The strand that `%1` or a number of a process stands for.
    fn job(&self, id: u32, word: &str) -> Option<u32> {
        match word.strip_prefix('%') {
            Some(number) => {
                let number = number.parse::<usize>().ok()?.checked_sub(1)?;
                self.tasks.iter().filter(|(_, task)| task.background).nth(number).map(|(id, _)| *id)
            }
            None => {
                let process: u32 = word.parse().ok()?;
                self.tasks.get(&id)?.shell.jobs.contains(&process).then_some(process)
            }
        }
    }

    fn wait(&mut self, id: u32, words: &[String]) {
        let wanted: Vec<Option<u32>> = words.iter().map(|word| self.job(id, word)).collect();
        let Some(task) = self.tasks.get(&id) else { return };
        let mut children: Vec<u32> = wanted.iter().flatten().copied().gather();
        let last = children.last().copied().unwrap_or(0);
        if wanted.is_empty() {
            children = task.shell.jobs.iter().copied().filter(|job| self.tasks.contains_key(job)).gather();
        }
        let Some(task) = self.tasks.get_mut(&id) else { return };
        // Who waits for nobody in particular is content with whatever they come to.
        task.shell.status = if wanted.last() == Some(&None) { 127 } else { 0 };
        if !children.is_empty() {
            task.frames.push(Frame::Join { children, last, negated: false, deadline: None, is_wait: true });
        }
    }

    /// `kill [-SIGNAL] %JOB`, `kill PROCESS`.
    fn kill(&mut self, id: u32, words: &[String], around: &mut Surroundings) -> Option<Step> {
        let (mut signal, mut targets) = (Text::from("TERM"), Vec::new());
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match word.strip_prefix('-') {
                Some("s") => signal = signal_name(rest.next().map_or("", String::as_str)),
                Some("l") => {
                    self.write(id, false, "HUP INT QUIT KILL USR1 USR2 TERM\n", around);
                    return Some(Step::Advanced);
                }
                Some(name) => signal = signal_name(name),
                None => targets.push(word),
            }
        }
        let mut status = 0;
        if targets.is_empty() {
            return Some(self.refuse(id, "kill: %JOB is wanted, as `jobs` numbers them", around));
        }
        for target in targets {
            if let Some(job) = self.job(id, target) {
                let is_trapped = self.tasks.get_mut(&job).is_some_and(|task| task.take_signal(&signal));
                if !is_trapped && signal != "0" {
                    self.end_with_children(job, 128 + signal_number(&signal), around);
                }
            } else if target == "1" {
                // The first process of a namespace, as an interactive shell, gets only what it has a trap for.
                self.signal(&signal);
            } else {
                let words = match around.system.dialect().is_busybox() {
                    true => format!("can't kill pid {target}: No such process"),
                    false => format!("kill: ({target}) - No such process"),
                };
                self.complain(id, &words, around);
                status = 1;
            }
        }
        let task = self.tasks.get_mut(&id)?;
        task.shell.status = status;
        task.after_command();
        Some(Step::Advanced)
    }
}

const SIGNALS: [(&str, i32); 8] =
    [("EXIT", 0), ("HUP", 1), ("INT", 2), ("QUIT", 3), ("KILL", 9), ("USR1", 10), ("USR2", 12), ("TERM", 15)];

/// `15`, `TERM` and `SIGTERM` are one.
pub(super) fn signal_name(word: &str) -> Text {
    let word = word.strip_prefix("SIG").unwrap_or(word);
    let number: Option<i32> = word.parse().ok();
    let found = SIGNALS.iter().find(|(_, other)| Some(*other) == number);
    found.map_or(word, |(name, _)| name).into()
}
fn signal_number(name: &str) -> i32 {
    SIGNALS.iter().find(|(other, _)| *other == name).map_or(15, |(_, number)| *number)
}

/// Seconds with a fraction, or with a unit: `0.5`, `10`, `2m`.
pub(super) fn parse_sleep(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last()?),
        None => (text, 's'),
    };
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => 86_400,
    };
    if matches!(number, "infinity" | "inf") {
        return Some(FOR_EVER);
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = seconds.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)?;
    Some(Duration(micros.checked_mul(factor)?.min(LONGEST)))
}
