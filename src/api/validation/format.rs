//! The shapes of names, numbers and addresses, and upstream's sentence for each that does not fit.
//!
//! Picture to hold in mind: go and no-go gauges. The gauge itself (`is_...`) costs nothing; only a part that does
//! not fit gets a label written.
//!
//! Follows `k8s.io/apimachinery/pkg/util/validation` (validation.go) and `pkg/api/validation` (generic.go).

use crate::api::content::{
    self, DNS1123_LABEL_MAX_LENGTH, DNS1123_SUBDOMAIN_MAX_LENGTH, EMPTY_ERROR, matches_dns1123_label,
    matches_dns1123_subdomain, matches_label_name, regex_error,
};

pub fn max_length_error(characters: usize) -> String {
    format!("must be no more than {characters} characters")
}
pub fn range_error(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// A name of one kind: the second argument says that it is only a prefix (`generateName`).
pub type NameCheck = fn(&str, bool) -> Vec<String>;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";

/// `IsDNS1123Label`.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let fits = matches_dns1123_label(text);
    if fits && text.len() <= DNS1123_LABEL_MAX_LENGTH {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if text.len() > DNS1123_LABEL_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_LABEL_MAX_LENGTH));
    }
    if !fits && matches_dns1123_subdomain(text) {
        errors.push("must not contain dots".to_owned());
    } else if !fits {
        let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
        errors.push(regex_error(message, LABEL, &["my-name", "123-abc"]));
    }
    errors
}

/// `IsDNS1123Subdomain`.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_SUBDOMAIN_MAX_LENGTH));
    }
    if !matches_dns1123_subdomain(text) {
        errors.push(regex_error(SUBDOMAIN_MESSAGE, SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// `IsDNS1123SubdomainWithUnderscore`.
pub fn dns1123_subdomain_with_underscore(text: &str) -> Vec<String> {
    let fits = |label: &str| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let outer = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        bytes.first().is_some_and(outer)
            && bytes.last().is_some_and(outer)
            && bytes.iter().all(|byte| outer(byte) || matches!(byte, b'-' | b'_'))
    };
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_SUBDOMAIN_MAX_LENGTH));
    }
    if !text.split('.').all(fits) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
        let label = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        errors.push(regex_error(message, &format!("{label}(\\.{label})*"), &["example.com"]));
    }
    errors
}

/// `IsDNS1035Label`.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_LABEL_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_LABEL_MAX_LENGTH));
    }
    if !matches_dns1123_label(text) || !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        let message = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        errors.push(regex_error(message, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// `IsWildcardDNS1123Subdomain`.
pub fn wildcard_dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_SUBDOMAIN_MAX_LENGTH));
    }
    if !text.strip_prefix("*.").is_some_and(matches_dns1123_subdomain) {
        let message = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        errors.push(regex_error(message, &format!("\\*\\.{SUBDOMAIN}"), &["*.example.com"]));
    }
    errors
}

fn mask_trailing_dash(name: &str, prefix: bool, check: fn(&str) -> Vec<String>) -> Vec<String> {
    match name.strip_suffix('-') {
        // Upstream cuts two bytes and adds one, so the length it complains about is one less.
        Some(rest) if prefix && !rest.is_empty() => {
            let kept = rest.char_indices().next_back().map_or("", |(index, _)| &rest[..index]);
            check(&format!("{kept}a"))
        }
        _ => check(name),
    }
}

pub fn name_is_subdomain(name: &str, prefix: bool) -> Vec<String> {
    mask_trailing_dash(name, prefix, dns1123_subdomain)
}
pub fn name_is_label(name: &str, prefix: bool) -> Vec<String> {
    mask_trailing_dash(name, prefix, dns1123_label)
}
/// `ValidatePathSegmentName`, for RBAC's objects.
pub fn name_is_path_segment(name: &str, prefix: bool) -> Vec<String> {
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    let forbidden = ["/", "%"].into_iter().filter(|part| name.contains(part));
    forbidden.map(|part| format!("may not contain '{part}'")).collect()
}

