//! Words of scheduling that the scheduler and several controllers read alike: taints, tolerations, node
//! affinity.
//!
//! Picture to hold in mind: a taint is a smell, a toleration a nose that does not mind it; a node selector is
//! a list of wishes of which one must come true.
//!
//! Parsed once from a `Value`, asked often. After `k8s.io/component-helpers/scheduling/corev1`.

use super::selector::{Operator, Requirement};
use super::value::{Map, Text, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    pub fn parse(text: &str) -> Option<Effect> {
        Some(match text {
            "NoSchedule" => Effect::NoSchedule,
            "PreferNoSchedule" => Effect::PreferNoSchedule,
            "NoExecute" => Effect::NoExecute,
            _ => return None,
        })
    }
    /// Keeps pods from being placed, rather than only making the node less liked.
    pub fn is_hard(self) -> bool {
        self != Effect::PreferNoSchedule
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Taint {
    pub key: Text,
    pub value: Text,
    pub effect: Effect,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Toleration {
    /// Empty: any key.
    pub key: Text,
    /// `Exists`: any value.
    pub exists: bool,
    pub value: Text,
    /// `None`: any effect.
    pub effect: Option<Effect>,
    /// For how long a NoExecute taint is tolerated; `None`: for ever.
    pub seconds: Option<i64>,
}

impl Taint {
    pub fn new(key: &str, effect: Effect) -> Taint {
        Taint { key: key.into(), value: Text::new(), effect }
    }
    pub fn parse_all(taints: &[Value]) -> Vec<Taint> {
        taints
            .iter()
            .filter_map(|taint| {
                Some(Taint {
                    key: taint.shared_text("key"),
                    value: taint.shared_text("value"),
                    effect: Effect::parse(taint.text("effect"))?,
                })
            })
            .collect()
    }
}

impl Toleration {
    pub fn parse_all(tolerations: &[Value]) -> Vec<Toleration> {
        tolerations
            .iter()
            .map(|toleration| Toleration {
                key: toleration.shared_text("key"),
                exists: toleration.text("operator") == "Exists",
                value: toleration.shared_text("value"),
                effect: Effect::parse(toleration.text("effect")),
                seconds: toleration.integer("tolerationSeconds"),
            })
            .collect()
    }
    /// Tolerates every taint of `key` and `effect`.
    pub fn exists(key: &str, effect: Effect) -> Toleration {
        Toleration { key: key.into(), exists: true, value: Text::new(), effect: Some(effect), seconds: None }
    }
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.exists || self.value == taint.value)
    }
}

/// The first taint that `counts` and that none of `tolerations` tolerates (`FindMatchingUntoleratedTaint`).
pub fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    counts: impl Fn(Effect) -> bool,
) -> Option<&'a Taint> {
    taints.iter().find(|taint| counts(taint.effect) && !tolerations.iter().any(|one| one.tolerates(taint)))
}

/// A `NodeSelector`: terms of which one must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSelector {
    terms: Vec<NodeSelectorTerm>,
}

/// All of these must match; a term without any matches nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSelectorTerm {
    expressions: Vec<Requirement>,
    /// On `metadata.name`, the only field there is.
    fields: Vec<Requirement>,
}

fn requirements(list: &[Value]) -> Vec<Requirement> {
    list.iter()
        .filter_map(|item| {
            let values = item.items("values").iter().filter_map(Value::as_str).map(Text::from).collect();
            let operator = Operator::from_expression(item.text("operator"))?;
            Some(Requirement { key: item.shared_text("key"), operator, values })
        })
        .collect()
}

impl NodeSelectorTerm {
    pub fn parse(term: &Value) -> NodeSelectorTerm {
        NodeSelectorTerm {
            expressions: requirements(term.items("matchExpressions")),
            fields: requirements(term.items("matchFields")),
        }
    }
    pub fn matches(&self, name: &str, labels: &Map) -> bool {
        let field = |requirement: &Requirement| {
            let is_listed = requirement.values.iter().any(|value| value == name);
            match requirement.operator {
                Operator::In => is_listed,
                Operator::NotIn => !is_listed,
                _ => false,
            }
        };
        (!self.expressions.is_empty() || !self.fields.is_empty())
            && self.expressions.iter().all(|requirement| requirement.matches(labels))
            && self.fields.iter().all(field)
    }
    /// The node names that the term restricts to, if it names any.
    fn node_names(&self) -> Option<Vec<Text>> {
        let mut names: Option<Vec<Text>> = None;
        for field in self.fields.iter().filter(|field| field.operator == Operator::In) {
            names = Some(match names {
                None => field.values.clone(),
                Some(names) => names.into_iter().filter(|name| field.values.contains(name)).collect(),
            });
        }
        names
    }
}

