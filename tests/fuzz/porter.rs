//! Hands requests in at the gateway of a hollow cluster, and waits for what comes out.

use clusterarium::api::Value;
use clusterarium::command::{Command, Scenario};
use clusterarium::console::Console;
use clusterarium::message::http::{Media, Part, Request};
use clusterarium::note::Note;
use clusterarium::sim::trace::What;
use clusterarium::sim::{Duration, RecordId};

/// The gateway gives up after a minute; nobody may be kept longer.
const PATIENCE: Duration = Duration::from_secs(70);
/// Far more than the whole cluster does in a minute.
const EVENTS: u64 = 400_000;
/// Commands after which what has been is let go.
const LOG: u64 = 500;

pub struct Answer {
    pub code: u16,
    pub body: Value,
}

pub struct Porter {
    console: Console,
    exchange: u64,
}

impl Porter {
    pub fn new(seed: u64) -> Porter {
        let mut console = Console::boot(seed, Scenario { hollow: true, workers: 1, ..Scenario::default() });
        assert!(console.settle(|_| {}), "the cluster did not come up");
        Porter { console, exchange: 0 }
    }
    /// The answer, or how a stream begins, which then is hung up on.
    pub fn ask(&mut self, request: &Request) -> Answer {
        self.exchange += 1;
        let history = &mut self.console.history;
        if self.exchange.is_multiple_of(LOG) {
            history.forget();
        }
        let mut next = history.trace.range().end;
        history.command(Command::Http { exchange: self.exchange, request: request.clone() });
        let (limit, events) = (history.now() + PATIENCE, history.engine().events() + EVENTS);
        loop {
            for id in next..history.trace.range().end {
                let Some(record) = history.trace.get(RecordId(id)) else { continue };
                let What::Note { note: Note::Http { exchange, part }, .. } = &record.what else { continue };
                if *exchange != self.exchange {
                    continue;
                }
                let (answer, is_stream) = match part {
                    Part::Whole(answer) => (answer.clone(), false),
                    Part::Opening(answer) => (answer.clone(), true),
                    Part::Piece(_) | Part::End | Part::Broken => {
                        panic!("no beginning of an answer to {request:?}")
                    }
                };
                let is_json = matches!(answer.media, Media::Json { .. });
                let body = if is_json && !is_stream { answer.body } else { Value::Null };
                if is_stream {
                    history.command(Command::HangUp { exchange: self.exchange });
                }
                return Answer { code: answer.code, body };
            }
            next = history.trace.range().end;
            assert!(history.engine().events() < events, "too much is done for {request:?}");
            assert!(history.step(limit).is_some(), "no answer to {request:?}");
        }
    }
}
