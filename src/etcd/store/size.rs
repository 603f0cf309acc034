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
        value => json_bytes(value),
    };
    OVERHEAD + pair.key.len() as u64 + value
}

pub(super) fn tombstone_bytes(key: &str) -> u64 {
    // A tombstone keeps the key alone.
    OVERHEAD / 2 + key.len() as u64
}

fn json_bytes(value: &Value) -> u64 {
    match value {
        Value::Null => 4,
        Value::Bool(is) => 5 - u64::from(*is),
        Value::Integer(number) => digits(*number),
        Value::Float(_) => value.to_string().len() as u64,
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            2 + items.iter().map(|item| json_bytes(item) + 1).sum::<u64>().saturating_sub(1)
        }
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| quoted(name) + 1 + json_bytes(value) + 1);
            2 + fields.sum::<u64>().saturating_sub(1)
        }
    }
}

fn digits(number: i64) -> u64 {
    let magnitude = number.unsigned_abs();
    u64::from(number < 0) + u64::from(magnitude.checked_ilog10().unwrap_or(0)) + 1
}

/// With quotes, and escapes as JSON has them.
fn quoted(text: &str) -> u64 {
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..32 => 5,
        _ => 0,
    });
    2 + text.len() as u64 + escapes.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighing_is_as_writing_out() {
        for json in [
            r#"{"a":[1,-20,300000,null,true,false],"b":{"c":"x\"y\n","d":""},"e":[],"f":{}}"#,
            r#"[1.5,"\u0001",{"x":[[]]}]"#,
            "0",
        ] {
            let value: Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(json_bytes(&value), value.to_string().len() as u64, "{json}");
        }
    }
}