impl NodeSelector {
    pub fn parse(selector: &Value) -> NodeSelector {
        let terms = selector.items("nodeSelectorTerms").iter().map(NodeSelectorTerm::parse).collect();
        NodeSelector { terms }
    }
    pub fn matches(&self, name: &str, labels: &Map) -> bool {
        self.terms.iter().any(|term| term.matches(name, labels))
    }
    /// The nodes that every term names, when all do: nobody else need be asked.
    pub fn node_names(&self) -> Option<Vec<Text>> {
        let mut all = Vec::new();
        for term in &self.terms {
            for name in term.node_names()? {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
        (!self.terms.is_empty()).then_some(all)
    }
}

/// What a pod demands of its node: `spec.nodeSelector` and the required node affinity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequiredNodeAffinity {
    labels: Vec<(Text, Text)>,
    pub selector: Option<NodeSelector>,
}

impl RequiredNodeAffinity {
    pub fn of(pod_spec: &Value) -> RequiredNodeAffinity {
        let labels = pod_spec
            .map("nodeSelector")
            .iter()
            .map(|(key, value)| (key.clone(), Text::from(value.as_str().unwrap_or(""))))
            .collect();
        let required = pod_spec.at("affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
        let selector = (!required.is_null()).then(|| NodeSelector::parse(required));
        RequiredNodeAffinity { labels, selector }
    }
    /// Demands nothing.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.selector.is_none()
    }
    pub fn matches(&self, name: &str, labels: &Map) -> bool {
        let has =
            |(key, value): &(Text, Text)| labels.get(key).and_then(Value::as_str) == Some(value.as_str());
        self.labels.iter().all(has)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(name, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    #[test]
    fn tolerations_fit_their_taints() {
        let taint = Taint { key: "k".into(), value: "v".into(), effect: Effect::NoSchedule };
        for (toleration, expected) in [
            (object! { "key" => "k", "value" => "v", "effect" => "NoSchedule" }, true),
            (object! { "key" => "k", "operator" => "Equal", "value" => "v" }, true),
            (object! { "key" => "k", "operator" => "Exists" }, true),
            (object! { "operator" => "Exists" }, true),
            (object! { "key" => "k", "value" => "other" }, false),
            (object! { "key" => "k", "operator" => "Exists", "effect" => "NoExecute" }, false),
            (object! { "key" => "other", "operator" => "Exists" }, false),
        ] {
            let tolerations = Toleration::parse_all(std::slice::from_ref(&toleration));
            assert_eq!(tolerations[0].tolerates(&taint), expected, "{toleration}");
        }
    }

    #[test]
    fn a_node_selector_needs_one_whole_term() {
        let labels = object! { "zone" => "a", "cores" => "8" };
        let Some(labels) = labels.as_object() else { return };
        let expression = |key: &str, operator: &str, value: &str| object! { "key" => key, "operator" => operator, "values" => array![value] };
        for (terms, expected) in [
            (vec![], false),
            (vec![object! {}], false),
            (vec![object! { "matchExpressions" => array![expression("zone", "In", "a")] }], true),
            (vec![object! { "matchExpressions" => array![expression("cores", "Gt", "7")] }], true),
            (
                vec![object! {
                    "matchExpressions" => array![expression("zone", "In", "a"), expression("cores", "Lt", "8")]
                }],
                false,
            ),
            (vec![object! { "matchFields" => array![expression("metadata.name", "In", "n1")] }], true),
            (vec![object! { "matchFields" => array![expression("metadata.name", "NotIn", "n1")] }], false),
        ] {
            let selector = NodeSelector::parse(&object! { "nodeSelectorTerms" => terms.clone() });
            assert_eq!(selector.matches("n1", labels), expected, "{terms:?}");
        }
    }
}
