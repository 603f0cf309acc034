//! Where the listener hands requests to the simulation.
//!
//! Picture to hold in mind: the counter of the post office. A letter gets a number, and whoever handed it in waits at the
//! counter with that number; who walks away is crossed off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender as Orders;

use clusterarium::api::status::Status;
use clusterarium::message::http::{Answer, Media, Part, Request as Letter};
use tokio::sync::mpsc::{self, Receiver};

use super::simulation::Order;

/// Events that a watch may be behind before it is cut off.
const BACKLOG: usize = 16_384;

pub struct Desk {
    orders: Orders<Order>,
    next_exchange: AtomicU64,
}

impl Desk {
    pub fn new(orders: Orders<Order>) -> Desk {
        Desk { orders, next_exchange: AtomicU64::new(1) }
    }

    /// Hands a request in.
    ///
    /// # Errors
    /// 503 when the simulation has stopped.
    pub fn hand_in(&self, request: Letter) -> Result<Waiting, Status> {
        let exchange = self.next_exchange.fetch_add(1, Ordering::Relaxed);
        let (parts, received) = mpsc::channel(BACKLOG);
        let order = Order::Request { exchange, request, parts };
        if self.orders.send(order).is_err() {
            return Err(Status::service_unavailable("the simulation has stopped"));
        }
        Ok(Waiting { received, exchange, orders: self.orders.clone(), is_over: false })
    }

    /// Hands a request in and waits for its whole answer; a refusal is an answer too.
    pub async fn ask(&self, request: Letter) -> Answer {
        match self.hand_in(request) {
            Ok(mut waiting) => waiting.answer().await,
            Err(status) => refusal(&status),
        }
    }
}

/// Who waits for an answer. When it is dropped before the end, the simulation hears that the client has gone.
pub struct Waiting {
    pub received: Receiver<Part>,
    exchange: u64,
    orders: Orders<Order>,
    is_over: bool,
}

impl Waiting {
    /// The next part of the answer; `None` when no more will come.
    pub async fn next(&mut self) -> Option<Part> {
        let part = self.received.recv().await;
        self.seen(part.as_ref());
        part
    }
    /// The whole answer; nothing is lost when this is dropped half-way and asked again.
    pub async fn answer(&mut self) -> Answer {
        match self.next().await {
            Some(Part::Whole(answer)) => answer,
            _ => refusal(&Status::service_unavailable("the request was not answered")),
        }
    }
    pub fn is_over(&self) -> bool {
        self.is_over
    }
    /// Remembers that the last part has come, for one who reads [`Waiting::received`] himself.
    pub fn seen(&mut self, part: Option<&Part>) {
        self.is_over |= matches!(part, None | Some(Part::Whole(_) | Part::End | Part::Broken));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.orders.send(Order::HangUp { exchange: self.exchange });
        }
    }
}

/// A refusal as the answer that carries it.
pub fn refusal(status: &Status) -> Answer {
    Answer {
        code: status.code,
        media: Media::Json { pretty: false },
        body: status.to_value(),
        warnings: Vec::new(),
        retry_after_seconds: None,
    }
}
