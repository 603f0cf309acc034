//! The forms: every manifest that the conformance data hold.

use std::path::Path;

use clusterarium::api::kind::Registry;
use clusterarium::api::{Text, Value, meta, yaml};

/// A manifest, and where it belongs.
pub struct Form {
    pub object: Value,
    /// `/api/v1/pods`, or `/apis/apps/v1/deployments`, without a namespace.
    pub base: String,
    pub plural: Text,
    pub namespaced: bool,
}

pub struct Corpus {
    pub forms: Vec<Form>,
}

impl Corpus {
    pub fn read() -> Corpus {
        let registry = Registry::new();
        let mut forms = Vec::new();
        for folder in ["valid", "invalid"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(folder);
            let mut files: Vec<_> = folder
                .read_dir()
                .expect("conformance data")
                .map(|entry| entry.expect("a file").path())
                .collect();
            files.sort();
            for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "yaml")) {
                let text = std::fs::read(file).expect("a manifest");
                for document in yaml::read_bytes(&text).into_iter().flatten() {
                    let object = document.value;
                    let Some(info) = registry.for_object(&object) else { continue };
                    let version = meta::api_version(&object);
                    let root = if version.contains('/') { "/apis" } else { "/api" };
                    let (plural, namespaced) = (info.plural.clone(), info.namespaced);
                    forms.push(Form { base: format!("{root}/{version}"), object, plural, namespaced });
                }
            }
        }
        assert!(forms.len() > 100, "only {} forms were found", forms.len());
        Corpus { forms }
    }
}
