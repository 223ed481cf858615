//! What an operator probably meant by a field name that does not exist.

use prost_reflect::{FieldDescriptor, MessageDescriptor};

/// The field with the most similar name, if it is similar enough to be what was meant.
pub(super) fn nearest(descriptor: &MessageDescriptor, name: &str) -> Option<String> {
    let allowed = (name.len() / 3).clamp(1, 4);
    let near = |field: &FieldDescriptor| (name.len().abs_diff(field.name().len()) <= allowed).then(|| distance(field.name(), name));
    let candidates = descriptor.fields().filter_map(|field| Some((near(&field)?, field.name().to_owned())));
    candidates.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut left = i.saturating_add(1);
        let mut diagonal = i;
        let mut next = vec![left];
        for (y, above) in b.bytes().zip(row.iter().skip(1)) {
            let changed = diagonal.saturating_add(usize::from(x != y));
            left = changed.min(left.saturating_add(1)).min(above.saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_added_and_missing_letters() {
        for (a, b, expected) in [("", "", 0), ("abc", "abd", 1), ("abc", "ab", 1), ("", "abc", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
