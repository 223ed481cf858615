//! Which objects, by their labels: the selectors of kubectl.

use serde_json::Value;

/// All of its requirements hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Has(String),
    HasNot(String),
    In(String, Vec<String>),
    /// What does not have the label is meant too.
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        split(text).into_iter().map(str::trim).filter(|part| !part.is_empty()).map(requirement).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object has such labels.
    pub(super) fn holds(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::Has(name) => label(name).is_some(),
            Requirement::HasNot(name) => label(name).is_none(),
            Requirement::In(name, values) => label(name).is_some_and(|value| values.iter().any(|one| one == value)),
            Requirement::NotIn(name, values) => label(name).is_none_or(|value| values.iter().all(|one| one != value)),
        })
    }
}

/// Cuts at commas, but not within parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(move |letter| {
        inside = (inside || letter == '(') && letter != ')';
        letter == ',' && !inside
    })
    .collect()
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let (negated, plain) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim()));
    if let Some((name, value)) = plain.split_once("!=") {
        return Ok(Requirement::NotIn(label(name)?, vec![value.trim().to_owned()]));
    }
    if let Some((name, value)) = plain.split_once("==").or_else(|| plain.split_once('=')) {
        return Ok(Requirement::In(label(name)?, vec![value.trim().to_owned()]));
    }
    if let Some((front, values)) = plain.strip_suffix(')').and_then(|plain| plain.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match front.split_whitespace().collect::<Vec<_>>().as_slice() {
            [name, "in"] => Ok(Requirement::In(label(name)?, values)),
            [name, "notin"] => Ok(Requirement::NotIn(label(name)?, values)),
            _ => Err(format!("{text:?} is no requirement on labels")),
        };
    }
    let name = label(plain)?;
    Ok(if negated { Requirement::HasNot(name) } else { Requirement::Has(name) })
}

fn label(name: &str) -> Result<String, String> {
    let name = name.trim();
    let good = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter));
    if good { Ok(name.to_owned()) } else { Err(format!("{name:?} is not the name of a label")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(selector: &str) -> bool {
        Selector::read(selector).unwrap().holds(&json!({"metadata": {"labels": {"app": "web", "tier": "front"}}}))
    }

    #[test]
    fn selectors_are_kubectls() {
        for yes in
            ["", "app=web", "app==web,tier=front", "app", "!gone", "app!=cart", "gone!=x", "app in (cart, web),tier", "app notin (a,b)"]
        {
            assert!(holds(yes), "{yes}");
        }
        for no in ["app=cart", "gone", "!app", "app!=web", "app in (a,b)", "gone in (a)", "app notin (web)", "app=web,tier=back"] {
            assert!(!holds(no), "{no}");
        }
        for wrong in ["=x", "a b", "app on (x)", "!"] {
            assert!(Selector::read(wrong).is_err(), "{wrong}");
        }
    }
}
