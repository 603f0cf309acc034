//! How much a version of a key takes in the database.
//!
//! Picture to hold in mind: a pair of scales beside the ledger. A line weighs what its key and its value weigh as
//! text, and the paper it is written on: Kubernetes' objects count as the JSON that etcd would keep with
//! `--storage-media-type=application/json`. Nothing is written out to be weighed.

use crate::api::Value;
use crate::message::etcd::KeyValue;

/// The revision as key, and protobuf's headers of the fields.
const OVERHEAD: u64 = 17 + 21;

/// What a version weighs.
pub(super) fn stored_bytes(pair: &KeyValue) -> u64 {
    let value = match &pair.value {
        Value::String(text) => text.len() as u64,
        value => value.json_bytes(),
    };
    OVERHEAD + pair.key.len() as u64 + value
}

pub(super) fn tombstone_bytes(key: &str) -> u64 {
    // A tombstone keeps the key alone.
    OVERHEAD / 2 + key.len() as u64
}
