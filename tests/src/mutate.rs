//! Cases with one field of their configuration taken away: a case that does not notice pins less than it says.

use serde_json::Value;

/// Each fragment that results from removing one field or one list entry, with the path of what was removed.
pub fn mutants(config: &Value) -> Vec<(String, Value)> {
    let mut pointers = Vec::new();
    collect(config, String::new(), &mut pointers);
    pointers.into_iter().filter_map(|pointer| without(config, &pointer).map(|mutant| (pointer, mutant))).collect()
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, child)| (escape(key), child)).collect(),
        Value::Array(entries) => entries.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        // Names say nothing about behaviour.
        if key == "name" || key == "@type" || key == "stat_prefix" {
            continue;
        }
        let pointer = format!("{at}/{key}");
        pointers.push(pointer.clone());
        collect(child, pointer, pointers);
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn without(config: &Value, pointer: &str) -> Option<Value> {
    let mut mutant = config.clone();
    let (parent, key) = pointer.rsplit_once('/')?;
    match mutant.pointer_mut(parent)? {
        Value::Object(fields) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Value::Array(entries) => drop(entries.remove(key.parse().ok()?)),
        _ => return None,
    }
    Some(mutant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_and_entry_is_removed_once() {
        let config = json!({"routes": [{"a": 1}], "name": "kept"});
        let removed: Vec<_> = mutants(&config).into_iter().collect();
        assert_eq!(
            removed,
            [
                ("/routes".to_owned(), json!({"name": "kept"})),
                ("/routes/0".to_owned(), json!({"routes": [], "name": "kept"})),
                ("/routes/0/a".to_owned(), json!({"routes": [{}], "name": "kept"})),
            ]
        );
    }
}
