//! Straight-line code that waits for answers, without a thread and without a future.
//!
//! Picture to hold in mind: an actor on a stage who, each time a letter arrives, starts the scene again from
//! the first line. What was asked before is answered from the prompt book at once, so the scene runs through
//! to the first question that has no answer yet, and there it stops until the next letter.
//!
//! The prompt book (the journal) is plain data: it is cloned with the checkpoint, which a future cannot be
//! (`docs/architecture.md`, invariant 2). The function must reach the same questions in the same order each
//! time, so it reads only what does not change under it: a snapshot of the stores, the instant at which it
//! began, and the answers. What it does besides asking (events, counters) goes through [`Journal::once`].

/// Questions that were asked so far, with the answers that came.
#[derive(Clone, Debug)]
pub struct Journal<A> {
    steps: Vec<Vec<Option<A>>>,
    position: usize,
    effects_done: usize,
    effects_seen: usize,
    facts: Vec<i64>,
    facts_seen: usize,
}

impl<A> Default for Journal<A> {
    fn default() -> Journal<A> {
        Journal {
            steps: Vec::new(),
            position: 0,
            effects_done: 0,
            effects_seen: 0,
            facts: Vec::new(),
            facts_seen: 0,
        }
    }
}

/// The scene stops here until an answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting;

/// Where the answer to a question belongs: step and place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub step: usize,
    pub index: usize,
}

impl<A: Clone> Journal<A> {
    /// Back to the first line: call before each run of the function.
    pub fn rewind(&mut self) {
        self.position = 0;
        self.effects_seen = 0;
        self.facts_seen = 0;
    }
    /// The answers to a step of `count` questions; `ask` is called for each, the first time only, with the
    /// place under which its answer is to be [`Journal::answer`]ed.
    pub fn ask(&mut self, count: usize, mut ask: impl FnMut(Place)) -> Result<Vec<A>, Waiting> {
        let step = self.position;
        if step == self.steps.len() {
            self.steps.push(vec![None; count]);
            for index in 0..count {
                ask(Place { step, index });
            }
        }
        let answers: Option<Vec<A>> = self.steps[step].iter().cloned().collect();
        match answers {
            Some(answers) => {
                self.position += 1;
                Ok(answers)
            }
            None => Err(Waiting),
        }
    }
    /// Writes an answer down; true if the function should run again now, false while others are missing.
    pub fn answer(&mut self, place: Place, answer: A) -> bool {
        let Some(step) = self.steps.get_mut(place.step) else { return false };
        if let Some(slot) = step.get_mut(place.index) {
            *slot = Some(answer);
        }
        step.iter().all(Option::is_some)
    }
    /// True the first time that the function comes by here: for what must not be done twice.
    pub fn once(&mut self) -> bool {
        self.effects_seen += 1;
        let is_first = self.effects_seen > self.effects_done;
        if is_first {
            self.effects_done = self.effects_seen;
        }
        is_first
    }
    /// What `look` saw the first time that the function came by here: for reading what changes under it.
    pub fn remember(&mut self, look: impl FnOnce() -> i64) -> i64 {
        let place = self.facts_seen;
        self.facts_seen += 1;
        if place == self.facts.len() {
            self.facts.push(look());
        }
        self.facts[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for two numbers at once, then for one that depends on them; counts its side effects.
    fn scene(journal: &mut Journal<u32>, asked: &mut Vec<Place>, effects: &mut u32) -> Result<u32, Waiting> {
        journal.rewind();
        let numbers = journal.ask(2, |place| asked.push(place))?;
        if journal.once() {
            *effects += 1;
        }
        let factor = journal.ask(1, |place| asked.push(place))?[0];
        Ok((numbers[0] + numbers[1]) * factor)
    }

    #[test]
    fn a_scene_runs_to_the_first_open_question() {
        let (mut journal, mut asked, mut effects) = (Journal::default(), Vec::new(), 0);
        assert_eq!(scene(&mut journal, &mut asked, &mut effects), Err(Waiting));
        assert_eq!(asked.len(), 2);
        assert!(!journal.answer(asked[1], 4));
        assert!(journal.answer(asked[0], 3));
        assert_eq!(scene(&mut journal, &mut asked, &mut effects), Err(Waiting));
        assert_eq!((asked.len(), effects), (3, 1));
        assert!(journal.answer(asked[2], 6));
        assert_eq!(scene(&mut journal, &mut asked, &mut effects), Ok(42));
        assert_eq!((asked.len(), effects), (3, 1));
    }

    #[test]
    fn a_step_of_no_questions_is_answered_at_once() {
        let mut journal: Journal<u32> = Journal::default();
        assert_eq!(journal.ask(0, |_| {}), Ok(vec![]));
    }
}
