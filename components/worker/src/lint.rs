//! Problems of a manifest, where the editor can underline them.
//!
//! Picture to hold in mind: a translator between two rulers: the API counts bytes, the browser UTF-16 units.

use clusterarium::api::diagnose::{self, diagnose};
use clusterarium::api::kind::Registry;
use clusterarium::arrange::Arrange;

use crate::protocol::{Diagnostic, Severity};

/// Problems that are shown at most: past this a text is better mended than read about.
const MOST: usize = 200;

/// What an API server with these resources, or kubectl before it, would say of `text`.
pub fn lint(text: &str, registry: &Registry) -> Vec<Diagnostic> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let found = diagnose(text, registry);
    // Bytes to UTF-16 units, for all places in one walk.
    let mut places: Vec<usize> =
        found.iter().take(MOST).flat_map(|one| [one.span.start.offset, one.span.end.offset]).collect();
    places.arrange();
    places.dedup();
    let mut units = Vec::with_capacity(places.len());
    let (mut count, mut next) = (0_u32, 0);
    for (offset, letter) in text.char_indices() {
        while next < places.len() && places[next] <= offset {
            units.push(count);
            next += 1;
        }
        count += letter.len_utf16() as u32;
    }
    units.resize(places.len(), count);
    let unit = |offset: usize| places.binary_search(&offset).map_or(count, |index| units[index]);
    found
        .into_iter()
        .take(MOST)
        .map(|one| Diagnostic {
            from: unit(one.span.start.offset),
            to: unit(one.span.end.offset),
            severity: match one.severity {
                diagnose::Severity::Error => Severity::Error,
                diagnose::Severity::Warning => Severity::Warning,
            },
            message: if one.path.is_empty() || one.message.contains(&one.path) {
                one.message
            } else {
                format!("{}: {}", one.path, one.message)
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_underlined_where_it_stands() {
        let text = "# ü\u{1F600}\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: x\n    imagee: nginx\n";
        let found = lint(text, &Registry::new());
        let units: Vec<u16> = text.encode_utf16().collect();
        let marked: Vec<String> = found
            .iter()
            .map(|one| String::from_utf16_lossy(&units[one.from as usize..one.to as usize]))
            .collect();
        assert!(marked.iter().any(|text| text.contains("imagee")), "{found:?}: {marked:?}");
    }

    #[test]
    fn bad_input_is_told_and_survived() {
        for text in ["a: [", "\u{0}", "a: &x [*x]", &"[".repeat(5000), "---\n---\n", "kind: Pod"] {
            for one in lint(text, &Registry::new()) {
                assert!(one.from <= one.to);
                assert!(!one.message.is_empty());
            }
        }
        assert_eq!(lint(" \n", &Registry::new()), []);
    }
}
