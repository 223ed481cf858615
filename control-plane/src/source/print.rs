//! Objects as YAML text, for people and for differences.

use serde_json::Value;

/// A document, with a line's end.
pub fn yaml(value: &Value) -> String {
    let mut text = serde_saphyr::to_string(value).unwrap_or_default();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::yaml::documents;
    use serde_json::json;

    #[test]
    fn what_is_printed_reads_back_as_it_was() {
        let value = json!({
            "kind": "Service",
            "strings": ["", "yes", "no", "null", "~", "1", "1.5", "0x10", "a: b", "- a", "#x", "two\nlines\n", " x ", "é", "{", "2026-11-22", "'", "\""],
            "others": [1, -2, 2.5, true, null, {}, [], {"a": {"b": [{"c": 1, "d": [1]}]}}],
        });
        let text = yaml(&value);
        assert_eq!(documents(&text).remove(0).unwrap().value, value, "{text}");
    }

    #[test]
    fn it_looks_as_people_write_it() {
        let value = json!({"kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80, "name": "http"}]}});
        assert_eq!(yaml(&value), "kind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - name: http\n    port: 80\n");
    }
}
