//! Who did what to one object on its way to storage: seen by whoever has asked to look closely.
//!
//! Picture to hold in mind: a second camera over the desks of the town hall. It is off, and costs nothing; to know what
//! a desk did to a form, the hour is played again with the camera on.

use crate::api::Value;

use super::ApiServer;
use super::watchers::ExchangeId;

/// The last attempt at one write.
#[derive(Clone)]
pub(super) struct Witness {
    exchange: ExchangeId,
    /// Whose turn it was, and the object before it.
    seen: Vec<(&'static str, Value)>,
}

impl ApiServer {
    /// From now on it is noted what becomes of the request `number` of `client`. Nothing else changes by that.
    pub fn watch_closely(&mut self, client: crate::sim::ActorId, number: u64) {
        self.witness = Some(Box::new(Witness { exchange: (client, number), seen: Vec::new() }));
    }
    /// Whose turn it was (an admission plugin's name, `Defaulting`, `Strategy`, `Validation`, `Storage`), and the object
    /// before it. A request that was refused was so by the last.
    pub fn seen(&self) -> &[(&'static str, Value)] {
        self.witness.as_ref().map_or(&[], |witness| &witness.seen)
    }
    pub(super) fn see(&mut self, exchange: ExchangeId, name: &'static str, object: &Value) {
        if let Some(witness) = &mut self.witness
            && witness.exchange == exchange
        {
            witness.seen.push((name, object.clone()));
        }
    }
    /// A new attempt begins.
    pub(super) fn see_anew(&mut self, exchange: ExchangeId) {
        if let Some(witness) = &mut self.witness
            && witness.exchange == exchange
        {
            witness.seen.clear();
        }
    }
}
