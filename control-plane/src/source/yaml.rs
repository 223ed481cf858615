//! YAML and JSON text, document by document, so that one that is wrong does not hide the others; and the line of every field.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

/// Objects and lists within one another. Deeper is no configuration, and fills the stack.
const DEEPEST: usize = 64;
/// Scalars, lists and objects of one document.
const MOST_NODES: usize = 1_000_000;

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// The line where it begins, the first line being 1.
    pub line: usize,
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// The line of a field, or of the nearest field around it that is there.
    pub fn line_of(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(at) => path = path.get(..at).unwrap_or_default(),
                None => return self.line,
            }
        }
    }
}

/// Text that is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlFault {
    /// The line, the first being 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for YamlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// All documents of a text, in order. Empty ones are left out.
pub fn documents(text: &str) -> Vec<Result<Document, YamlFault>> {
    split(text).into_iter().filter_map(|(line, text)| document(line, &text).transpose()).collect()
}

/// Cuts a text where documents end. YAML allows `---` at the beginning of a line nowhere else (YAML 1.2.2, section 9.1.2).
fn split(text: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = vec![(1, String::new())];
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let words = line.trim_end();
        let begins = words == "---" || words.starts_with("--- ") || words.starts_with("---\t");
        if begins || words == "..." {
            parts.push((at.saturating_add(1), String::new()));
        }
        if let Some((_, part)) = parts.last_mut().filter(|_| words != "...") {
            part.push_str(line);
        } else if let Some((_, part)) = parts.last_mut() {
            part.push('\n');
        }
    }
    parts
}

fn document(line: usize, text: &str) -> Result<Option<Document>, YamlFault> {
    let before = line.saturating_sub(1);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEEPEST, max_nodes: MOST_NODES, max_events: MOST_NODES },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        with_snippet: false,
    };
    let tree: Spanned<Tree> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().and_then(|location| usize::try_from(location.line()).ok()).unwrap_or(1);
        YamlFault { line: before.saturating_add(at), problem: error.to_string() }
    })?;
    if matches!(tree.value, Tree::Null) {
        return Ok(None);
    }
    let mut lines = BTreeMap::new();
    let first = line_of(&tree).max(1);
    let value = flatten(tree, "", before, &mut lines);
    Ok(Some(Document { value, line: before.saturating_add(first), lines }))
}

/// A value that knows where it stands.
enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Self>>),
    Object(Vec<(String, Spanned<Self>)>),
}

fn line_of(tree: &Spanned<Tree>) -> usize {
    usize::try_from(tree.referenced.line()).unwrap_or(usize::MAX)
}

fn flatten(tree: Spanned<Tree>, path: &str, before: usize, lines: &mut BTreeMap<String, usize>) -> Value {
    let line = before.saturating_add(line_of(&tree));
    if !path.is_empty() {
        lines.insert(path.to_owned(), line);
    }
    match tree.value {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(value),
        Tree::Number(number) => Value::Number(number),
        Tree::Text(text) => Value::String(text),
        Tree::List(items) => {
            let items = items.into_iter().enumerate();
            Value::Array(items.map(|(at, item)| flatten(item, &format!("{path}[{at}]"), before, lines)).collect())
        }
        Tree::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                (name, flatten(value, &path, before, lines))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Tree, E> {
        Number::from_f64(value).map(Tree::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(Tree::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_document_is_read_by_itself() {
        // `yes` is true, as for kubectl.
        let text = "# a\nkind: A\n---\nkind: [\n---\nkind: C\nlist:\n- x: 1\n- x: yes\n---\n# nothing\n...\n--- {kind: D}\n";
        let read = documents(text);
        let values: Vec<_> = read.iter().map(|read| read.as_ref().map(|document| &document.value).ok()).collect();
        let third = json!({"kind": "C", "list": [{"x": 1}, {"x": true}]});
        assert_eq!(values, [Some(&json!({"kind": "A"})), None, Some(&third), Some(&json!({"kind": "D"}))]);
        let lines: Vec<_> = read.iter().map(|read| read.as_ref().map_or_else(|fault| fault.line, |document| document.line)).collect();
        assert!(matches!(lines.as_slice(), [2, 4 | 5, 6, 13]), "{lines:?}");
    }

    #[test]
    fn a_field_has_its_line_and_a_missing_one_that_of_what_is_around_it() {
        let text = "---\nspec:\n  ports:\n  - port: 80\n    name: http\n";
        let document = documents(text).remove(0).unwrap();
        assert_eq!(document.line_of("spec.ports[0].name"), 5);
        assert_eq!(document.line_of("spec.ports[0].protocol"), 4);
        assert_eq!(document.line_of("spec.ports[7].name"), 4);
        assert_eq!(document.line_of("status"), 2);
    }

    #[test]
    fn json_is_yaml() {
        let document = documents("{\"a\": {\"b\": [1, 2.5, null, \"\\u00e9\"]}}").remove(0).unwrap();
        assert_eq!(document.value, json!({"a": {"b": [1, 2.5, null, "é"]}}));
    }

    #[test]
    fn the_same_key_twice_is_a_fault() {
        let fault = documents("a: 1\na: 2\n").remove(0).unwrap_err();
        assert_eq!(fault.line, 2);
        assert!(fault.problem.contains("duplicate"), "{fault}");
    }

    #[test]
    fn a_document_that_is_too_deep_is_refused() {
        let fault = documents(&"[".repeat(1000)).remove(0).unwrap_err();
        assert!(!fault.problem.is_empty());
    }
}
