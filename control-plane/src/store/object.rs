//! Objects as they are kept: text that is shared, and the server's part of their metadata.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// An object. Clones share its text, which is a tenth of what the value takes in memory.
#[derive(Clone, Debug)]
pub struct Object {
    text: Arc<RawValue>,
    version: u64,
}

/// What the server alone says of an object, in `metadata`.
const SERVERS: [&str; 6] = ["resourceVersion", "generation", "creationTimestamp", "uid", "managedFields", "selfLink"];

impl Object {
    /// The revision of its last write: its `resourceVersion`.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// What it says.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text.get()).unwrap_or_default()
    }

    /// Its JSON.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// Reads text as it is kept.
    pub(super) fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let version = version_of(&value)?;
        Some(Self { text: RawValue::from_string(text.to_owned()).ok()?.into(), version })
    }

    /// The object that `wanted` makes of the one that is there, at revision `version`.
    pub(super) fn stamped(before: Option<&Self>, wanted: Value, version: u64, now: SystemTime) -> Option<Self> {
        let mut value = content(wanted);
        let before = before.map(Self::value).unwrap_or_default();
        let of_before = |field: &str| before.pointer("/metadata").and_then(|metadata| metadata.get(field)).cloned();
        let generation = match of_before("generation").as_ref().and_then(Value::as_u64) {
            Some(generation) if is_same_but_for_metadata(&content(before.clone()), &value) => generation,
            Some(generation) => generation + 1,
            None => 1,
        };
        let created = of_before("creationTimestamp").unwrap_or_else(|| json!(humantime::format_rfc3339_seconds(now).to_string()));
        let uid = of_before("uid").unwrap_or_else(|| json!(uid()));
        let metadata = value.as_object_mut()?.entry("metadata").or_insert_with(|| json!({})).as_object_mut()?;
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
        metadata.insert("generation".to_owned(), json!(generation));
        metadata.insert("creationTimestamp".to_owned(), created);
        metadata.insert("uid".to_owned(), uid);
        Some(Self { text: RawValue::from_string(value.to_string()).ok()?.into(), version })
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.text.get() == other.text.get()
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(text.get()).ok_or_else(|| serde::de::Error::custom("an object without a resourceVersion"))
    }
}

/// What an operator says of an object: all but `status` and the server's part of `metadata`.
pub fn content(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in SERVERS {
                metadata.remove(field);
            }
        }
    }
    value
}

/// The `resourceVersion` that an object carries.
pub fn version_of(value: &Value) -> Option<u64> {
    value.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}

fn is_same_but_for_metadata(one: &Value, other: &Value) -> bool {
    let rest = |value: &Value| -> Option<Map<String, Value>> {
        let mut fields = value.as_object()?.clone();
        fields.remove("metadata");
        Some(fields)
    };
    rest(one) == rest(other)
}

/// A random UUID (version 4).
fn uid() -> String {
    let (high, low) = (fastrand::u64(..), fastrand::u64(..));
    let (high, low) = (high & 0xffff_ffff_ffff_0fff | 0x4000, low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000);
    let digits = format!("{high:016x}{low:016x}");
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(before: Option<&Object>, wanted: Value, version: u64) -> Object {
        Object::stamped(before, wanted, version, SystemTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn the_server_says_its_part_of_the_metadata_and_nobody_else() {
        let wanted = json!({"kind": "Service", "status": {"a": 1}, "metadata": {"name": "web", "uid": "mine", "generation": 77}});
        let object = stamp(None, wanted, 5);
        let value = object.value();
        assert_eq!(value["metadata"]["resourceVersion"], "5");
        assert_eq!(value["metadata"]["generation"], 1);
        assert_eq!(value["metadata"]["creationTimestamp"], "1970-01-01T00:00:00Z");
        assert_ne!(value["metadata"]["uid"], "mine");
        assert_eq!(value.get("status"), None);
        assert_eq!(object.version(), 5);
    }

    #[test]
    fn a_change_of_the_spec_is_a_generation_and_a_change_of_labels_is_not() {
        let first = stamp(None, json!({"metadata": {"name": "web"}, "spec": {"a": 1}}), 1);
        let labelled = stamp(Some(&first), json!({"metadata": {"name": "web", "labels": {"x": "y"}}, "spec": {"a": 1}}), 2);
        let changed = stamp(Some(&labelled), json!({"metadata": {"name": "web"}, "spec": {"a": 2}}), 3);
        let of = |object: &Object, field: &str| object.value()["metadata"][field].clone();
        assert_eq!((of(&labelled, "generation"), of(&changed, "generation")), (json!(1), json!(2)));
        assert_eq!(of(&first, "uid"), of(&changed, "uid"));
    }

    #[test]
    fn a_uid_is_a_uuid() {
        let uid = uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(uid.chars().nth(14), Some('4'));
        assert!(matches!(uid.chars().nth(19), Some('8' | '9' | 'a' | 'b')), "{uid}");
    }
}
