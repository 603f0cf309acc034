//! Images: which there are, how large they are, and what they run.
//!
//! Picture to hold in mind: a warehouse catalogue. For known goods it gives weight and contents; for unknown
//! ones of a known maker it guesses; and some entries say: no such article, or: no such address.
//!
//! Names follow the `distribution/reference` rules (`nginx` is `docker.io/library/nginx:latest`), errors the
//! words of containerd.

use core::net::IpAddr;

use crate::api::Text;
use crate::message::cri::Image;

/// An image name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io`, `registry.k8s.io`, `localhost:5000`.
    pub registry: Text,
    /// `library/nginx`.
    pub repository: Text,
    /// Empty if there is a digest only.
    pub tag: Text,
    pub digest: Text,
}

impl Reference {
    /// The error is that of `distribution/reference`.
    pub fn parse(text: &str) -> Result<Reference, &'static str> {
        const INVALID: &str = "invalid reference format";
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) if digest.starts_with("sha256:") && digest.len() == 71 => (name, digest),
            Some(_) => return Err(INVALID),
            None => (text, ""),
        };
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (name, if digest.is_empty() { "latest" } else { "" }),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_string())
            }
            Some(_) => ("docker.io", path.to_string()),
            None => ("docker.io", ["library/", path].concat()),
        };
        let is_tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let is_path =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-' | '/');
        if path.chars().any(|c| c.is_ascii_uppercase()) && !path.contains('.') {
            return Err("invalid reference format: repository name must be lowercase");
        }
        let is_valid = !path.is_empty()
            && repository.chars().all(is_path)
            && repository.split('/').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && part.ends_with(|c: char| c.is_ascii_alphanumeric())
            })
            && tag.chars().all(is_tag)
            && tag.len() <= 128
            && (!tag.is_empty() || !digest.is_empty());
        if !is_valid {
            return Err(INVALID);
        }
        Ok(Reference {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.into(),
            digest: digest.into(),
        })
    }
    /// `docker.io/library/nginx:1.27`.
    pub fn full(&self) -> Text {
        let (registry, repository) = (&self.registry, &self.repository);
        match (self.tag.as_str(), self.digest.as_str()) {
            (tag, "") => [registry, "/", repository, ":", tag].concat().into(),
            (_, digest) => arcstr::format!("{registry}/{repository}@{digest}"),
        }
    }
    /// The name by which people know it: `nginx`, `stress`, `kube-apiserver`.
    pub fn short(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or("")
    }
}

/// What an image holds, as far as the simulation is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    pub size_bytes: u64,
    pub entrypoint: &'static [&'static str],
    pub command: &'static [&'static str],
    /// Every program of the image is known to the simulation: any other name is an error.
    pub is_closed: bool,
    /// There is a shell in it, and nothing else besides its own programs.
    pub is_minimal: bool,
    /// Tags that exist; empty: any that looks like a version, and `latest`.
    tags: &'static [&'static str],
}

impl Content {
    /// What a node has: all tools, and its own.
    pub fn of_host() -> Content {
        closed(0, &[])
    }
}

const fn content(
    size_kib: u64,
    entrypoint: &'static [&'static str],
    command: &'static [&'static str],
) -> Content {
    let size_bytes = size_kib * 1024 + 471;
    Content { size_bytes, entrypoint, command, is_closed: false, is_minimal: false, tags: &[] }
}
const fn closed(size_kib: u64, command: &'static [&'static str]) -> Content {
    let size_bytes = size_kib * 1024 + 212;
    Content { size_bytes, entrypoint: &[], command, is_closed: true, is_minimal: false, tags: &[] }
}
const fn minimal(content: Content) -> Content {
    Content { is_minimal: true, ..content }
}

