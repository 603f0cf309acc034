//! Acts that are over: questions that are asked again no more, and an outcome that stays.
//!
//! Picture to hold in mind: pages torn out of the prompt book, with one line written in their place.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Cli, Entry, Journal, Remembered, Run};

impl Cli<'_, '_> {
    /// Begins an act of questions that are torn out of the book together, and tells what came of it if it is over.
    pub fn begin_act(&mut self) -> (usize, Option<Remembered>) {
        let index = self.next_entry();
        let outcome = match self.journal.entries.get(index) {
            Some(Entry::Over { outcome, said }) => {
                self.said = *said;
                Some(outcome.clone())
            }
            Some(_) => None,
            None => {
                self.journal.entries.push(Entry::Remembered(Arc::new(())));
                None
            }
        };
        (index, outcome)
    }
    /// The act that began at `index` is over: `outcome` is all that is kept of it.
    pub fn end_act(&mut self, index: usize, outcome: Remembered) {
        self.journal.entries.truncate(index);
        self.journal.entries.push(Entry::Over { outcome, said: self.said });
        self.cursor = index + 1;
    }

    /// Runs `step` again and again, each time with what the last one left, until it breaks: an act of many steps. What
    /// is over is forgotten but for that state, so that a long run stays as cheap as a short one.
    pub fn fold<S: Clone + Send + Sync + 'static>(
        &mut self,
        initial: S,
        mut step: impl FnMut(&mut Self, S) -> Run<ControlFlow<S, S>>,
    ) -> Run<S> {
        let (index, outcome) = self.begin_act();
        if let Some(outcome) = outcome.and_then(|outcome| outcome.downcast::<S>().ok()) {
            return Ok((*outcome).clone());
        }
        let (mut state, mut inner) = (Arc::new(initial), Journal::default());
        if let Some(Entry::Step { state: left, said, journal }) = self.journal.entries.get_mut(index) {
            self.said = *said;
            inner = std::mem::take(journal);
            state = left.clone().downcast().unwrap_or(state);
        }
        let mut said = self.said;
        loop {
            let outer = std::mem::replace(&mut self.journal, inner);
            let outer_cursor = std::mem::replace(&mut self.cursor, 0);
            let result = step(self, (*state).clone());
            inner = std::mem::replace(&mut self.journal, outer);
            self.cursor = outer_cursor;
            match result {
                Ok(ControlFlow::Continue(next)) => {
                    state = Arc::new(next);
                    inner = Journal::default();
                    said = self.said;
                }
                Ok(ControlFlow::Break(last)) => {
                    self.end_act(index, Arc::new(last.clone()));
                    return Ok(last);
                }
                Err(halt) => {
                    self.journal.entries[index] = Entry::Step { state, said, journal: inner };
                    return Err(halt);
                }
            }
        }
    }
}
