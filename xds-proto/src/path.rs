//! Where in a message a fault is, written as an operator would: `static_resources.listeners[0].filters[1].typed_config`.

use std::fmt::Write as _;

/// A path that grows while a walk goes down and is cut back when it comes up.
#[derive(Debug, Default)]
pub(crate) struct Path {
    text: String,
}

impl Path {
    /// The path so far; [`Path::back_to`] returns to it.
    pub(crate) fn mark(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn back_to(&mut self, mark: usize) {
        self.text.truncate(mark);
    }

    /// Goes into a field. A name that no field can have (it came from a hostile file) is quoted and escaped.
    pub(crate) fn field(&mut self, name: &str) {
        if !is_plain(name) {
            return self.key(name);
        }
        if !self.text.is_empty() {
            self.text.push('.');
        }
        self.text.push_str(name);
    }

    /// Goes into a field that has no name here, only a number.
    pub(crate) fn number(&mut self, number: u32) {
        let dot = if self.text.is_empty() { "" } else { "." };
        let _ = write!(self.text, "{dot}#{number}");
    }

    pub(crate) fn index(&mut self, index: usize) {
        let _ = write!(self.text, "[{index}]");
    }

    /// Goes into the entry of a map.
    pub(crate) fn key(&mut self, key: &str) {
        let short: String = key.chars().take(KEY_LIMIT).collect();
        let _ = write!(self.text, "[{short:?}]");
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Longer keys are cut: a path is to be read by a person.
const KEY_LIMIT: usize = 64;

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@' || c == '-';
    !name.is_empty() && name.len() <= KEY_LIMIT && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_file() {
        let mut path = Path::default();
        path.field("listeners");
        path.index(3);
        path.field("metadata");
        let mark = path.mark();
        path.key("a\"b");
        assert_eq!(path.text(), "listeners[3].metadata[\"a\\\"b\"]");
        path.back_to(mark);
        path.number(47);
        assert_eq!(path.text(), "listeners[3].metadata.#47");
    }

    #[test]
    fn a_name_that_no_field_can_have_is_quoted() {
        let mut path = Path::default();
        path.field("line\nbreak");
        assert_eq!(path.text(), "[\"line\\nbreak\"]");
    }
}
