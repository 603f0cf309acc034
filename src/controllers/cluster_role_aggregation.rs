//! clusterrole-aggregation-controller: writes into a ClusterRole the rules of those that its labels gather.
//!
//! Picture to hold in mind: an index volume. Whoever adds a book with the right label on its back finds its chapters
//! listed in the index the next moment.
//!
//! After `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`.

use crate::api::selector::LabelSelector;
use crate::api::{Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, Interrupt, Selection, Store};
use crate::message::rest::PatchType;
use crate::object;

use super::kinds::CLUSTER_ROLE;

#[derive(Clone, Default)]
pub struct ClusterRoleAggregationController {
    roles: usize,
}

/// The rules of all roles that `role` gathers, each once, by the names of the roles.
fn gathered(role: &Value, roles: &Store) -> Vec<Value> {
    let mut rules: Vec<Value> = Vec::new();
    for selector in role.items("aggregationRule.clusterRoleSelectors") {
        let selector = LabelSelector::from_value(selector).unwrap_or_else(|_| LabelSelector::nothing());
        for other in roles.values() {
            if meta::name(other) == meta::name(role) || !selector.matches(meta::labels(other)) {
                continue;
            }
            for rule in other.items("rules") {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}

impl Controller for ClusterRoleAggregationController {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.roles = informers.add(Selection::all(&CLUSTER_ROLE.resource));
    }
    /// Any role may be one that another gathers.
    fn on_delta(&mut self, _: &Delta, stores: &[Store], keys: &mut Keys) {
        let gathering = stores[self.roles].values().filter(|role| role.has("aggregationRule"));
        gathering.for_each(|role| keys.add(key_of(role)));
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let roles = call.store(self.roles);
        let Some(role) = roles.get(call.key()).filter(|role| role.has("aggregationRule")) else {
            return Ok(());
        };
        let rules = gathered(role, roles);
        if role.items("rules") == rules {
            return Ok(());
        }
        let name = meta::name(role).to_owned();
        let patch = object! {
            "apiVersion" => CLUSTER_ROLE.resource.api_version(),
            "kind" => "ClusterRole",
            "metadata" => object! { "name" => &name[..] },
            "rules" => Value::array(rules),
        };
        call.patch(&CLUSTER_ROLE.resource, ("", &name), PatchType::Merge, patch)?;
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
