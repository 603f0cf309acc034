//! The numbers by which members and clusters know one another (etcd's `membership/member.go`, `cluster.go`).
//!
//! Picture to hold in mind: a fingerprint. It is taken of the address at which a member is found and of the cluster's
//! name, so that everybody who is started with the same list of founders gives them the same numbers.

use crate::arrange::Arrange;
use crate::message::raft::MemberId;

/// `--initial-cluster-token`, unless it is given.
pub const TOKEN: &str = "etcd-cluster";

/// The number of a member. One that is added to a cluster that exists has the second of its addition in it, so that an
/// address may be used again.
pub fn member_id(peer_urls: &[&str], token: &str, added_seconds: Option<u64>) -> MemberId {
    let mut urls = peer_urls.to_vec();
    urls.arrange();
    let mut text = urls.concat() + token;
    if let Some(seconds) = added_seconds {
        text += &seconds.to_string();
    }
    MemberId(fingerprint(text.as_bytes()))
}

/// The number of a cluster, made of its founders'.
pub fn cluster_id(founders: impl IntoIterator<Item = MemberId>) -> u64 {
    let mut ids: Vec<u64> = founders.into_iter().map(|id| id.0).collect();
    ids.arrange();
    let bytes: Vec<u8> = ids.into_iter().flat_map(u64::to_be_bytes).collect();
    fingerprint(&bytes)
}

/// The first eight bytes of SHA-1.
fn fingerprint(data: &[u8]) -> u64 {
    let digest = digest(data);
    digest[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// SHA-1.
pub(super) fn digest(data: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut message = data.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend((data.len() as u64 * 8).to_be_bytes());
    for block in message.chunks_exact(64) {
        let mut words = [0u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for at in 16..80 {
            words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.into_iter().enumerate() {
            let (mix, constant) = match at / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6u32),
            };
            let next = a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant);
            (e, d, c, b) = (d, c, b.rotate_left(30), a);
            a = next.wrapping_add(word);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a real cluster of three was seen to call itself.
    #[test]
    fn the_numbers_are_those_of_a_real_cluster() {
        let ids = ["31380", "32380", "33380"]
            .map(|port| member_id(&[&format!("http://127.0.0.1:{port}")], TOKEN, None));
        assert_eq!(ids.map(|id| id.0), [0x8dda_b735_34be_950c, 0x0628_170c_800d_bcee, 0x5c76_a90a_e78b_cee7]);
        assert_eq!(cluster_id(ids), 6_541_510_294_846_512_225);
        let alone = member_id(&["http://localhost:2380"], TOKEN, None);
        assert_eq!((alone.0, cluster_id([alone])), (0x8e9e_05c5_2164_694d, 0xcdf8_1819_4e3a_8c32));
    }
}
