//! Which object a document is: what every kind has in common, whatever else it says.

use serde_json::Value;

use crate::model::fault::Fault;
use crate::model::kind::Kind;
use crate::model::name::Key;
use crate::source::manifest;

/// The object that a document is, and the document with its namespace written out.
///
/// # Errors
/// All that is wrong with what every kind has.
pub fn placed(mut value: Value, namespace: &str) -> Result<(Key, Value), Vec<Fault>> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let is_namespaced = Kind::of_document(text("apiVersion"), text("kind")).is_some_and(Kind::is_namespaced);
    if is_namespaced && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        let own = metadata.entry("namespace").or_insert(Value::Null);
        if own.is_null() {
            *own = Value::from(namespace);
        }
    }
    manifest::key(&value).map(|key| (key, value))
}

/// The objects of a document: itself, or the items of a list.
pub fn objects(value: Value) -> Vec<Value> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Array(items) => items,
        Value::Object(mut fields) if is_list && fields.get("items").is_some_and(Value::is_array) => match fields.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_without_a_namespace_is_put_into_one() {
        let (key, value) = placed(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}), "shop").unwrap();
        assert_eq!((key.to_string().as_str(), &value["metadata"]["namespace"]), ("Service shop/web", &json!("shop")));
        let mesh = json!({"apiVersion": "ninon.dev/v1alpha1", "kind": "MeshConfig", "metadata": {"name": "mesh"}});
        let (key, value) = placed(mesh.clone(), "shop").unwrap();
        assert_eq!((key.to_string().as_str(), value), ("MeshConfig mesh", mesh));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        let wrong = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "Web"}});
        let faults = placed(wrong, "shop").unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["metadata.name"]);
    }

    #[test]
    fn a_list_is_its_items() {
        assert_eq!(objects(json!({"kind": "List", "items": [1, 2]})), [json!(1), json!(2)]);
        assert_eq!(objects(json!([1])), [json!(1)]);
        assert_eq!(objects(json!({"kind": "Service"})), [json!({"kind": "Service"})]);
    }
}
