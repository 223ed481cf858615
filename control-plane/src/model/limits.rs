//! What a workload may be that joins by a token: which labels it may have. Services select workloads by their labels, so who may choose
//! his own is an endpoint of every service of his namespace that he likes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::fault::Fault;
use crate::model::service::Labels;

/// Any value.
const ANY: &str = "*";
/// Labels of one token: all of them are in each certificate that comes of it.
pub const MOST: usize = 16;
/// Characters of a label's key: a DNS name, a slash, and a name.
const LONGEST_KEY: usize = 253 + 1 + 63;
/// Characters of a label's value.
const LONGEST_VALUE: usize = 63;

/// The labels that a workload has, each with its value, or with `*` for any; it has no others. Without any it may have what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(Labels);

impl Limits {
    /// These.
    ///
    /// # Errors
    /// Which of them cannot be, at `labels`.
    pub fn new(labels: Labels) -> Result<Self, Vec<Fault>> {
        let mut faults: Vec<Fault> = labels.iter().filter_map(|(key, value)| fault(key, value)).collect();
        if labels.len() > MOST {
            faults.push(Fault::at("labels", format!("there may be {MOST}, got {}", labels.len())));
        }
        if faults.is_empty() { Ok(Self(labels)) } else { Err(faults) }
    }

    /// Whether anything goes.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels, with their values.
    pub const fn labels(&self) -> &Labels {
        &self.0
    }

    /// The labels of a workload that says these of itself: what it leaves out has the value that it is to have.
    ///
    /// # Errors
    /// The first that it may not have, in words.
    pub fn apply(&self, said: &Labels) -> Result<Labels, String> {
        if self.is_none() {
            return Ok(said.clone());
        }
        for (key, value) in said {
            match self.0.get(key) {
                None => return Err(format!("the label {key:?} is not among those that are allowed: {self}")),
                Some(allowed) if allowed != ANY && allowed != value => {
                    return Err(format!("the label {key:?} has to be {allowed:?}, and is {value:?}"));
                }
                Some(_) => {}
            }
        }
        let set = self.0.iter().filter(|(_, value)| *value != ANY).map(|(key, value)| (key.clone(), value.clone()));
        Ok(said.iter().map(|(key, value)| (key.clone(), value.clone())).chain(set).collect())
    }
}

fn fault(key: &str, value: &str) -> Option<Fault> {
    let is_word =
        |text: &str, more: &[u8]| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) || more.contains(&byte));
    if key.is_empty() || key.len() > LONGEST_KEY || !is_word(key, b"/") {
        let rule = format!("the key of a label has 1 to {LONGEST_KEY} letters, digits, '-', '_', '.' and '/', got {key:?}");
        return Some(Fault::at("labels", rule));
    }
    if value != ANY && (value.len() > LONGEST_VALUE || !is_word(value, b"")) {
        let rule =
            format!("the value of a label has at most {LONGEST_VALUE} letters, digits, '-', '_' and '.', or is '*' for any, got {value:?}");
        return Some(Fault::at(format!("labels.{key}"), rule));
    }
    None
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(all: &[(&str, &str)]) -> Labels {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn without_limits_a_workload_has_the_labels_that_it_says() {
        let said = labels(&[("app", "cart"), ("tier", "web")]);
        assert_eq!(Limits::default().apply(&said), Ok(said));
    }

    #[test]
    fn a_limited_workload_has_the_labels_that_it_is_to_have_and_no_others() {
        let limits = Limits::new(labels(&[("app", "cart"), ("version", "*")])).unwrap();
        assert_eq!(limits.to_string(), "app=cart,version=*");
        assert_eq!(limits.apply(&labels(&[])), Ok(labels(&[("app", "cart")])));
        let both = labels(&[("app", "cart"), ("version", "2")]);
        assert_eq!(limits.apply(&labels(&[("version", "2")])), Ok(both.clone()));
        assert_eq!(limits.apply(&both), Ok(both));
        let other = limits.apply(&labels(&[("app", "bank")])).unwrap_err();
        assert_eq!(other, "the label \"app\" has to be \"cart\", and is \"bank\"");
        let more = limits.apply(&labels(&[("app", "cart"), ("tier", "db")])).unwrap_err();
        assert_eq!(more, "the label \"tier\" is not among those that are allowed: app=cart,version=*");
        assert!(limits.apply(&labels(&[("App", "cart")])).is_err() && limits.apply(&labels(&[("app", "*")])).is_err());
    }

    #[test]
    fn what_cannot_be_a_label_is_refused_by_name() {
        let told =
            |all: &[(&str, &str)]| Limits::new(labels(all)).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let long = "x".repeat(64);
        assert!(told(&[("app", "a b"), ("b", &long)]).starts_with("labels.app: the value of a label has at most 63 "));
        assert!(told(&[("", "a")]).starts_with("labels: the key of a label has 1 to 317 "));
        let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
        assert_eq!(told(&many), "labels: there may be 16, got 17");
        assert!(Limits::new(labels(&[("example.com/app", ""), ("v", "1.2-a_b")])).is_ok());
    }
}
