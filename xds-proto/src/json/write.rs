//! A dynamic message to JSON. Written here and not by prost-reflect, which fails on an `Any` of an unknown type and knows
//! no secrets.

use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::{Map, Value as Json};

use super::Secrets;
use crate::{Fault, MAX_DEPTH, any};

pub(super) struct Writer<'a> {
    pool: &'a DescriptorPool,
    secrets: Secrets,
}

impl<'a> Writer<'a> {
    pub(super) fn new(pool: &'a DescriptorPool, secrets: Secrets) -> Self {
        Self { pool, secrets }
    }

    /// `hidden` if the message is part of a secret.
    pub(super) fn message(&self, message: &DynamicMessage, hidden: bool, depth: usize) -> Result<Json, Fault> {
        let descriptor = message.descriptor();
        if depth > MAX_DEPTH {
            return Err(super::whole(format!("nested deeper than {MAX_DEPTH} messages")));
        }
        match descriptor.full_name() {
            "google.protobuf.Any" => self.any(message, hidden, depth),
            name if is_wrapped(name) && hidden => Ok(redacted()),
            name if is_wrapped(name) => plain(message),
            _ => self.fields(message, hidden, depth).map(Json::Object),
        }
    }

    fn fields(&self, message: &DynamicMessage, hidden: bool, depth: usize) -> Result<Map<String, Json>, Fault> {
        let mut object = Map::new();
        for (field, value) in message.fields() {
            let below = hidden && !PUBLIC_IN_A_SECRET.contains(&field.name());
            let secret = super::is_sensitive(field.full_name()) || field.full_name() == CARRIES_TOKENS;
            let below = below || (self.secrets == Secrets::Redacted && secret);
            let json = self.value(&field.kind(), value, below, depth.saturating_add(1))?;
            object.insert(field.name().to_owned(), json);
        }
        Ok(object)
    }

    fn any(&self, message: &DynamicMessage, hidden: bool, depth: usize) -> Result<Json, Fault> {
        let any: prost_types::Any = message.transcode_to().map_err(|error| super::whole(error.to_string()))?;
        if any == prost_types::Any::default() {
            return Ok(Json::Object(Map::new()));
        }
        let known = any::type_name(&any.type_url).and_then(|name| self.pool.get_message_by_name(name));
        let Some(descriptor) = known else {
            return Ok(with_type(any.type_url, self.bytes(any.value, hidden)?));
        };
        let payload = self.payload(descriptor, any.value.as_slice())?;
        let mut json = self.message(&payload, hidden, depth.saturating_add(1))?;
        if is_wrapped(payload.descriptor().full_name()) {
            return Ok(with_type(any.type_url, json));
        }
        if let Some(object) = json.as_object_mut() {
            object.insert("@type".to_owned(), Json::String(any.type_url));
        }
        Ok(json)
    }

    fn payload(&self, descriptor: MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, Fault> {
        let name = descriptor.full_name().to_owned();
        DynamicMessage::decode(descriptor, bytes).map_err(|error| super::whole(format!("not a {name}: {error}")))
    }

    fn value(&self, kind: &Kind, value: &Value, hidden: bool, depth: usize) -> Result<Json, Fault> {
        Ok(match value {
            Value::Message(message) => self.message(message, hidden, depth)?,
            Value::List(items) => items.iter().map(|item| self.value(kind, item, hidden, depth)).collect::<Result<Vec<_>, _>>()?.into(),
            Value::Map(entries) => {
                let entry = kind.as_message().filter(|message| message.is_map_entry());
                let value_kind = entry.map_or_else(|| kind.clone(), |entry| entry.map_entry_value_field().kind());
                let mut object = Map::new();
                for (key, item) in entries {
                    object.insert(key_text(key), self.value(&value_kind, item, hidden, depth)?);
                }
                Json::Object(object)
            }
            Value::String(_) if hidden => redacted(),
            Value::String(text) => Json::String(text.clone()),
            Value::Bytes(bytes) => self.bytes(bytes.to_vec(), hidden)?,
            Value::Bool(value) => Json::Bool(*value),
            Value::I32(value) => (*value).into(),
            Value::U32(value) => (*value).into(),
            // Canonical: a JSON number cannot be trusted with 64 bits.
            Value::I64(value) => value.to_string().into(),
            Value::U64(value) => value.to_string().into(),
            Value::F32(value) => float(f64::from(*value)),
            Value::F64(value) => float(*value),
            Value::EnumNumber(number) => enum_name(kind, *number),
        })
    }

    fn bytes(&self, bytes: Vec<u8>, hidden: bool) -> Result<Json, Fault> {
        // As Envoy: base64 again, so that what was written can be read.
        let bytes = if hidden { REDACTED.as_bytes().to_vec() } else { bytes };
        let Some(wrapper) = self.pool.get_message_by_name("google.protobuf.BytesValue") else {
            return Err(super::whole("google.protobuf.BytesValue is missing".to_owned()));
        };
        let mut message = DynamicMessage::new(wrapper);
        message.set_field_by_name("value", Value::Bytes(bytes.into()));
        plain(&message)
    }
}

/// Where a secret comes from is what an operator looks for, and gives nothing away.
const PUBLIC_IN_A_SECRET: [&str; 3] = ["filename", "environment_variable", "watched_directory"];

/// Not marked upstream, and what a server is shown as proof is there.
const CARRIES_TOKENS: &str = "envoy.config.core.v3.GrpcService.initial_metadata";

/// In place of key material.
const REDACTED: &str = "[redacted]";

fn redacted() -> Json {
    Json::String(REDACTED.to_owned())
}

/// Types with a JSON form of their own.
fn is_wrapped(name: &str) -> bool {
    name.starts_with("google.protobuf.") && name != "google.protobuf.Empty"
}

fn plain(message: &DynamicMessage) -> Result<Json, Fault> {
    serde_json::to_value(message).map_err(|error| super::whole(format!("{}: {error}", message.descriptor().full_name())))
}

fn with_type(type_url: String, value: Json) -> Json {
    let mut object = Map::new();
    object.insert("@type".to_owned(), Json::String(type_url));
    object.insert("value".to_owned(), value);
    Json::Object(object)
}

fn float(value: f64) -> Json {
    match serde_json::Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn enum_name(kind: &Kind, number: i32) -> Json {
    let value = kind.as_enum().and_then(|descriptor| descriptor.get_value(number));
    value.map_or_else(|| number.into(), |value| value.name().into())
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(key) => key.clone(),
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
    }
}
