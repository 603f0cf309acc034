//! Chance, out of a seed.
//!
//! Picture to hold in mind: one long printed table of random digits per seed, and a bookmark for each actor.
//! Every actor draws from a stream of its own, so a new draw in one never shifts the draws of another.

use rand_core::Rng;
use rand_pcg::Pcg64Mcg;

use super::time::Duration;

/// A seeded stream of random numbers. Cloned with the actor that owns it.
#[derive(Clone, Debug)]
pub struct Random {
    generator: Pcg64Mcg,
}

impl Random {
    /// The stream called `name` of the run with `seed`: equal arguments, equal stream.
    pub fn stream(seed: u64, name: &str) -> Random {
        // FNV-1a over the name: a fixed function, unlike the standard library's hashers.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        // The generator's state must be odd, so a seed's last bit would be lost: it has its say in the other half.
        if seed.is_multiple_of(2) {
            hash ^= 0x9e37_79b9_7f4a_7c15;
        }
        let mut random = Random { generator: Pcg64Mcg::new((u128::from(hash) << 64 | u128::from(seed)) | 1) };
        // The first outputs of neighbouring seeds are alike in a multiplicative generator.
        for _ in 0..4 {
            random.next();
        }
        random
    }
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.generator.next_u64()
    }
    /// A whole number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: the bias of at most bound/2^64 is of no consequence here, and it needs no loop.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
    /// A whole number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration(self.between(low.0, high.0))
    }
    /// True `per_million` times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }
    /// `length` characters of the alphabet that Kubernetes uses for generated names: no vowels, so no words
    /// (`k8s.io/apimachinery/pkg/util/rand`).
    pub fn suffix(&mut self, length: usize) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length).map(|_| char::from(ALPHABET[self.below(ALPHABET.len() as u64) as usize])).collect()
    }
    /// A version 4 UUID, as the API server gives every object.
    pub fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        let version = (a & 0xffff_ffff_ffff_0fff) | 0x4000;
        let variant = (b & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        let (mut letters, mut end) = ([b'-'; 36], 0);
        for place in 0..32 {
            if matches!(place, 8 | 12 | 16 | 20) {
                end += 1;
            }
            let word = if place < 16 { version } else { variant };
            let digit = (word >> (60 - 4 * (place % 16))) as u8 & 0xf;
            letters[end] = digit + if digit < 10 { b'0' } else { b'a' - 10 };
            end += 1;
        }
        String::from_utf8_lossy(&letters).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_name_and_by_seed_and_repeat() {
        let draw = |seed, name| Random::stream(seed, name).next();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(2, "a"), draw(3, "a"));
    }

    #[test]
    fn a_uuid_has_the_form_of_version_4() {
        let uuid = Random::stream(7, "uid").uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"));
    }
}
