use std::borrow::Cow;

use serde_json::Value;

use crate::exchange::Found;
use crate::telemetry::substitution::push_json;

/// A whole number has no fraction up to here: behind, `f64` does not have all of them.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A text as it is, anything else as JSON.
pub(super) fn text(found: Found<'_>) -> Cow<'_, str> {
    if let Found::Value(Value::String(text)) = found {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    push(&mut out, found);
    Cow::Owned(out)
}

/// Appends JSON.
pub(super) fn push(out: &mut String, found: Found<'_>) {
    match found {
        Found::Value(value) => push_value(out, value),
        Found::All(all) => push_object(out, all.iter()),
    }
}

/// As deep as whoever decoded it let it be.
fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => push_json(out, text),
        Value::Number(number) => match number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT) {
            Some(whole) => out.push_str(&format!("{whole:.0}")),
            None => out.push_str(&number.to_string()),
        },
        Value::Array(list) => {
            out.push('[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_value(out, value);
            }
            out.push(']');
        }
        Value::Object(fields) => push_object(out, fields.iter()),
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
    }
}

fn push_object<'a>(out: &mut String, fields: impl Iterator<Item = (&'a String, &'a Value)>) {
    out.push('{');
    for (at, (name, value)) in fields.enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_json(out, name);
        out.push(':');
        push_value(out, value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_have_no_fraction_and_a_text_has_no_quotes() {
        let value = json!({"a": [1.0, -3.0, 0.5, 7, 1e300, null, true], "b": "x\"y"});
        let mut out = String::new();
        push(&mut out, Found::Value(&value));
        assert_eq!(out, format!(r#"{{"a":[1,-3,0.5,7,{},null,true],"b":"x\"y"}}"#, json!(1e300)));
        assert_eq!(text(Found::Value(&json!("x\"y"))), "x\"y");
        assert_eq!(text(Found::Value(&json!(2.0))), "2");
    }
}
