use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::fault::Fault;

/// Collects faults, each with the path of its field.
#[derive(Debug, Default)]
pub(super) struct Reader {
    path: String,
    faults: Vec<Fault>,
}

impl Reader {
    /// Something is wrong with the field that is being read.
    pub(super) fn refuse<T>(&mut self, problem: impl fmt::Display) -> Option<T> {
        self.faults.push(Fault::at(self.path.clone(), problem));
        None
    }

    /// Something is wrong with a field of it.
    pub(super) fn refuse_at<T>(&mut self, field: &str, problem: impl fmt::Display) -> Option<T> {
        self.at(field, |reader| reader.refuse(problem))
    }

    /// Reads a field.
    pub(super) fn at<R>(&mut self, field: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.path.len();
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(field);
        let result = read(self);
        self.path.truncate(before);
        result
    }

    /// Reads an item of the list that is being read.
    pub(super) fn item<R>(&mut self, at: usize, read: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.path.len();
        self.path.push_str(&format!("[{at}]"));
        let result = read(self);
        self.path.truncate(before);
        result
    }

    /// Reads all items of a list; those that are wrong are left out.
    pub(super) fn each<T, R>(&mut self, field: &str, items: &[T], mut read: impl FnMut(&T, &mut Self) -> Option<R>) -> Vec<R> {
        self.at(field, |reader| {
            let items = items.iter().enumerate();
            items.filter_map(|(at, item)| reader.item(at, |reader| read(item, reader))).collect()
        })
    }

    /// Reads a part of an object into a shape; nothing is the default.
    pub(super) fn shape<T: DeserializeOwned + Default>(&mut self, value: &Value, field: &str) -> Option<T> {
        match value.get(field) {
            None | Some(Value::Null) => Some(T::default()),
            Some(value) => match serde_path_to_error::deserialize(value) {
                Ok(shape) => Some(shape),
                Err(error) => {
                    let path = path_of(error.path());
                    let field = if path.is_empty() { field.to_owned() } else { format!("{field}.{path}") };
                    self.refuse_at(&field, error.into_inner())
                }
            },
        }
    }

    /// What was read, unless something is wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Vec<Fault>> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ if self.faults.is_empty() => Err(vec![Fault::at("", "it cannot be read")]),
            _ => Err(self.faults),
        }
    }
}

/// In the form that faults have: `spec.rules[0].matches`.
pub(super) fn path_of(path: &serde_path_to_error::Path) -> String {
    let text = path.to_string();
    if text == "." { String::new() } else { text }
}

/// The same of a field that is not known. Lists are `rules.0` there.
pub(super) fn path_of_ignored(path: &serde_ignored::Path<'_>) -> String {
    let mut text = String::new();
    for part in path.to_string().split('.').filter(|part| *part != "?") {
        match part.parse::<usize>() {
            Ok(at) => text.push_str(&format!("[{at}]")),
            Err(_) if text.is_empty() => text.push_str(part),
            Err(_) => {
                text.push('.');
                text.push_str(part);
            }
        }
    }
    text
}
