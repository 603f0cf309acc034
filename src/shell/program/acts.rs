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
        match self.journal.entries.get(index) {
            Some(Entry::Fold { state, said, finished: true, .. }) => {
                self.said = *said;
                (index, Some(state.clone()))
            }
            Some(_) => (index, None),
            None => {
                self.journal.entries.push(Entry::Remembered(Arc::new(())));
                (index, None)
            }
        }
    }
    /// The act that began at `index` is over: `outcome` is all that is kept of it.
    pub fn end_act(&mut self, index: usize, outcome: Remembered) {
        self.journal.entries.truncate(index);
        self.journal.entries.push(Entry::Fold {
            state: outcome,
            said: self.said,
            journal: Journal::default(),
            finished: true,
        });
        self.cursor = index + 1;
    }

    /// Runs `step` again and again, each time with what the last one left, until it breaks. What is over is
    /// forgotten but for that state, so that a long run stays as cheap as a short one.
    pub fn fold<S: Clone + Send + Sync + 'static>(
        &mut self,
        initial: S,
        mut step: impl FnMut(&mut Self, S) -> Run<ControlFlow<S, S>>,
    ) -> Run<S> {
        let index = self.next_entry();
        let (mut state, mut inner) = match self.journal.entries.get_mut(index) {
            Some(Entry::Fold { state, said, journal, finished }) => {
                self.said = *said;
                let state = state.clone().downcast::<S>().unwrap_or_else(|_| Arc::new(initial));
                if *finished {
                    return Ok((*state).clone());
                }
                (state, std::mem::take(journal))
            }
            _ => {
                self.journal.entries.truncate(index);
                self.journal.entries.push(Entry::Fold {
                    state: Arc::new(()),
                    said: self.said,
                    journal: Journal::default(),
                    finished: false,
                });
                (Arc::new(initial), Journal::default())
            }
        };
        let mut said_before = self.said;
        loop {
            let outer = std::mem::replace(&mut self.journal, inner);
            let outer_cursor = std::mem::replace(&mut self.cursor, 0);
            let result = step(self, (*state).clone());
            inner = std::mem::replace(&mut self.journal, outer);
            self.cursor = outer_cursor;
            let (halt, finished) = match result {
                Ok(ControlFlow::Continue(next)) => {
                    state = Arc::new(next);
                    inner = Journal::default();
                    said_before = self.said;
                    continue;
                }
                Ok(ControlFlow::Break(last)) => {
                    state = Arc::new(last);
                    inner = Journal::default();
                    said_before = self.said;
                    (None, true)
                }
                Err(halt) => (Some(halt), false),
            };
            self.journal.entries[index] =
                Entry::Fold { state: state.clone(), said: said_before, journal: inner, finished };
            return match halt {
                Some(halt) => Err(halt),
                None => Ok((*state).clone()),
            };
        }
    }
}
