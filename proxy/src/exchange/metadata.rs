use std::collections::BTreeMap;

use serde_json::Value;

/// What filters have found out about a request, for those behind them: by the filter's name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, BTreeMap<String, Value>>);

impl Metadata {
    /// A filter has found something out.
    pub fn insert(&mut self, filter: &str, name: &str, value: Value) {
        self.0.entry(filter.to_owned()).or_default().insert(name.to_owned(), value);
    }

    /// What one filter has found out.
    pub fn of(&self, filter: &str) -> Option<&BTreeMap<String, Value>> {
        self.0.get(filter)
    }

    /// What the names lead to.
    pub fn get(&self, filter: &str, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(filter)?.get(first)?, |value, name| value.get(name))
    }
}
