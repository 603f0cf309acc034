//! Values that are a number or a percentage: `maxSurge: 25%`, `targetPort: http`.
//!
//! Picture to hold in mind: a recipe that says either "three eggs" or "a quarter of the flour": the second
//! means something only once the flour has been weighed.
//!
//! Follows `k8s.io/apimachinery/pkg/util/intstr`.

use super::value::Value;

/// The number meant by `value` when the whole is `total`; a percentage is rounded up or down. `None` if it is
/// neither a number nor a percentage. Follows `GetScaledValueFromIntOrPercent`.
pub fn scaled(value: &Value, total: i64, round_up: bool) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let product = i128::from(percent) * i128::from(total);
            let up = i128::from(round_up && product.rem_euclid(100) != 0);
            i64::try_from(product.div_euclid(100) + up).ok()
        }
        _ => None,
    }
}

/// The percentage, where there is one.
pub fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// The plain number: of a string, the number it spells, or 0. Follows `IntValue`.
pub fn int_value(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    }
}

/// What `intstr.Parse` makes of a word: a number if it is one.
pub fn parse(text: &str) -> Value {
    text.parse::<i32>().map_or_else(|_| Value::from(text), Value::from)
}

/// As upstream prints it.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        for (value, total, round_up, expected) in [
            (Value::from("25%"), 10, true, Some(3)),
            (Value::from("25%"), 10, false, Some(2)),
            (Value::from("100%"), 3, true, Some(3)),
            (Value::from(2), 10, true, Some(2)),
            (Value::from("half"), 10, true, None),
            (Value::from("-10%"), 15, false, Some(-2)),
            (Value::Null, 10, true, None),
        ] {
            assert_eq!(scaled(&value, total, round_up), expected, "{value}");
        }
    }
}
