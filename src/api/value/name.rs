//! The names of fields, each kept once.
//!
//! Picture to hold in mind: a board with hooks, on which a rubber stamp for every word hangs that is written often. A
//! thousand pods then hold one `containerStatuses` between them. Where two words share a hook, the last one hangs there.

use std::cell::RefCell;

use super::Text;
use super::map::{last_eight, tab};

const HOOKS: usize = 4096;

thread_local! {
    static NAMES: RefCell<Vec<Text>> = const { RefCell::new(Vec::new()) };
}

/// Longer ones are not remembered: they are data, not field names.
const MAX_NAME_LENGTH: usize = 64;

/// The one shared text of a field name, which is near at hand whenever a field is looked up. Only memory is shared:
/// nothing depends on what is remembered.
pub fn name(text: impl AsRef<str>) -> Text {
    shared(text.as_ref(), tab(text.as_ref().as_bytes()))
}

/// As [`name`], of a text whose tab is `tab`.
#[cfg_attr(published, optimize(speed))]
pub(super) fn shared(text: &str, tab: u64) -> Text {
    if text.len() > MAX_NAME_LENGTH {
        return text.into();
    }
    let bytes = text.as_bytes();
    let ends = tab ^ last_eight(bytes).unwrap_or(tab).rotate_left(13);
    let hook = (ends.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % HOOKS;
    NAMES.with_borrow_mut(|names| {
        if names.is_empty() {
            names.resize(HOOKS, Text::new());
        }
        let known = &mut names[hook];
        if known.as_str() != text {
            *known = text.into();
        }
        known.clone()
    })
}
