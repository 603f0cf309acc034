//! Short names for contents: pod-template-hash, controller-revision-hash.
//!
//! Picture to hold in mind: a cloakroom ticket made from the coat itself: the same coat, the same number.
//!
//! Upstream hashes Go's dump of the struct (`ComputeHash`), which exists nowhere else; here the canonical JSON
//! goes through the same FNV-1a and the same alphabet, so hashes look alike and are as stable.

use crate::api::Value;

const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a, 32 bits.
pub fn fnv32a(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// FNV-1a, 128 bits.
pub fn fnv128a(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// Digits and letters as letters that cannot spell words (`rand.SafeEncodeString`).
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

/// The hash of `content`; after a collision (`collisions` is `Some`) another one.
pub fn of(content: &Value, collisions: Option<i64>) -> String {
    let mut text = content.to_string();
    if let Some(collisions) = collisions {
        // Upstream adds the counter's eight bytes, lowest first.
        text.extend(collisions.to_le_bytes().iter().map(|byte| char::from(*byte)));
    }
    safe_encode(&fnv32a(text.bytes()).to_string())
}

/// The hash of a ControllerRevision's `data` (`HashControllerRevision`): FNV-1 over its JSON as Go prints it,
/// so that a StatefulSet's revision is named as a real cluster names it.
pub fn of_revision(data: &Value, collisions: i64) -> String {
    let text = data.to_string();
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let hash = text
        .bytes()
        .chain(collisions.to_string().bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte));
    safe_encode(&hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    #[test]
    fn hashes_are_stable_and_collisions_move_them() {
        assert_eq!(fnv32a(*b"a"), 0xe40c_292c);
        assert_eq!(fnv128a("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
        let template = object! { "spec" => object! { "nodeName" => "a" } };
        assert_eq!(of(&template, None), of(&template.clone(), None));
        assert_ne!(of(&template, None), of(&template, Some(1)));
    }
}
