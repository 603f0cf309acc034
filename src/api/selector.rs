//! Which objects are meant: selectors over labels and over fields.
//!
//! Picture to hold in mind: a sieve made of several meshes laid on one another. An object falls through only
//! if every mesh lets it; no mesh at all lets everything through, and a blocked sieve nothing.
//!
//! Labels here, after `k8s.io/apimachinery/pkg/labels` and `meta/v1` helpers.go; fields in [`field`].

pub mod field;
mod parse;

use crate::arrange::Arrange;

use std::fmt;

use super::content;
use super::field::{FieldError, FieldPath, aggregate, go_quote};
use super::value::{Map, Text, Value};
pub use field::FieldSelector;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl Operator {
    /// Upstream's name for it in messages (`selection.Operator`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Operator::Equals => "=",
            Operator::DoubleEquals => "==",
            Operator::NotEquals => "!=",
            Operator::In => "in",
            Operator::NotIn => "notin",
            Operator::Exists => "exists",
            Operator::DoesNotExist => "!",
            Operator::GreaterThan => "gt",
            Operator::LessThan => "lt",
        }
    }
    /// The operator's name in `matchExpressions` of label selectors and node selectors.
    pub fn from_expression(name: &str) -> Option<Operator> {
        Some(match name {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::GreaterThan,
            "Lt" => Operator::LessThan,
            _ => return None,
        })
    }
}

/// One mesh of the sieve.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    pub key: Text,
    pub operator: Operator,
    pub values: Vec<Text>,
}

impl Requirement {
    /// Checked as `labels.NewRequirement` does; the error is the aggregate of its field errors below `path`.
    pub fn new(
        key: impl Into<Text>,
        operator: Operator,
        values: Vec<Text>,
        path: &FieldPath,
    ) -> Result<Requirement, String> {
        let key = key.into();
        let values_path = path.child("values");
        let listed = || Value::array(values.iter().map(Value::from));
        let mut errors = Vec::new();
        let complaints = content::label_key(&key);
        if !complaints.is_empty() {
            errors.push(FieldError::invalid(&path.child("key"), &key, complaints.join("; ")));
        }
        let complaint = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                "for 'in', 'notin' operators, values set can't be empty"
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !complaint.is_empty() {
            errors.push(FieldError::invalid(&values_path, listed(), complaint));
        }
        for (index, value) in values.iter().enumerate() {
            let numeric = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if numeric && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&values_path.index(index), value, detail));
            }
        }
        for (index, value) in values.iter().enumerate() {
            let complaints = content::label_value(value);
            if !complaints.is_empty() {
                let item = values_path.index(index);
                errors.push(FieldError::invalid(&item.key(&key), value, complaints.join("; ")));
            }
        }
        match aggregate(&errors) {
            None => Ok(Requirement { key, operator, values }),
            Some(error) => Err(error),
        }
    }

    pub fn matches(&self, labels: &Map) -> bool {
        let found = labels.get(&self.key).and_then(Value::as_str);
        let listed = |value: &str| self.values.iter().any(|wanted| wanted == value);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => found.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !found.is_some_and(listed),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
                match (number(found), self.values.as_slice()) {
                    (Some(found), [wanted]) => number(Some(wanted)).is_some_and(|wanted| {
                        if self.operator == Operator::GreaterThan { found > wanted } else { found < wanted }
                    }),
                    _ => false,
                }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if self.operator == Operator::DoesNotExist {
            formatter.write_str("!")?;
        }
        formatter.write_str(&self.key)?;
        let (open, close) = match self.operator {
            Operator::Exists | Operator::DoesNotExist => return Ok(()),
            Operator::Equals => ("=", ""),
            Operator::DoubleEquals => ("==", ""),
            Operator::NotEquals => ("!=", ""),
            Operator::In => (" in (", ")"),
            Operator::NotIn => (" notin (", ")"),
            Operator::GreaterThan => (">", ""),
            Operator::LessThan => ("<", ""),
        };
        let mut values: Vec<&str> = self.values.iter().map(Text::as_str).collect();
        values.arrange();
        write!(formatter, "{open}{}{close}", values.join(","))
    }
}

