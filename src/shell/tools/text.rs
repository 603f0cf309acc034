//! Conversions of text: base64 and `printf`.
//!
//! Picture to hold in mind: a typewriter that swaps its letters.

use super::Output;
use crate::api::base64::STANDARD;
use crate::arrange::Gather;

pub(super) fn base64(decode: bool, wrap: usize, input: &str, out: &mut Output) -> i32 {
    if decode {
        // What could be read is written, whatever comes behind it.
        let mut bytes = Vec::new();
        let result = STANDARD.decode_into(input, &mut bytes);
        out.stdout.push_str(&String::from_utf8_lossy(&bytes));
        if result.is_err() {
            out.stderr.push_str("base64: invalid input\n");
        }
        return i32::from(result.is_err());
    }
    let text = STANDARD.encode(input.as_bytes());
    if wrap == 0 {
        out.stdout.push_str(&text);
        return 0;
    }
    for line in text.as_bytes().chunks(wrap) {
        out.line(&String::from_utf8_lossy(line));
    }
    0
}

/// Backslash sequences, as `echo -e` and `printf` know them.
pub fn unescape(text: &str) -> String {
    let mut result = String::new();
    let mut source = text.chars();
    while let Some(character) = source.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match source.next() {
            Some('n') => result.push('\n'),
            Some('t') => result.push('\t'),
            Some('r') => result.push('\r'),
            Some('e') => result.push('\u{1b}'),
            Some('\\') => result.push('\\'),
            Some('"') => result.push('"'),
            Some('0') => result.push('\0'),
            Some(other) => {
                result.push('\\');
                result.push(other);
            }
            None => result.push('\\'),
        }
    }
    result
}

/// The shell's `printf`: the format is used again while arguments remain.
pub fn printf(format: &str, arguments: &[String]) -> String {
    let format = unescape(format);
    let mut result = String::new();
    let mut rest = arguments.iter();
    loop {
        let mut used = false;
        let mut source = format.chars().peekable();
        while let Some(character) = source.next() {
            if character != '%' {
                result.push(character);
                continue;
            }
            let mut specification = String::new();
            let kind = loop {
                match source.next() {
                    Some(c) if c.is_ascii_alphabetic() || c == '%' => break Some(c),
                    Some(c) => specification.push(c),
                    None => break None,
                }
            };
            let Some(kind) = kind else { break };
            if kind == '%' {
                result.push('%');
                continue;
            }
            used = true;
            let argument = rest.next().cloned().unwrap_or_default();
            let left = specification.starts_with('-');
            let zero = specification.trim_start_matches('-').starts_with('0');
            let (width, precision) =
                specification.split_once('.').map_or((specification.as_str(), None), |(w, p)| (w, Some(p)));
            let width =
                width.trim_start_matches(['-', '0', '+', ' ']).parse::<usize>().unwrap_or(0).min(1000);
            let text = match kind {
                'd' | 'i' | 'u' => argument.trim().parse::<i64>().unwrap_or(0).to_string(),
                'x' => format!("{:x}", argument.trim().parse::<i64>().unwrap_or(0)),
                'b' => unescape(&argument),
                'c' => argument.chars().take(1).gather(),
                'q' => format!("'{}'", argument.replace('\'', "'\\''")),
                _ => match precision.and_then(|precision| precision.parse::<usize>().ok()) {
                    Some(precision) => argument.chars().take(precision).gather(),
                    None => argument,
                },
            };
            result.push_str(&match (left, zero && kind != 's') {
                (true, _) => format!("{text:<width$}"),
                (false, true) => format!("{text:0>width$}"),
                _ => format!("{text:>width$}"),
            });
        }
        if !used || rest.len() == 0 || result.len() > 1 << 20 {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printf_repeats_its_format() {
        let arguments: Vec<String> = ["a", "1", "b", "2"].map(String::from).to_vec();
        assert_eq!(printf("%s=%03d\\n", &arguments), "a=001\nb=002\n");
        assert_eq!(printf("%-5s|%5s|", &arguments[..2]), "a    |    1|");
    }
}
