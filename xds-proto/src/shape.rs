//! Whether a resource lies within the slice, by field numbers alone: no names, no descriptors, no memory. Most resources do; the
//! others are looked at again with [`crate::unknown`], which says what it is.

use prost::bytes::Buf as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::Any;

use crate::{MAX_DEPTH, any};

/// A message: its fields by number.
struct Shape {
    name: &'static str,
    fields: &'static [(u32, Inside)],
}

/// What is inside a field.
#[derive(Clone, Copy)]
enum Inside {
    /// Nothing that could have fields which are not known.
    Nothing,
    /// A message, by its place in the table.
    Message(usize),
    /// Anything.
    Any,
    /// A map of messages.
    MapOf(usize),
    /// A map of anything.
    MapOfAny,
}

// The table of all messages, in the order of their names.
include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

const MAP_VALUE: u32 = 2;
const ANY_TYPE_URL: u32 = 1;
const ANY_VALUE: u32 = 2;

/// Whether nothing in it lies outside of the slice. `false` for what is malformed, too.
pub fn is_within(resource: &Any) -> bool {
    payload(resource.type_url.as_bytes(), &resource.value, 0).is_some()
}

/// `None`: something is outside, or malformed.
fn payload(type_url: &[u8], value: &[u8], depth: usize) -> Option<()> {
    if type_url.is_empty() && value.is_empty() {
        return Some(());
    }
    let name = any::type_name(std::str::from_utf8(type_url).ok()?)?;
    // What the protocol buffers library defines has no names of ours: the other walk knows it.
    let at = SHAPES.binary_search_by(|shape| shape.name.cmp(name)).ok().filter(|_| !name.starts_with("google.protobuf."))?;
    message(at, value, depth)
}

fn message(at: usize, mut bytes: &[u8], depth: usize) -> Option<()> {
    let shape = SHAPES.get(at).filter(|_| depth <= MAX_DEPTH)?;
    let deeper = depth.saturating_add(1);
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).ok()?;
        let at = shape.fields.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, inside) = *shape.fields.get(at)?;
        match inside {
            Inside::Nothing => skip_field(wire_type, number, &mut bytes, DecodeContext::default()).ok()?,
            Inside::Message(at) => message(at, delimited(wire_type, &mut bytes)?, deeper)?,
            Inside::Any => anything(delimited(wire_type, &mut bytes)?, deeper)?,
            Inside::MapOf(at) => {
                let body = delimited(wire_type, &mut bytes)?;
                values(body, MAP_VALUE, |value| message(at, value, deeper.saturating_add(1)))?;
            }
            Inside::MapOfAny => values(delimited(wire_type, &mut bytes)?, MAP_VALUE, |value| anything(value, deeper.saturating_add(1)))?,
        }
    }
    Some(())
}

fn anything(body: &[u8], depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    let (mut type_url, mut value): (&[u8], &[u8]) = (&[], &[]);
    values(body, ANY_TYPE_URL, |found| {
        type_url = found;
        Some(())
    })?;
    values(body, ANY_VALUE, |found| {
        value = found;
        Some(())
    })?;
    payload(type_url, value, depth.saturating_add(1))
}

/// Every occurrence of one field.
fn values<'b>(mut bytes: &'b [u8], wanted: u32, mut each: impl FnMut(&'b [u8]) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).ok()?;
        if number == wanted && wire_type == WireType::LengthDelimited {
            each(delimited(wire_type, &mut bytes)?)?;
        } else {
            skip_field(wire_type, number, &mut bytes, DecodeContext::default()).ok()?;
        }
    }
    Some(())
}

fn delimited<'b>(wire_type: WireType, bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    if wire_type != WireType::LengthDelimited {
        return None;
    }
    let length = usize::try_from(decode_varint(bytes).ok()?).ok().filter(|length| *length <= bytes.remaining())?;
    let (body, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(body)
}
