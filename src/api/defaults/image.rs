//! Image references, as far as defaulting and the kubelet need them.
//!
//! Picture to hold in mind: an address label, `registry/path:tag@digest`; what is not written is filled in as the
//! Docker tools do (`docker.io`, `library/`, `latest`).
//!
//! Follows `pkg/util/parsers` and `github.com/distribution/reference`.

/// The parts of an image reference, borrowed from it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Registry and path as written, without tag and digest.
    pub repository: &'a str,
    /// Empty where the reference has only a digest.
    pub tag: &'a str,
    pub digest: &'a str,
}

/// Splits a reference. `None` where it is not a valid one (upper case in the path, an empty name, ...).
pub fn parse(image: &str) -> Option<Reference<'_>> {
    let (rest, digest) = image.split_once('@').unwrap_or((image, ""));
    if image.contains('@') && !is_digest(digest) {
        return None;
    }
    let slash = rest.rfind('/').map_or(0, |index| index + 1);
    let (repository, tag) = match rest[slash..].rfind(':') {
        Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
        None => (rest, None),
    };
    if let Some(tag) = tag
        && !is_tag(tag)
    {
        return None;
    }
    let path = match repository.split_once('/') {
        Some((domain, path)) if is_domain(domain) => path,
        _ => repository,
    };
    if !path.split('/').all(is_path_component) {
        return None;
    }
    let tag = tag.unwrap_or(if digest.is_empty() { "latest" } else { "" });
    Some(Reference { repository, tag, digest })
}

/// The pull policy of an image for which none is given: `Always` for the tag `latest`.
pub fn default_pull_policy(image: &str) -> &'static str {
    match parse(image) {
        Some(Reference { tag: "latest", .. }) => "Always",
        _ => "IfNotPresent",
    }
}

/// Whether the part before the first slash names a registry rather than a directory of Docker Hub.
fn is_domain(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost" || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && word(text.as_bytes()[0])
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Lower-case alphanumeric runs, joined by `.`, `_`, `__` or dashes.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return false;
    }
    bytes.split(|byte| alphanumeric(byte)).all(|joint| {
        joint.is_empty()
            || joint == b"."
            || joint == b"_"
            || joint == b"__"
            || joint.iter().all(|byte| *byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("localhost:5000/nginx", "Always"),
            ("localhost:5000/nginx:1", "IfNotPresent"),
            (
                "registry.k8s.io/pause@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "IfNotPresent",
            ),
            ("Nginx", "IfNotPresent"),
            ("my__app/a-b.c", "Always"),
            ("", "IfNotPresent"),
            ("a b", "IfNotPresent"),
        ] {
            assert_eq!(default_pull_policy(image), policy, "{image}");
        }
    }
}
