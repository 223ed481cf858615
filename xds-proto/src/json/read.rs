//! JSON to a dynamic message, along the descriptors. A fault does not stop the walk: its siblings are still looked at.

use std::collections::HashMap;
use std::fmt;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, OneofDescriptor, ReflectMessage as _, Value,
};
use serde_json::{Map, Value as Json};

use super::nearest::nearest;
use super::scalar;
use crate::path::Path;
use crate::unknown::{Unknown, UnknownKind};
use crate::{Fault, MAX_DEPTH, any};

pub(super) struct Reader<'a> {
    pool: &'a DescriptorPool,
    path: Path,
    unknown: Vec<Unknown>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(pool: &'a DescriptorPool) -> Self {
        Self { pool, path: Path::default(), unknown: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Unknown>, Vec<Fault>) {
        (self.unknown, self.faults)
    }

    /// `None` if there was a fault; it is on the list.
    pub(super) fn message(&mut self, descriptor: &MessageDescriptor, json: &Json, depth: usize) -> Option<DynamicMessage> {
        if depth > MAX_DEPTH {
            return self.fault(format_args!("nested deeper than {MAX_DEPTH} messages"));
        }
        match Form::of(descriptor) {
            Form::Any => self.any(descriptor, json, depth),
            Form::Wrapper(field) => {
                let mut message = DynamicMessage::new(descriptor.clone());
                message.set_field(&field, self.single(&field.kind(), json, depth)?);
                Some(message)
            }
            Form::Text(example) => self.well_known(descriptor, json, example),
            Form::Free => {
                let levels = levels(json).saturating_mul(WIRE_LEVELS_OF_A_JSON_LEVEL);
                if depth.saturating_add(levels) > MAX_DEPTH {
                    return self.fault(format_args!("nested deeper than {MAX_DEPTH} messages"));
                }
                let expected = if descriptor.name() == "Struct" { "an object" } else { "a list" };
                self.well_known(descriptor, json, expected)
            }
            Form::Fields => {
                let object = self.object(json)?;
                let mut message = DynamicMessage::new(descriptor.clone());
                self.fields(&mut message, object, depth);
                Some(message)
            }
        }
    }

    fn any(&mut self, descriptor: &MessageDescriptor, json: &Json, depth: usize) -> Option<DynamicMessage> {
        let object = self.object(json)?;
        let mut any = DynamicMessage::new(descriptor.clone());
        if object.is_empty() {
            return Some(any);
        }
        let Some(Json::String(type_url)) = object.get(TYPE_KEY) else {
            return self.fault(format_args!("needs \"@type\", the type URL of what is inside"));
        };
        let Some(name) = any::type_name(type_url) else {
            return self.fault(format_args!("\"@type\" must be like type.googleapis.com/<message>, got {type_url:?}"));
        };
        any.set_field_by_name("type_url", Value::String(type_url.clone()));
        let Some(inner) = self.pool.get_message_by_name(name) else {
            self.unknown(UnknownKind::AnyType { type_url: type_url.clone() });
            return Some(any);
        };
        let payload = if matches!(Form::of(&inner), Form::Fields) {
            let mut payload = DynamicMessage::new(inner);
            self.fields(&mut payload, object, depth.saturating_add(1));
            payload
        } else {
            self.wrapped(&inner, object, depth)?
        };
        any.set_field_by_name("value", Value::Bytes(payload.encode_to_vec().into()));
        Some(any)
    }

    /// A type with a JSON form of its own stands under `"value"` in an `Any`.
    fn wrapped(&mut self, inner: &MessageDescriptor, object: &Map<String, Json>, depth: usize) -> Option<DynamicMessage> {
        for key in object.keys().filter(|key| *key != TYPE_KEY && *key != VALUE_KEY) {
            let message = inner.full_name().to_owned();
            self.at(|path| path.field(key), |reader| reader.unknown(UnknownKind::Field { message, nearest: None }));
        }
        let Some(value) = object.get(VALUE_KEY) else {
            return self.fault(format_args!("needs \"value\", the {} itself", inner.full_name()));
        };
        self.at(|path| path.field(VALUE_KEY), |reader| reader.message(inner, value, depth.saturating_add(1)))
    }

    fn fields(&mut self, message: &mut DynamicMessage, object: &Map<String, Json>, depth: usize) {
        let descriptor = message.descriptor();
        let mut given = Given::default();
        for (name, json) in object.iter().filter(|(name, _)| *name != TYPE_KEY) {
            let mark = self.path.mark();
            self.path.field(name);
            let field = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
            match field {
                None => {
                    let nearest = nearest(&descriptor, name);
                    self.unknown(UnknownKind::Field { message: descriptor.full_name().to_owned(), nearest });
                }
                Some(field) if json.is_null() && !accepts_null(&field) => {}
                Some(field) => {
                    if let Err(problem) = given.add(&field) {
                        self.fault::<()>(format_args!("{problem}"));
                    } else if let Some(value) = self.field(&field, json, depth) {
                        message.set_field(&field, value);
                    }
                }
            }
            self.path.back_to(mark);
        }
    }

    fn field(&mut self, field: &FieldDescriptor, json: &Json, depth: usize) -> Option<Value> {
        if field.is_map() {
            return self.map(field, json, depth).map(Value::Map);
        }
        if !field.is_list() {
            return self.single(&field.kind(), json, depth.saturating_add(1));
        }
        let Json::Array(items) = json else {
            return self.mismatch("a list", json);
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = self.at(|path| path.index(index), |reader| reader.single(&field.kind(), item, depth.saturating_add(1)));
            values.extend(value);
        }
        Some(Value::List(values))
    }

    fn map(&mut self, field: &FieldDescriptor, json: &Json, depth: usize) -> Option<HashMap<MapKey, Value>> {
        let kind = field.kind();
        let entry = kind.as_message()?;
        let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::new();
        for (text, item) in self.object(json)? {
            let pair = self.at(
                |path| path.key(text),
                |reader| {
                    let key = match scalar::map_key(&key_kind, text) {
                        Ok(key) => key,
                        Err(expected) => {
                            return reader.fault(format_args!("the key must be {expected}"));
                        }
                    };
                    Some((key, reader.single(&value_kind, item, depth.saturating_add(2))?))
                },
            );
            map.extend(pair);
        }
        Some(map)
    }

    fn single(&mut self, kind: &Kind, json: &Json, depth: usize) -> Option<Value> {
        if let Kind::Message(descriptor) = kind {
            return self.message(descriptor, json, depth).map(Value::Message);
        }
        let value = match kind.as_enum() {
            Some(descriptor) => scalar::enumeration(descriptor, json),
            None if *kind == Kind::Bytes => scalar::bytes(self.pool, json),
            None => scalar::plain(kind, json),
        };
        match value {
            Ok(value) => Some(value),
            Err(expected) => self.mismatch(&expected, json),
        }
    }

    /// Types whose JSON form prost-reflect reads: texts, and free-form JSON.
    fn well_known(&mut self, descriptor: &MessageDescriptor, json: &Json, expected: &str) -> Option<DynamicMessage> {
        match DynamicMessage::deserialize(descriptor.clone(), json) {
            Ok(message) => Some(message),
            Err(_) => self.mismatch(expected, json),
        }
    }

    fn object<'j>(&mut self, json: &'j Json) -> Option<&'j Map<String, Json>> {
        json.as_object().or_else(|| self.mismatch("an object", json))
    }

    fn at<T>(&mut self, enter: impl FnOnce(&mut Path), read: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.path.mark();
        enter(&mut self.path);
        let result = read(self);
        self.path.back_to(mark);
        result
    }

    fn mismatch<T>(&mut self, expected: &str, json: &Json) -> Option<T> {
        self.fault(format_args!("expected {expected}, got {}", scalar::describe(json)))
    }

    fn fault<T>(&mut self, problem: fmt::Arguments<'_>) -> Option<T> {
        self.faults.push(Fault { path: self.path.text().to_owned(), problem: problem.to_string() });
        None
    }

    fn unknown(&mut self, kind: UnknownKind) {
        self.unknown.push(Unknown { path: self.path.text().to_owned(), kind });
    }
}

