//! The shapes that names and label values may have, and the words for those that do not.
//!
//! Picture to hold in mind: a set of stencils. A text either fits through one, or the stencil itself is
//! shown, with an example cut from it.
//!
//! Follows `k8s.io/apimachinery/pkg/api/validate/content`. Each check returns its complaints, none when the
//! text is fine. The stencils are written as plain loops: a regular-expression engine would cost the page
//! more than this whole module.

pub const DNS1123_LABEL_MAX_LENGTH: usize = 63;
pub const DNS1123_SUBDOMAIN_MAX_LENGTH: usize = 253;
pub const LABEL_VALUE_MAX_LENGTH: usize = 63;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// The complaint about a text that is too long.
pub fn max_length_error(bytes: usize) -> String {
    format!("must be no more than {bytes} bytes")
}
/// The complaint about an empty text.
pub const EMPTY_ERROR: &str = "must be non-empty";

/// The complaint about a text that does not fit the pattern.
pub fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    let mut text = String::from(message);
    text.push_str(" (");
    for (index, example) in examples.iter().enumerate() {
        text.push_str(if index == 0 { "e.g. " } else { " or " });
        text.push('\'');
        text.push_str(example);
        text.push_str("', ");
    }
    text.push_str("regex used for validation is '");
    text.push_str(pattern);
    text.push_str("')");
    text
}

/// Not empty, of these bytes only, and alphanumeric (of the same case) at both ends.
fn fits(text: &str, inner: impl Fn(u8) -> bool, outer: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => outer(*first) && outer(*last) && bytes.iter().all(|byte| inner(*byte)),
        _ => false,
    }
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

pub fn matches_dns1123_label(text: &str) -> bool {
    fits(text, |byte| is_lower(byte) || byte == b'-', is_lower)
}
pub fn matches_dns1123_subdomain(text: &str) -> bool {
    text.split('.').all(matches_dns1123_label)
}
/// The part of a label key after the slash, and a label value that is not empty.
pub fn matches_label_name(text: &str) -> bool {
    fits(
        text,
        |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
        |byte| byte.is_ascii_alphanumeric(),
    )
}

/// A label in DNS, as Service and Namespace names are.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_LABEL_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_LABEL_MAX_LENGTH));
    }
    if !matches_dns1123_label(text) {
        if matches_dns1123_subdomain(text) {
            errors.push("must not contain dots".to_owned());
        } else {
            let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
            errors.push(regex_error(message, DNS1123_LABEL, &["my-name", "123-abc"]));
        }
    }
    errors
}

/// Labels joined with dots, as most objects' names are.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_SUBDOMAIN_MAX_LENGTH));
    }
    if !matches_dns1123_subdomain(text) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        errors.push(regex_error(message, DNS1123_SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// A label key, or any other qualified name: `name` or `prefix.example.com/name`.
pub fn label_key(text: &str) -> Vec<String> {
    let examples = &["MyName", "my.name", "123-abc"];
    let parts: Vec<&str> = text.split('/').collect();
    let mut errors: Vec<String> = Vec::new();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {EMPTY_ERROR}"));
            } else {
                errors.extend(
                    dns1123_subdomain(prefix).into_iter().map(|error| format!("prefix part {error}")),
                );
            }
            name
        }
        _ => {
            let message = format!("a valid label key {LABEL_KEY_MESSAGE}");
            let shape = regex_error(&message, LABEL_KEY, examples);
            return vec![
                shape + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            ];
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {EMPTY_ERROR}"));
    } else if name.len() > LABEL_VALUE_MAX_LENGTH {
        errors.push(format!("name part {}", max_length_error(LABEL_VALUE_MAX_LENGTH)));
    }
    if !matches_label_name(name) {
        errors.push(format!("name part {}", regex_error(LABEL_KEY_MESSAGE, LABEL_KEY, examples)));
    }
    errors
}

pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > LABEL_VALUE_MAX_LENGTH {
        errors.push(max_length_error(LABEL_VALUE_MAX_LENGTH));
    }
    if !text.is_empty() && !matches_label_name(text) {
        let pattern = format!("({LABEL_KEY})?");
        errors.push(regex_error(LABEL_VALUE_MESSAGE, &pattern, &["MyValue", "my_value", "12345"]));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_or_are_told_why_not() {
        type Check = fn(&str) -> Vec<String>;
        let long = "a".repeat(64);
        let cases: &[(Check, &str, &[&str])] = &[
            (dns1123_label, "my-name", &[]),
            (dns1123_label, "a.b", &["must not contain dots"]),
            (dns1123_label, &long, &["must be no more than 63 bytes"]),
            (dns1123_subdomain, "a.b-c.d", &[]),
            (
                dns1123_subdomain,
                "MyFirstPod",
                &[
                    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                ],
            ),
            (label_key, "app.kubernetes.io/name", &[]),
            (
                label_key,
                "example.com/team/name",
                &[
                    "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                ],
            ),
            (label_value, "", &[]),
            (label_value, "v1.2_3-x", &[]),
            (label_value, &long, &["must be no more than 63 bytes"]),
        ];
        for (check, text, expected) in cases {
            assert_eq!(check(text), *expected, "{text}");
        }
        assert_eq!(label_key("/").len(), 3);
    }
}
