//! What is due, and when.
//!
//! Picture to hold in mind: a sorted pile of numbered tickets, and a cloakroom where what they stand for hangs. Only
//! tickets are shuffled; a coat stays on its hook until its number is up. Whoever comes back only tomorrow has his ticket
//! on a second pile, so that the one which everybody reaches into stays low.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::time::Time;

/// Whose turn it is, and on which hook.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ticket {
    /// The instant, and below it the place in the order of all that was ever put here: one number to compare.
    turn: u128,
    hook: u32,
}

impl Ticket {
    fn new(time: Time, sequence: u64, hook: u32) -> Ticket {
        Ticket { turn: u128::from(time.0) << 64 | u128::from(sequence), hook }
    }
    fn time(self) -> Time {
        Time((self.turn >> 64) as u64)
    }
    fn sequence(self) -> u64 {
        self.turn as u64
    }
}

impl PartialOrd for Ticket {
    fn partial_cmp(&self, other: &Ticket) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ticket {
    /// Reversed: the heap's greatest is the earliest.
    fn cmp(&self, other: &Ticket) -> Ordering {
        other.turn.cmp(&self.turn)
    }
}

/// How far the low pile reaches at first, in microseconds: some times a message's way. Most of what waits is timers, due in
/// seconds or minutes; most of what comes and goes is messages.
const NEAR_US: u64 = 20_000;

/// Things in the order of (instant, sequence).
#[derive(Clone)]
pub(super) struct Queue<T> {
    /// What is due by `near_until`; empty only when there is nothing at all.
    near: BinaryHeap<Ticket>,
    far: BinaryHeap<Ticket>,
    near_until: Time,
    hooks: Vec<Option<T>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue {
            near: BinaryHeap::new(),
            far: BinaryHeap::new(),
            near_until: Time::ZERO,
            hooks: Vec::new(),
            free: Vec::new(),
            sequence: 0,
        }
    }
    #[cfg_attr(published, optimize(speed))]
    pub fn push(&mut self, time: Time, item: T) {
        self.sequence += 1;
        let hook = self.free.pop().unwrap_or_else(|| {
            self.hooks.push(None);
            self.hooks.len() as u32 - 1
        });
        self.hooks[hook as usize] = Some(item);
        self.put(Ticket::new(time, self.sequence, hook));
        self.draw_near();
    }
    #[cfg_attr(published, optimize(speed))]
    fn put(&mut self, ticket: Ticket) {
        let pile = if ticket.time() <= self.near_until { &mut self.near } else { &mut self.far };
        pile.push(ticket);
    }
    /// When all that was near is gone, the next thing that is due becomes near, and what comes soon after it.
    #[cfg_attr(published, optimize(speed))]
    fn draw_near(&mut self) {
        if !self.near.is_empty() {
            return;
        }
        let Some(first) = self.far.peek() else { return };
        self.near_until = Time(first.time().0.saturating_add(NEAR_US));
        while let Some(ticket) = self.far.peek().copied().filter(|ticket| ticket.time() <= self.near_until) {
            self.far.pop();
            self.near.push(ticket);
        }
    }
    #[cfg_attr(published, optimize(speed))]
    pub fn pop(&mut self) -> Option<(Time, T)> {
        let ticket = self.near.pop()?;
        self.draw_near();
        self.free.push(ticket.hook);
        Some((ticket.time(), self.hooks[ticket.hook as usize].take()?))
    }
    pub fn next_time(&self) -> Option<Time> {
        self.near.peek().map(|ticket| ticket.time())
    }
    /// All of it, in no order, with what makes the order.
    pub fn iter(&self) -> impl Iterator<Item = ((Time, u64), &T)> {
        self.near.iter().chain(&self.far).filter_map(|ticket| {
            Some(((ticket.time(), ticket.sequence()), self.hooks[ticket.hook as usize].as_ref()?))
        })
    }
    /// Gives what `is_meant` another instant, or none: then it is gone. Says which instants it got.
    pub fn postpone(
        &mut self,
        is_meant: impl Fn(&T) -> bool,
        to: impl Fn(Time) -> Option<Time>,
    ) -> Vec<Option<Time>> {
        let mut moved = Vec::new();
        let [near, far] = [&mut self.near, &mut self.far].map(|pile| std::mem::take(pile).into_vec());
        for ticket in near.into_iter().chain(far) {
            let place = &mut self.hooks[ticket.hook as usize];
            if !place.as_ref().is_some_and(&is_meant) {
                self.put(ticket);
                continue;
            }
            let time = to(ticket.time());
            moved.push(time);
            match time {
                Some(time) => self.put(Ticket::new(time, ticket.sequence(), ticket.hook)),
                None => {
                    *place = None;
                    self.free.push(ticket.hook);
                }
            }
        }
        self.draw_near();
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_equals_come_in_order() {
        let mut queue = Queue::new();
        for (time, item) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (9, 'x'), (5, 'e')] {
            queue.push(Time(time), item);
        }
        assert_eq!(queue.pop(), Some((Time(1), 'a')));
        queue.push(Time(5), 'f');
        assert_eq!(queue.postpone(|item| *item == 'x', |_| None), [None]);
        assert_eq!(queue.postpone(|item| *item == 'b', |time| Some(Time(time.0 + 4))), [Some(Time(7))]);
        let order: Vec<char> = std::iter::from_fn(|| queue.pop()).map(|(_, item)| item).collect();
        assert_eq!(order, ['c', 'd', 'e', 'f', 'b']);
        assert_eq!(queue.iter().count(), 0);
    }
}