const TYPE_KEY: &str = "@type";
const VALUE_KEY: &str = "value";

/// A JSON object in a `Struct` is a map entry, a value and the object itself on the wire.
const WIRE_LEVELS_OF_A_JSON_LEVEL: usize = 3;

/// How a message looks in JSON.
enum Form {
    /// An object with its fields.
    Fields,
    Any,
    /// As the only field of the message.
    Wrapper(FieldDescriptor),
    /// A text of its own kind; with an example.
    Text(&'static str),
    /// Any JSON.
    Free,
}

impl Form {
    fn of(descriptor: &MessageDescriptor) -> Self {
        let Some(name) = descriptor.full_name().strip_prefix("google.protobuf.") else {
            return Self::Fields;
        };
        match name {
            "Any" => Self::Any,
            "Duration" => Self::Text("a duration in seconds such as \"1.5s\""),
            "Timestamp" => Self::Text("a time such as \"2026-01-31T12:00:00Z\""),
            "FieldMask" => Self::Text("field names such as \"a,b\""),
            "Struct" | "ListValue" | "Value" => Self::Free,
            _ => match descriptor.get_field_by_name(VALUE_KEY) {
                Some(field) if name.ends_with("Value") => Self::Wrapper(field),
                _ => Self::Fields,
            },
        }
    }
}

/// The fields that an object gave so far.
#[derive(Default)]
struct Given {
    numbers: Vec<u32>,
    choices: Vec<(OneofDescriptor, String)>,
}

impl Given {
    fn add(&mut self, field: &FieldDescriptor) -> Result<(), String> {
        if self.numbers.contains(&field.number()) {
            return Err(format!("{} is given twice, in two spellings", field.name()));
        }
        self.numbers.push(field.number());
        let Some(choice) = field.containing_oneof() else {
            return Ok(());
        };
        if let Some((_, other)) = self.choices.iter().find(|(oneof, _)| *oneof == choice) {
            return Err(format!("only one of {other} and {} may be given", field.name()));
        }
        self.choices.push((choice, field.name().to_owned()));
        Ok(())
    }
}

/// Elsewhere null is the same as leaving the field out.
fn accepts_null(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    kind.as_message().is_some_and(|message| message.full_name() == "google.protobuf.Value")
}

/// Levels of nesting, found without recursion: the value may be nested deeper than a stack.
fn levels(json: &Json) -> usize {
    let mut deepest = 0_usize;
    let mut open = vec![(json, 1_usize)];
    while let Some((json, level)) = open.pop() {
        deepest = deepest.max(level);
        let below = level.saturating_add(1);
        match json {
            Json::Array(items) => open.extend(items.iter().map(|item| (item, below))),
            Json::Object(object) => open.extend(object.values().map(|item| (item, below))),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    deepest
}