/// All requirements of a selector together, sorted by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }
    pub fn new(mut requirements: Vec<Requirement>) -> LabelSelector {
        requirements.arrange_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, nothing: false }
    }
    /// Reads what stands behind `-l`: `app=web,tier in (a,b),!canary`. The error is upstream's.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        parse::parse(text).map(LabelSelector::new)
    }
    /// Equality with every pair of a map, unchecked, as in a Service's or a ReplicationController's selector.
    pub fn from_map(labels: &Map) -> LabelSelector {
        LabelSelector::new(
            labels
                .iter()
                .map(|(key, value)| Requirement {
                    key: key.clone(),
                    operator: Operator::Equals,
                    values: vec![Text::from(value.as_str().unwrap_or(""))],
                })
                .collect(),
        )
    }
    /// A `metav1.LabelSelector`: `null` selects nothing, an empty one everything.
    pub fn from_value(selector: &Value) -> Result<LabelSelector, String> {
        if selector.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let root = FieldPath::ROOT;
        let mut requirements = Vec::new();
        for (key, value) in selector.map("matchLabels").iter() {
            let value = Text::from(value.as_str().unwrap_or(""));
            requirements.push(Requirement::new(key, Operator::Equals, vec![value], &root)?);
        }
        for expression in selector.items("matchExpressions") {
            let name = expression.text("operator");
            let operator = match Operator::from_expression(name) {
                Some(Operator::GreaterThan | Operator::LessThan) | None => {
                    return Err(format!("{} is not a valid label selector operator", go_quote(name)));
                }
                Some(operator) => operator,
            };
            let values = expression
                .items("values")
                .iter()
                .map(|value| Text::from(value.as_str().unwrap_or("")))
                .collect();
            requirements.push(Requirement::new(expression.shared_text("key"), operator, values, &root)?);
        }
        Ok(LabelSelector::new(requirements))
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
    /// Lets everything through.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }
    pub fn matches(&self, labels: &Map) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
    /// Matches the object's own labels.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(object.map("metadata.labels"))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            requirement.fmt(formatter)?;
        }
        Ok(())
    }
}

/// A `metav1.LabelSelector` as kubectl and printers show it (`FormatLabelSelector`): `<none>` for an empty one,
/// `<error>` for one that does not hold up.
pub fn format(selector: &Value) -> String {
    match LabelSelector::from_value(selector) {
        Err(_) => "<error>".to_owned(),
        Ok(parsed) => match parsed.to_string() {
            text if text.is_empty() => "<none>".to_owned(),
            text => text,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    #[test]
    fn selectors_choose() {
        let web = object! { "app" => "web", "tier" => "front", "weight" => "10" };
        let labels = web.as_object().unwrap();
        for (text, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (web, api),tier", true),
            ("app notin (web)", false),
            ("!canary", true),
            ("!app", false),
            ("missing!=x", true),
            ("missing notin (x)", true),
            ("weight>9,weight<11", true),
            ("weight>10", false),
            ("app=", false),
            ("app in ()", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(labels), expected, "{text}");
        }
    }

    #[test]
    fn selectors_print_sorted() {
        for (text, printed) in [
            ("tier in (b, a) ,app = web", "app=web,tier in (a,b)"),
            ("!x,y,z notin (q)", "!x,y,z notin (q)"),
            ("a==b,c!=d,e>1", "a==b,c!=d,e>1"),
            ("x in (,a)", "x in (,a)"),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn bad_selectors_are_refused_in_upstreams_words() {
        for (text, error) in [
            ("app=web,", "found '', expected: identifier after ','"),
            ("app=web)", "found ')', expected: ',' or 'end of string'"),
            ("app in web", "unable to parse requirement: found 'web' expected: '('"),
            ("app in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("app ~ x", "unable to parse requirement: found '~', expected: in, notin, =, ==, !=, gt, lt"),
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            ("app=a b", "found 'b', expected: ',' or 'end of string'"),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn label_selector_objects() {
        let selector = object! {
            "matchLabels" => object! { "app" => "web" },
            "matchExpressions" => array![object! { "key" => "tier", "operator" => "In", "values" => array!["b", "a"] }],
        };
        assert_eq!(format(&selector), "app=web,tier in (a,b)");
        assert_eq!(format(&Value::object()), "<none>");
        assert!(!LabelSelector::from_value(&Value::Null).unwrap().matches(&Map::new()));
        assert!(LabelSelector::from_value(&Value::object()).unwrap().matches(&Map::new()));
        let bad = object! { "matchExpressions" => array![object! { "key" => "a", "operator" => "Gt" }] };
        assert_eq!(
            LabelSelector::from_value(&bad).unwrap_err(),
            r#""Gt" is not a valid label selector operator"#
        );
    }
}