/// Compressed sizes, as the `Pulled` event shows them; by the last part of the repository's name.
const CATALOGUE: &[(&str, Content)] = &[
    ("agnhost", content(53_000, &["agnhost"], &["pause"])),
    ("alpine", closed(3_560, &["/bin/sh"])),
    ("bash", closed(5_900, &["bash"])),
    ("busybox", closed(2_107, &["sh"])),
    ("calico-cni", content(71_000, &["/opt/cni/bin/install"], &[])),
    ("calico-kube-controllers", content(35_500, &["/usr/bin/kube-controllers"], &[])),
    ("calico-node", content(142_000, &[], &["start_runit"])),
    ("cloud-controller-manager", content(22_300, &["cloud-controller-manager"], &[])),
    ("coredns", content(22_900, &["/coredns"], &[])),
    ("curl", content(9_000, &["/entrypoint.sh"], &["curl"])),
    ("debian", content(48_400, &[], &["bash"])),
    ("echoserver", content(46_000, &["/bin/server"], &[])),
    ("elasticsearch", content(850_000, &["/bin/tini", "--", "java"], &[])),
    ("etcd", minimal(content(22_600, &[], &["etcd"]))),
    ("flannel", content(32_600, &["/opt/bin/flanneld"], &[])),
    ("flannel-cni-plugin", content(4_900, &["cp"], &[])),
    ("fluent-bit", content(38_000, &["/fluent-bit/bin/fluent-bit"], &[])),
    ("fluentd", content(90_000, &["tini", "--", "/bin/fluentd"], &[])),
    ("golang", content(305_000, &[], &["bash"])),
    ("grafana", content(196_000, &["/run.sh"], &[])),
    ("hello-world", closed(13, &["/hello"])),
    ("hey", content(4_900, &["hey"], &[])),
    ("hpa-example", content(124_000, &[], &["apache2-foreground"])),
    ("httpd", content(45_300, &[], &["httpd-foreground"])),
    ("ingress-nginx-controller", content(99_000, &[], &["/nginx-ingress-controller"])),
    ("kube-apiserver", content(27_400, &[], &["kube-apiserver"])),
    ("kube-controller-manager", content(23_100, &[], &["kube-controller-manager"])),
    ("kube-proxy", content(25_800, &[], &["kube-proxy"])),
    ("kube-router", content(46_200, &["/usr/local/bin/kube-router"], &[])),
    ("kube-scheduler", content(17_500, &[], &["kube-scheduler"])),
    ("mariadb", content(119_000, &["docker-entrypoint.sh"], &["mariadbd"])),
    ("memcached", content(33_000, &["docker-entrypoint.sh"], &["memcached"])),
    ("metrics-server", content(20_200, &["/metrics-server"], &[])),
    ("mongo", content(283_000, &["docker-entrypoint.sh"], &["mongod"])),
    ("mysql", content(243_000, &["docker-entrypoint.sh"], &["mysqld"])),
    ("nginx", content(69_600, &["/docker-entrypoint.sh"], &["nginx", "-g", "daemon off;"])),
    ("nginx-unprivileged", content(69_900, &["/docker-entrypoint.sh"], &["nginx", "-g", "daemon off;"])),
    ("node", content(394_000, &["docker-entrypoint.sh"], &["node"])),
    ("node-exporter", content(12_800, &["/bin/node_exporter"], &[])),
    ("pause", content(312, &[], &["/pause"])),
    ("perl", content(336_000, &[], &["perl", "-de0"])),
    ("php", content(178_000, &["docker-php-entrypoint"], &["apache2-foreground"])),
    ("postgres", content(155_000, &["docker-entrypoint.sh"], &["postgres"])),
    ("prometheus", content(110_000, &["/bin/prometheus"], &[])),
    ("python", content(363_000, &[], &["python3"])),
    ("rabbitmq", content(101_000, &["docker-entrypoint.sh"], &["rabbitmq-server"])),
    ("redis", content(44_600, &["docker-entrypoint.sh"], &["redis-server"])),
    ("stress", content(1_520, &["/stress"], &["-logtostderr"])),
    ("traefik", content(51_000, &["/entrypoint.sh"], &["traefik"])),
    ("ubuntu", content(29_100, &[], &["/bin/bash"])),
    ("valkey", content(43_900, &["docker-entrypoint.sh"], &["valkey-server"])),
    ("wordpress", content(224_000, &["docker-entrypoint.sh"], &["apache2-foreground"])),
];

