//! Which object a document is: what every kind has in common, whatever else it says.

use serde_json::{Value, json};

use crate::model::fault::Fault;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};

/// The namespace of what names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The object that a document is, and the document with its namespace written out. Every fault is told.
pub fn placed(mut value: Value, namespace: &str) -> Result<(Key, Value), Vec<Fault>> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !value.is_object() {
        return Err(vec![Fault::at("", "must be an object with apiVersion, kind and metadata")]);
    }
    let (api_version, kind, name, own) = (text("/apiVersion"), text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
    let mut faults = Vec::new();
    let known = Kind::of_document(&api_version, &kind);
    match known {
        _ if api_version.is_empty() => faults.push(Fault::at("apiVersion", "is missing")),
        _ if kind.is_empty() => faults.push(Fault::at("kind", "is missing")),
        None => faults.push(unknown(&api_version, &kind)),
        Some(_) => {}
    }
    faults.extend(name_fault("metadata.name", &name, 253));
    let namespaced = known.is_none_or(Kind::is_namespaced);
    let namespace = if own.is_empty() { namespace } else { &own };
    if namespaced {
        faults.extend(name_fault("metadata.namespace", namespace, 63));
    } else if !own.is_empty() {
        faults.push(Fault::at("metadata.namespace", format!("a {kind} has no namespace, got {own:?}")));
    }
    let Some(kind) = known.filter(|_| faults.is_empty()) else { return Err(faults) };
    let namespace = if namespaced { namespace } else { "" };
    let key = Key { kind, name: Name::new(namespace, name) };
    if namespaced && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), json!(namespace.to_owned()));
    }
    Ok((key, value))
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
        other => vec![other],
    }
}

fn unknown(api_version: &str, kind: &str) -> Fault {
    let same = Kind::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind));
    match same {
        Some(known) if known.as_str() == kind => {
            Fault::at("apiVersion", format!("{kind} is of {}, got {api_version:?}", known.api_version()))
        }
        Some(known) => Fault::at("kind", format!("must be {known}, got {kind:?}")),
        None => {
            let known: Vec<_> = Kind::ALL.into_iter().map(Kind::as_str).collect();
            Fault::at("kind", format!("{kind:?} of {api_version:?} is not known; known are {}", known.join(", ")))
        }
    }
}

/// What is wrong with a name: RFC 1123 labels, with dots between them where they may be long.
fn name_fault(path: &str, name: &str, longest: usize) -> Option<Fault> {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let dots = longest > 63;
    match name {
        "" => Some(Fault::at(path, "is missing")),
        name if name.len() > longest => Some(Fault::at(path, format!("must have {longest} characters at most, got {}", name.len()))),
        name if dots && name.split('.').all(is_label) || is_label(name) => None,
        name => Some(Fault::at(path, format!("must be lower-case letters, digits and '-', got {name:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(value: Value) -> Vec<String> {
        placed(value, DEFAULT_NAMESPACE).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_document_without_a_namespace_is_put_into_one() {
        let (key, value) = placed(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}), "shop").unwrap();
        assert_eq!((key.to_string().as_str(), &value["metadata"]["namespace"]), ("Service shop/web", &json!("shop")));
        let mesh = json!({"apiVersion": "ninon.dev/v1alpha1", "kind": "MeshConfig", "metadata": {"name": "mesh"}});
        let (key, value) = placed(mesh.clone(), "shop").unwrap();
        assert_eq!((key.to_string().as_str(), value), ("MeshConfig mesh", mesh));
    }

    #[test]
    fn every_fault_is_told_with_its_field() {
        assert_eq!(faults(json!([])), ["must be an object with apiVersion, kind and metadata"]);
        assert_eq!(faults(json!({})), ["apiVersion: is missing", "metadata.name: is missing"]);
        let wrong = json!({"apiVersion": "v2", "kind": "Service", "metadata": {"name": "Web", "namespace": "a.b"}});
        let problem = "must be lower-case letters, digits and '-'";
        let told = [
            "apiVersion: Service is of v1, got \"v2\"",
            &format!("metadata.name: {problem}, got \"Web\""),
            &format!("metadata.namespace: {problem}, got \"a.b\""),
        ];
        assert_eq!(faults(wrong), told);
        let case = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HttpRoute", "metadata": {"name": "web"}});
        assert_eq!(faults(case), ["kind: must be HTTPRoute, got \"HttpRoute\""]);
        let placed = json!({"apiVersion": "ninon.dev/v1alpha1", "kind": "MeshConfig", "metadata": {"name": "mesh", "namespace": "shop"}});
        assert_eq!(faults(placed), ["metadata.namespace: a MeshConfig has no namespace, got \"shop\""]);
    }

    #[test]
    fn a_list_is_its_items() {
        assert_eq!(objects(json!({"kind": "List", "items": [1, 2]})), [json!(1), json!(2)]);
        assert_eq!(objects(json!([1])), [json!(1)]);
        assert_eq!(objects(json!({"kind": "Service"})), [json!({"kind": "Service"})]);
    }
}
