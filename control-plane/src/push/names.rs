//! Names that a stream asks for.

use std::sync::Arc;

/// Names in their order, each once. They are shared with the resources that bear them.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<Arc<str>>);

impl Names {
    /// Whether a name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Adds a name; whether it is new.
    pub fn insert(&mut self, name: Arc<str>) -> bool {
        let place = self.find(&name);
        if let Err(at) = place {
            self.0.insert(at, name);
        }
        place.is_err()
    }

    /// Takes a name out; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let place = self.find(name);
        if let Ok(at) = place {
            self.0.remove(at);
        }
        place.is_ok()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives back memory that growing took.
    pub fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Names are mostly added in their order.
        match self.0.last() {
            Some(last) if last.as_ref() < name => Err(self.0.len()),
            _ => self.0.binary_search_by(|known| known.as_ref().cmp(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_once_and_in_its_order() {
        let mut names = Names::default();
        let added: Vec<_> = ["b", "a", "c", "b"].into_iter().map(|name| names.insert(name.into())).collect();
        assert_eq!(added, [true, true, true, false]);
        assert_eq!(names.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "b", "c"]);
        assert!(names.remove("b") && !names.remove("b") && !names.contains("b"));
        assert!(names.len() == 2 && !names.is_empty());
    }
}