/// `IsQualifiedName`, `IsLabelKey`: no allocation for a good one.
pub fn qualified_name(text: &str) -> Vec<String> {
    let name_fits = |name: &str| name.len() <= 63 && matches_label_name(name);
    let fits = match text.split_once('/') {
        None => name_fits(text),
        Some((prefix, name)) => {
            prefix.len() <= DNS1123_SUBDOMAIN_MAX_LENGTH
                && matches_dns1123_subdomain(prefix)
                && name_fits(name)
        }
    };
    if fits { Vec::new() } else { content::label_key(text) }
}

/// `IsFullyQualifiedName`'s sentence for a name with too few dots is left to its callers.
pub fn label_value(text: &str) -> Vec<String> {
    content::label_value(text)
}

/// `IsValidPortNum`.
pub fn port_number(port: i64) -> Option<String> {
    (!(1..=65535).contains(&port)).then(|| range_error(1, 65535))
}
/// `IsValidUserID` and `IsValidGroupID`.
pub fn user_or_group_id(id: i64) -> Option<String> {
    (!(0..=i64::from(i32::MAX)).contains(&id)).then(|| range_error(0, i64::from(i32::MAX)))
}

/// `IsValidPortName`.
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 15 {
        errors.push(max_length_error(15));
    }
    let of_charset = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || !text.bytes().all(of_charset) {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// `IsValidPercent`: the number before the sign.
pub fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(i64::MAX))
}
pub fn percent_error() -> String {
    let message = "a valid percent string must be a numeric string followed by an ending '%'";
    regex_error(message, "[0-9]+%", &["1%", "93%"])
}

/// `IsHTTPHeaderName`.
pub fn http_header_name(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let message = "a valid HTTP header must consist of alphanumeric characters or '-'";
    (!fits).then(|| regex_error(message, "[-A-Za-z0-9]+", &["X-Header-Name"]))
}

/// `IsRelaxedEnvVarName`.
pub fn environment_variable_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.is_empty() {
        errors.push(format!("environment variable name {EMPTY_ERROR}"));
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        errors.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    errors
}

/// `IsConfigMapKey`.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX_LENGTH {
        errors.push(max_length_error(DNS1123_SUBDOMAIN_MAX_LENGTH));
    }
    let of_charset = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(of_charset) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex_error(message, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    if text == "." || text == ".." {
        errors.push(format!("must not be '{text}'"));
    } else if text.starts_with("..") {
        errors.push("must not start with '..'".to_owned());
    }
    errors
}

/// `IsCIdentifier`.
pub fn c_identifier(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let fits = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let message = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    (!fits).then(|| regex_error(message, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_have_no_complaints_and_bad_ones_have() {
        type Check = fn(&str) -> usize;
        let cases: &[(Check, &str, usize)] = &[
            (|text| dns1123_label(text).len(), "a-b", 0),
            (|text| dns1123_label(text).len(), "a.b", 1),
            (|text| dns1035_label(text).len(), "1a", 1),
            (|text| name_is_subdomain(text, true).len(), "job-", 0),
            (|text| name_is_subdomain(text, true).len(), "Job-", 1),
            (|text| name_is_subdomain(text, false).len(), "job-", 1),
            (|text| name_is_path_segment(text, false).len(), "system:node", 0),
            (|text| name_is_path_segment(text, false).len(), "a/b%", 2),
            (|text| qualified_name(text).len(), "example.com/A_b.c", 0),
            (|text| qualified_name(text).len(), "/", 3),
            (|text| port_name(text).len(), "http", 0),
            (|text| port_name(text).len(), "-8-", 2),
            (|text| port_name(text).len(), "", 2),
            (|text| config_map_key(text).len(), "..data", 1),
            (|text| environment_variable_name(text).len(), "A b", 0),
            (|text| environment_variable_name(text).len(), "A=b", 1),
            (|text| dns1123_subdomain_with_underscore(text).len(), "_ldap._tcp", 0),
            (|text| wildcard_dns1123_subdomain(text).len(), "*.example.com", 0),
            (|text| wildcard_dns1123_subdomain(text).len(), "a.*.com", 1),
        ];
        for (check, text, expected) in cases {
            assert_eq!(check(text), *expected, "{text}");
        }
        assert_eq!(
            (percent("25%"), percent("25"), percent("%"), percent("-1%")),
            (Some(25), None, None, None)
        );
    }
}
