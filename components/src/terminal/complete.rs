//! The Tab key: what may stand at the cursor is asked of the worker, and filled in as far as it is certain.
//!
//! Picture to hold in mind: a prompter who finishes a word when only one will do, and else holds up a board with
//! all that would. A question that was overtaken by further typing is forgotten.

use leptos::{html, prelude::*};
use worker::protocol::{Completion, FromWorker, ToWorker, terminal};

use crate::cluster::Cluster;

#[derive(Clone, Copy)]
pub struct Complete {
    cluster: Cluster,
    /// The question that is open: its number, and what stood before the cursor.
    asked: StoredValue<(u64, String)>,
    /// Where the word at the cursor begins, in characters.
    from: StoredValue<usize>,
    /// Words to choose from, while there are several.
    pub offered: RwSignal<Vec<String>>,
}

impl Complete {
    pub fn new(cluster: Cluster, entry: NodeRef<html::Input>) -> Complete {
        let complete = Complete {
            cluster,
            asked: StoredValue::new((0, String::new())),
            from: StoredValue::new(0),
            offered: RwSignal::new(Vec::new()),
        };
        cluster.listen(move |slip| {
            if let FromWorker::Completion { id, completion } = slip
                && let Some(entry) = entry.get_untracked()
            {
                complete.answered(&entry, *id, completion);
            }
        });
        complete
    }

    /// What stands before the cursor, and after it.
    fn around(entry: &web_sys::HtmlInputElement) -> (String, String) {
        let units: Vec<u16> = entry.value().encode_utf16().collect();
        let at = entry.selection_start().ok().flatten().map_or(units.len(), |at| at as usize);
        let (before, after) = units.split_at(at.min(units.len()));
        (String::from_utf16_lossy(before), String::from_utf16_lossy(after))
    }

    pub fn ask(self, entry: &web_sys::HtmlInputElement) {
        let (line, _) = Complete::around(entry);
        let id = self.asked.with_value(|(id, _)| id + 1);
        self.asked.set_value((id, line.clone()));
        self.cluster.send(&ToWorker::Complete { id, session: terminal::PANEL, line });
    }

    fn answered(self, entry: &web_sys::HtmlInputElement, id: u64, completion: &Completion) {
        // Somebody typed on meanwhile: the answer is to another question.
        if self.asked.get_value() != (id, Complete::around(entry).0) {
            return;
        }
        self.from.set_value(completion.from);
        let Some(common) = common_beginning(&completion.candidates) else {
            return self.offered.set(Vec::new());
        };
        match completion.candidates.as_slice() {
            [only] => {
                self.offered.set(Vec::new());
                self.take(entry, only);
            }
            several => {
                self.write(entry, &common);
                self.offered.set(several.to_vec());
            }
        }
    }

    /// Writes `word` whole; what does not go on is followed by a blank.
    pub fn take(self, entry: &web_sys::HtmlInputElement, word: &str) {
        let blank = if word.ends_with(['/', '=']) { "" } else { " " };
        self.write(entry, &format!("{word}{blank}"));
        self.offered.set(Vec::new());
    }

    fn write(self, entry: &web_sys::HtmlInputElement, word: &str) {
        let (before, after) = Complete::around(entry);
        let before: String = before.chars().take(self.from.get_value()).collect::<String>() + word;
        let end = before.encode_utf16().count() as u32;
        entry.set_value(&(before + &after));
        // A text field always has a selection to set.
        let _ = entry.set_selection_range(end, end);
    }
}

/// What all `words` begin with; `None` where there are none.
fn common_beginning(words: &[String]) -> Option<String> {
    let (first, rest) = words.split_first()?;
    let length = first
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8())
        .take_while(|end| rest.iter().all(|word| word.get(..*end) == first.get(..*end)))
        .last();
    Some(first[..length.unwrap_or(0)].to_string())
}

#[cfg(test)]
mod tests {
    use super::common_beginning;

    #[test]
    fn several_words_are_written_as_far_as_they_agree() {
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let cases = [("pods", "pods"), ("nodes namespaces", "n"), ("a b", ""), ("\u{e9}t \u{e9}a", "\u{e9}")];
        for (given, common) in cases {
            assert_eq!(common_beginning(&words(given)).as_deref(), Some(common));
        }
        assert_eq!(common_beginning(&[]), None);
    }
}
