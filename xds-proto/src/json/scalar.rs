//! Single values: numbers, texts, bytes, enum values. An error is what was expected instead, for the fault's text.

use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, Kind, MapKey, Value};
use serde_json::{Number, Value as Json};

/// Everything but messages, enums and bytes.
pub(super) fn plain(kind: &Kind, json: &Json) -> Result<Value, String> {
    match kind {
        Kind::Bool => {
            let quoted = || json.as_str().and_then(|text| text.parse().ok());
            json.as_bool().or_else(quoted).map(Value::Bool).ok_or_else(|| "true or false".to_owned())
        }
        Kind::String => json.as_str().map(|text| Value::String(text.to_owned())).ok_or_else(|| "a text".to_owned()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(json, i32::MIN, i32::MAX).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(json, i64::MIN, i64::MAX).map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(json, u32::MIN, u32::MAX).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(json, u64::MIN, u64::MAX).map(Value::U64),
        Kind::Float => number(json)?.to_string().parse().map(Value::F32).map_err(|_| A_NUMBER.to_owned()),
        Kind::Double => number(json).map(Value::F64),
        Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => Err("another kind of value".to_owned()),
    }
}

const A_NUMBER: &str = "a number";

/// Base64, as prost-reflect reads it (both alphabets, with and without padding).
pub(super) fn bytes(pool: &DescriptorPool, json: &Json) -> Result<Value, String> {
    let expected = || "bytes in base64".to_owned();
    let wrapper = pool.get_message_by_name("google.protobuf.BytesValue").ok_or_else(expected)?;
    let message = DynamicMessage::deserialize(wrapper, json).map_err(|_| expected())?;
    message.get_field_by_name("value").map(|value| value.into_owned()).ok_or_else(expected)
}

/// A value by name, in any case, or by number.
pub(super) fn enumeration(descriptor: &EnumDescriptor, json: &Json) -> Result<Value, String> {
    let found = match json {
        Json::String(name) => descriptor.values().find(|value| value.name().eq_ignore_ascii_case(name)),
        Json::Number(number) => whole(number).and_then(|n| i32::try_from(n).ok()).and_then(|n| descriptor.get_value(n)),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    };
    found.map(|value| Value::EnumNumber(value.number())).ok_or_else(|| {
        let names: Vec<_> = descriptor.values().take(NAMES_LISTED).map(|value| value.name().to_owned()).collect();
        let more = if descriptor.values().len() > NAMES_LISTED { ", ..." } else { "" };
        format!("one of {}{more}", names.join(", "))
    })
}

/// The longest list in a message; only HTTP status codes have more.
const NAMES_LISTED: usize = 24;

pub(super) fn map_key(kind: &Kind, text: &str) -> Result<MapKey, String> {
    let json = Json::String(text.to_owned());
    match plain(kind, &json)? {
        Value::String(key) => Ok(MapKey::String(key)),
        Value::Bool(key) => Ok(MapKey::Bool(key)),
        Value::I32(key) => Ok(MapKey::I32(key)),
        Value::I64(key) => Ok(MapKey::I64(key)),
        Value::U32(key) => Ok(MapKey::U32(key)),
        Value::U64(key) => Ok(MapKey::U64(key)),
        Value::F32(_) | Value::F64(_) | Value::Bytes(_) | Value::EnumNumber(_) | Value::Message(_) | Value::List(_) | Value::Map(_) => {
            Err("a text, a whole number, true or false".to_owned())
        }
    }
}

/// What stands in the file, short enough for an error message. Texts are cut, as they may be anything.
pub(super) fn describe(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => {
            let short: String = text.chars().take(TEXT_SHOWN).collect();
            let more = if short.len() < text.len() { "..." } else { "" };
            format!("{short:?}{more}")
        }
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

const TEXT_SHOWN: usize = 40;

fn integer<T>(json: &Json, least: T, most: T) -> Result<T, String>
where
    T: TryFrom<i128> + std::fmt::Display,
{
    let value = match json {
        Json::Number(number) => whole(number),
        Json::String(text) => match text.parse::<i128>() {
            Ok(value) => Some(value),
            Err(_) => text.parse().ok().and_then(Number::from_f64).and_then(|number| whole(&number)),
        },
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    };
    let value = value.and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| format!("a whole number from {least} to {most}"))
}

/// `8080`, and also `8080.0` and `8.08e3`, as protobuf JSON has it.
fn whole(number: &Number) -> Option<i128> {
    if let Some(value) = number.as_i64() {
        return Some(value.into());
    }
    if let Some(value) = number.as_u64() {
        return Some(value.into());
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < WHOLE_LIMIT)?;
    format!("{value:.0}").parse().ok()
}

/// Beyond 64-bit integers there is nothing that a field could hold.
const WHOLE_LIMIT: f64 = 2e19;

fn number(json: &Json) -> Result<f64, String> {
    let value = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|value: &f64| value.is_finite()),
        },
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    };
    value.ok_or_else(|| A_NUMBER.to_owned())
}
