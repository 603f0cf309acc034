//! validatingadmissionpolicy-status-controller: says of each policy that it has been looked at.
//!
//! Picture to hold in mind: a proof-reader reads each new edition against the dictionary of the kinds that it is about,
//! writes in the margin what makes no sense, and initials it. It is printed all the same.
//!
//! After `pkg/controller/validatingadmissionpolicystatus/controller.go` and `TypeChecker` of
//! `k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go`.

use crate::api::cel::types::{self, DYN, Fields, Root, Type};
use crate::api::kind::Registry;
use crate::api::schema::Schema;
use crate::api::{Value, cel, meta};
use crate::arrange::Arrange;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::message::rest::{PatchType, Resource};
use crate::object;

use super::kinds::VALIDATING_ADMISSION_POLICY;

#[derive(Clone, Default)]
pub struct PolicyStatusController {
    policies: usize,
    definitions: usize,
}

impl Controller for PolicyStatusController {
    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.policies = informers.add(Selection::all(&VALIDATING_ADMISSION_POLICY.resource));
        let definitions = Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        self.definitions = informers.add(Selection::all(&definitions));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.policies && delta.kind != DeltaType::Deleted {
            keys.add(key_of(&delta.object));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let Some(policy) = call.store(self.policies).get(&key).cloned() else { return Ok(()) };
        let generation = meta::generation(&policy);
        if generation <= policy.integer("status.observedGeneration").unwrap_or(0) {
            return Ok(());
        }
        let kind = &VALIDATING_ADMISSION_POLICY;
        let registry = Registry::with_definitions(call.store(self.definitions).values());
        let spec = policy.at("spec");
        let (group, version) = meta::split_api_version(spec.text("paramKind.apiVersion"));
        let params = registry
            .kind(group, spec.text("paramKind.kind"))
            .and_then(|info| type_of(&registry, group, version, &info.plural))
            .map_or(DYN, |(_, own)| own);
        let warnings = cel::check_policy(spec, &objects(&registry, spec), &params);
        let mut checking = Value::object();
        if !warnings.is_empty() {
            checking.set("expressionWarnings", Value::array(warnings));
        }
        let status = object! {
            "apiVersion" => &kind.api_version,
            "kind" => &kind.kind,
            "metadata" => object! { "name" => &key },
            "status" => object! { "observedGeneration" => generation, "typeChecking" => checking },
        };
        let mut patch = request::patch(&kind.resource, "", &key, PatchType::Apply, status);
        patch.subresource = "status".into();
        patch.options.field_manager = self.name().into();
        patch.options.force = true;
        call.request(patch)?;
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

/// Types that are looked at for one rule of a policy.
const MOST_TYPES: usize = 10;
/// And for all: upstream goes on as long as there are rules.
const MOST: usize = 20;

/// The types that a policy is about, as far as its rules name them outright.
fn objects(registry: &Registry, spec: &Value) -> Vec<(String, Type)> {
    let mut found: Vec<(String, Type)> = Vec::new();
    for rule in spec.items("matchConstraints.resourceRules") {
        let names = |field: &str| {
            let mut names: Vec<&str> = rule.items(field).iter().filter_map(Value::as_str).collect();
            names.arrange();
            names
        };
        let (groups, versions) = (names("apiGroups"), names("apiVersions"));
        if groups.iter().chain(&versions).any(|name| name.contains('*')) {
            continue;
        }
        let resources = names("resources");
        let mut count = 0;
        for group in &groups {
            for version in &versions {
                for plural in resources.iter().filter(|name| !name.contains(['*', '/'])) {
                    let Some(own) = type_of(registry, group, version, plural) else { continue };
                    count += 1;
                    if count <= MOST_TYPES
                        && found.len() < MOST
                        && !found.iter().any(|(name, _)| *name == own.0)
                    {
                        found.push(own);
                    }
                }
            }
        }
    }
    found.arrange_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The type of a resource, behind what Go prints of its kind.
fn type_of(registry: &Registry, group: &str, version: &str, plural: &str) -> Option<(String, Type)> {
    let info = registry.resource(group, plural).filter(|info| info.serves(version))?;
    let separator = if group.is_empty() { "" } else { "/" };
    let name = ["", group, "/", version, ", Kind=", &info.kind].concat();
    let own = match &info.definition {
        Some(kind) => types::declared(kind.version(version)?.schema(), Root::Metadata, &info.kind)?,
        None => {
            let api_version = [group, separator, version].concat();
            let place = Schema::built_in().kind(&api_version, &info.kind)?;
            types::structure(&info.kind, Fields::BuiltIn(place))
        }
    };
    Some((name, own))
}
