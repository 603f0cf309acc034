//! The names of fields, each kept once.
//!
//! Picture to hold in mind: a rubber stamp for every word that is written often. A thousand pods then hold one
//! `containerStatuses` between them.

use super::Text;

/// As FNV-1a, but eight bytes at a time: field names are short, and looked up often.
#[derive(Clone, Copy)]
struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> NameHasher {
        NameHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut mix = |word: u64| {
            let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed ^ (mixed >> 32);
        };
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
        mix(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
}

type Names = std::collections::HashSet<Text, std::hash::BuildHasherDefault<NameHasher>>;

thread_local! {
    static NAMES: std::cell::RefCell<Names> = std::cell::RefCell::default();
}

/// Names beyond these are not remembered: they are data, not field names.
const MAX_NAMES: usize = 8192;
const MAX_NAME_LENGTH: usize = 64;

/// The one shared text of a field name, which is near at hand whenever a field is looked up. Only memory is shared:
/// nothing depends on what is remembered.
pub fn name(text: impl AsRef<str>) -> Text {
    let text = text.as_ref();
    shared(text, &mut || Text::from(text))
}

/// As [`name`]; what is not known yet is made by `make`.
pub(super) fn shared(text: &str, make: &mut dyn FnMut() -> Text) -> Text {
    if text.len() > MAX_NAME_LENGTH {
        return make();
    }
    NAMES.with(|names| {
        // Busy only if a destructor runs in the middle of this very function.
        let Ok(mut names) = names.try_borrow_mut() else { return make() };
        if let Some(known) = names.get(text) {
            return known.clone();
        }
        let new = make();
        if names.len() < MAX_NAMES {
            names.insert(new.clone());
        }
        new
    })
}
