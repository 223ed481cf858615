use std::collections::BTreeMap;

use serde_json::Value;

/// What filters have found out about a request, for those behind them: by the filter's name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, BTreeMap<String, Value>>);

/// Something that filters have found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A value.
    Value(&'a Value),
    /// All that one filter has found out.
    All(&'a BTreeMap<String, Value>),
}

impl Metadata {
    /// A filter has found something out.
    pub fn insert(&mut self, filter: &str, name: String, value: Value) {
        match self.0.get_mut(filter) {
            Some(found) => drop(found.insert(name, value)),
            None => drop(self.0.insert(filter.to_owned(), BTreeMap::from([(name, value)]))),
        }
    }

    /// What one filter has found out.
    pub fn of(&self, filter: &str) -> Option<&BTreeMap<String, Value>> {
        self.0.get(filter)
    }

    /// What the names lead to, or all of a filter where there are none; `None` if it is not there, or null.
    pub fn find(&self, filter: &str, path: &[String]) -> Option<Found<'_>> {
        match path {
            [] => self.of(filter).map(Found::All),
            path => self.get(filter, path).filter(|value| !value.is_null()).map(Found::Value),
        }
    }

    /// What the names lead to.
    pub fn get(&self, filter: &str, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(filter)?.get(first)?, |value, name| value.get(name))
    }
}
