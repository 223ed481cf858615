//! Source: openzipkin/b3-propagation, README.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::trace::{B3Forms, Context, Incoming, Parent, from_hex, to_hex};

const B3: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// What was said in B3; the single field counts before the others.
pub(super) fn extract(headers: &HeaderMap) -> Incoming {
    let several = extract_multiple(headers);
    let Some(single) = headers.get(B3).and_then(|value| parse_single(value.as_bytes())) else { return several };
    Incoming { b3: B3Forms { multiple: several.b3.multiple, ..single.b3 }, ..single }
}

/// `{trace}-{span}[-{state}[-{parent}]]`, or the state alone.
fn parse_single(value: &[u8]) -> Option<Incoming> {
    let mut incoming = Incoming { b3: B3Forms { single: true, ..B3Forms::default() }, ..Incoming::default() };
    let parts: Vec<&[u8]> = value.splitn(5, |byte| *byte == b'-').collect();
    let state = match parts.as_slice() {
        [state] => Some(*state),
        [trace_id, span_id, rest @ ..] if rest.len() <= 2 => {
            incoming.set_parent(trace_id, span_id)?;
            if let Some(parent) = rest.get(1) {
                id(parent, 16)?;
            }
            rest.first().copied()
        }
        _ => return None,
    };
    match state {
        None => {}
        Some(b"0") => incoming.sampled = Some(false),
        Some(b"1") => incoming.sampled = Some(true),
        Some(b"d") => incoming.set_debug(),
        Some(_) => return None,
    }
    Some(incoming)
}

fn extract_multiple(headers: &HeaderMap) -> Incoming {
    let mut incoming = Incoming::default();
    if let (Some(trace_id), Some(span_id)) = (headers.get(TRACE_ID), headers.get(SPAN_ID)) {
        incoming.b3.multiple = incoming.set_parent(trace_id.as_bytes(), span_id.as_bytes()).is_some();
    }
    match headers.get(SAMPLED).map(HeaderValue::as_bytes) {
        Some(b"1" | b"true") => incoming.sampled = Some(true),
        Some(b"0" | b"false") => incoming.sampled = Some(false),
        Some(_) | None => {}
    }
    if headers.get(FLAGS).is_some_and(|flags| flags.as_bytes() == b"1") {
        incoming.set_debug();
    }
    incoming.b3.multiple |= incoming.sampled.is_some();
    incoming
}

impl Incoming {
    fn set_parent(&mut self, trace_id: &[u8], span_id: &[u8]) -> Option<()> {
        let short = trace_id.len() == 16;
        let trace_id = if short { id(trace_id, 16)? } else { id(trace_id, 32)? };
        let span_id = u64::try_from(id(span_id, 16)?).ok()?;
        self.parent = Some(Parent { trace_id, span_id });
        self.b3.short = short;
        Some(())
    }

    fn set_debug(&mut self) {
        self.sampled = Some(true);
        self.b3.debug = true;
    }
}

fn id(digits: &[u8], length: usize) -> Option<u128> {
    from_hex(digits).filter(|id| digits.len() == length && *id != 0)
}

pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    if context.b3.single {
        inject_single(context, headers);
    } else {
        // What could not be read is not passed on beside another context.
        headers.remove(B3);
    }
    if context.b3.multiple {
        inject_multiple(context, headers);
    } else {
        [TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED, FLAGS].iter().for_each(|name| drop(headers.remove(name)));
    }
}

fn inject_single(context: &Context, headers: &mut HeaderMap) {
    let trace_id = trace_id(context);
    let state = match (context.b3.debug, context.sampled) {
        (true, _) => "d",
        (false, true) => "1",
        (false, false) => "0",
    };
    let mut text = format!("{trace_id}-{:016x}-{state}", context.span_id);
    if let Some(parent) = context.parent {
        text.push_str(&format!("-{parent:016x}"));
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(B3, value);
    }
}

fn inject_multiple(context: &Context, headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, text: Option<String>| match text.and_then(|text| HeaderValue::try_from(text).ok()) {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    };
    set(TRACE_ID, Some(trace_id(context)));
    set(SPAN_ID, Some(hex(u128::from(context.span_id), 16)));
    set(PARENT_ID, context.parent.map(|parent| hex(u128::from(parent), 16)));
    // "Debug implies an accept decision, so don't also send the X-B3-Sampled header."
    set(SAMPLED, (!context.b3.debug).then(|| String::from(if context.sampled { "1" } else { "0" })));
    set(FLAGS, context.b3.debug.then(|| String::from("1")));
}

fn trace_id(context: &Context) -> String {
    hex(context.trace_id, if context.b3.short { 16 } else { 32 })
}

fn hex(value: u128, length: usize) -> String {
    let mut digits = [0; 32];
    let place = digits.get_mut(..length).unwrap_or_default();
    to_hex(value, place);
    place.iter().copied().map(char::from).collect()
}