/// Registries that answer; any other host name does not resolve.
const REGISTRIES: &[&str] = &[
    "docker.io",
    "registry.k8s.io",
    "k8s.gcr.io",
    "gcr.io",
    "quay.io",
    "ghcr.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "docker.elastic.co",
    "registry.gitlab.com",
    "us-docker.pkg.dev",
    "gke.gcr.io",
    "container-registry.oracle.com",
    "nvcr.io",
    "icr.io",
    "docker.io.example",
];

/// FNV-1a: for digests and sizes that are the same in every run.
fn hash(text: &str, salt: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash.wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

pub fn content_of(reference: &Reference) -> Content {
    // `calico/node` is not the `node` of JavaScript, and controllers are many.
    let repository = &reference.repository;
    let is_long = repository.starts_with("calico/") || repository.starts_with("ingress-nginx/");
    let long = repository.replace('/', "-");
    let short = if is_long { &long } else { reference.short() };
    let known =
        CATALOGUE.binary_search_by(|(name, _)| (*name).cmp(short)).ok().map(|index| CATALOGUE[index].1);
    known.unwrap_or_else(|| {
        // Something between 8 and 136 MiB, always the same for the same name.
        let size = 8 * 1024 + hash(&reference.full(), 1) % (128 * 1024);
        content(size, &[], &[])
    })
}

/// The image as a registry gives it, or why it does not: containerd's words, after `rpc error: `.
pub fn look_up(reference: &Reference) -> Result<Image, String> {
    let full = reference.full();
    let failed = |reason: String| {
        format!(
            "failed to pull and unpack image \"{full}\": failed to resolve reference \"{full}\": {reason}"
        )
    };
    let registry = reference.registry.as_str();
    let host = registry.split(':').next().unwrap_or("");
    if !REGISTRIES.contains(&registry) {
        let is_address = host.parse::<IpAddr>().is_ok() || host == "localhost";
        let shown = if registry.contains(':') { registry.to_string() } else { format!("{registry}:443") };
        let reason = if is_address {
            format!("dial tcp {}: connect: connection refused", shown.replace("localhost", "127.0.0.1"))
        } else {
            format!("dial tcp: lookup {host} on 10.0.0.2:53: no such host")
        };
        let path = if reference.tag.is_empty() { &reference.digest } else { &reference.tag };
        return Err(format!(
            "code = Unknown desc = {}",
            failed(format!(
                "failed to do request: Head \"https://{registry}/v2/{}/manifests/{path}\": {reason}",
                reference.repository
            ))
        ));
    }
    if !exists(reference) {
        // Docker Hub does not tell apart what is private and what does not exist.
        let is_unknown_repository = registry == "docker.io" && !is_known_repository(reference);
        let (code, reason) = if is_unknown_repository {
            (
                "Unknown",
                "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed".to_string(),
            )
        } else {
            ("NotFound", format!("{full}: not found"))
        };
        return Err(format!("code = {code} desc = {}", failed(reason)));
    }
    let content = content_of(reference);
    let digest: String = if reference.digest.is_empty() {
        let parts: Vec<String> = (0..4).map(|salt| format!("{:016x}", hash(&full, salt))).collect();
        format!("sha256:{}", parts.concat())
    } else {
        reference.digest.to_string()
    };
    Ok(Image {
        id: arcstr::format!("{registry}/{}@{digest}", reference.repository),
        size_bytes: content.size_bytes + hash(&full, 9) % 50_000,
        reference: full,
    })
}

fn is_known_repository(reference: &Reference) -> bool {
    let is_official = reference.repository.starts_with("library/");
    !is_official || CATALOGUE.iter().any(|(name, _)| *name == reference.short())
}

/// Names that plainly stand for "there is no such image".
fn exists(reference: &Reference) -> bool {
    const ABSENT: &[&str] = &[
        "doesnotexist",
        "does-not-exist",
        "nonexistent",
        "not-exist",
        "no-such",
        "nosuch",
        "missing",
        "invalid",
        "badimage",
        "bad-image",
        "wrong",
        "typo",
    ];
    let text = format!("{}:{}", reference.repository, reference.tag);
    if ABSENT.iter().any(|word| text.contains(word)) {
        return false;
    }
    if reference.registry == "docker.io"
        && reference.repository.starts_with("library/")
        && !is_known_repository(reference)
    {
        // An official image that is not in the catalogue may be a real one; misspelt ones are not.
        const OTHERS: &[&str] = &[
            "amazonlinux",
            "archlinux",
            "caddy",
            "cassandra",
            "centos",
            "composer",
            "consul",
            "couchdb",
            "docker",
            "drupal",
            "eclipse-temurin",
            "fedora",
            "flink",
            "ghost",
            "gradle",
            "haproxy",
            "influxdb",
            "jenkins",
            "joomla",
            "kibana",
            "kong",
            "logstash",
            "maven",
            "mongo-express",
            "nats",
            "neo4j",
            "nextcloud",
            "openjdk",
            "phpmyadmin",
            "registry",
            "rockylinux",
            "ruby",
            "rust",
            "solr",
            "sonarqube",
            "swift",
            "telegraf",
            "tomcat",
            "varnish",
            "vault",
            "zookeeper",
        ];
        return OTHERS.contains(&reference.short());
    }
    let tags = content_of(reference).tags;
    if !tags.is_empty() {
        return tags.contains(&reference.tag.as_str());
    }
    // `nginx:1.999`: no program has reached that version.
    let numbers =
        reference.tag.trim_start_matches('v').split(['.', '-']).map_while(|part| part.parse::<u64>().ok());
    numbers.take(3).all(|number| {
        !(900..20_000_000).contains(&number) || (2_000..2_100).contains(&number) || number > 20_000
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn names_are_completed_or_refused() {
        let cases = [
            ("nginx", Ok("docker.io/library/nginx:latest")),
            ("nginx:1.27", Ok("docker.io/library/nginx:1.27")),
            ("vish/stress", Ok("docker.io/vish/stress:latest")),
            ("registry.k8s.io/pause:3.10", Ok("registry.k8s.io/pause:3.10")),
            ("localhost:5000/app", Ok("localhost:5000/app:latest")),
            ("Nginx", Err("invalid reference format: repository name must be lowercase")),
            ("nginx:", Err("invalid reference format")),
            ("nginx:1:2", Err("invalid reference format")),
            ("", Err("invalid reference format")),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Reference::parse(text).map(|r| r.full()).as_deref().map_err(|e| *e),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn registries_answer_or_refuse_in_their_own_words() {
        let error = |name: &str| look_up(&Reference::parse(name).unwrap()).unwrap_err();
        assert_eq!(
            error("nginx:doesnotexist"),
            "code = NotFound desc = failed to pull and unpack image \"docker.io/library/nginx:doesnotexist\": failed to resolve reference \"docker.io/library/nginx:doesnotexist\": docker.io/library/nginx:doesnotexist: not found"
        );
        assert!(error("nginx:1.999").ends_with("docker.io/library/nginx:1.999: not found"));
        assert!(
            error("ngnix")
                .contains("pull access denied, repository does not exist or may require authorization")
        );
        assert!(
            error("registry.example.internal/app:1")
                .contains("lookup registry.example.internal on 10.0.0.2:53: no such host")
        );
        for name in [
            "nginx:1.27",
            "nginx:1.27.5-alpine",
            "redis:7",
            "busybox:1.36",
            "vish/stress",
            "ubuntu:24.04",
            "tomcat:9",
            "acme/shop:2024.1.3",
        ] {
            let image = look_up(&Reference::parse(name).unwrap());
            assert!(image.is_ok_and(|image| image.size_bytes > 0), "{name}");
        }
    }
}
