//! Source: W3C Trace Context, Recommendation of 23 November 2021, sections 3.2 (traceparent) and 3.3 (tracestate).

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::trace::{Context, Parent, from_hex, to_hex};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-<32>-<16>-<2>`.
const LENGTH: usize = 55;
/// Section 3.3.1.1.
const MAX_MEMBERS: usize = 32;
/// Section 3.3.1.5 asks for at least 512. More than this is no vendor's state.
const MAX_TRACESTATE: usize = 4096;

/// The caller's span, and whether it is recorded. Two fields are as good as none: nobody knows which one counts.
pub(super) fn parent(headers: &HeaderMap) -> Option<(Parent, bool)> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() {
        return None;
    }
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if [version.len(), trace_id.len(), span_id.len(), flags.len()] != [2, 32, 16, 2] {
        return None;
    }
    // A later version may say more behind another dash; version 00 may not, and ff is no version.
    let fits = match from_hex(version)? {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    let trace_id = from_hex(trace_id)?;
    let span_id = u64::try_from(from_hex(span_id)?).ok()?;
    let sampled = from_hex(flags)? & 1 == 1;
    (fits && trace_id != 0 && span_id != 0).then_some((Parent { trace_id, span_id }, sampled))
}

/// All of `tracestate` in one value; `None` when any of it is malformed: then it is not to be passed on.
pub(super) fn tracestate(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(TRACESTATE).iter();
    let first = values.next()?;
    let value = if values.next().is_none() {
        first.clone()
    } else {
        let values: Vec<_> = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
        HeaderValue::from_bytes(&values.join(&b',')).ok()?
    };
    let members = || value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty());
    let fits = value.len() <= MAX_TRACESTATE && (1..=MAX_MEMBERS).contains(&members().count()) && members().all(is_member);
    fits.then_some(value)
}

fn is_member(member: &[u8]) -> bool {
    let mut halves = member.splitn(2, |byte| *byte == b'=');
    let (Some(key), Some(value)) = (halves.next(), halves.next()) else { return false };
    let printable = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'=';
    is_key(key) && (1..=256).contains(&value.len()) && value.iter().all(printable)
}

/// `key`, or `tenant@system`.
fn is_key(key: &[u8]) -> bool {
    let part = |part: &[u8], longest: usize, digit_first: bool| {
        let first = part.first().is_some_and(|byte| byte.is_ascii_lowercase() || digit_first && byte.is_ascii_digit());
        let rest = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(byte);
        first && part.len() <= longest && part.iter().all(rest)
    };
    let mut parts = key.splitn(2, |byte| *byte == b'@');
    match (parts.next(), parts.next()) {
        (Some(tenant), Some(system)) => part(tenant, 241, true) && part(system, 14, false),
        (Some(key), None) => part(key, 256, false),
        (None, _) => false,
    }
}

pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let places = [(3..35, context.trace_id), (36..52, u128::from(context.span_id)), (53..55, u128::from(context.sampled))];
    for (place, value) in places {
        if let Some(place) = text.get_mut(place) {
            to_hex(value, place);
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        headers.insert(TRACEPARENT, value);
    }
    match &context.tracestate {
        Some(state) => headers.insert(TRACESTATE, state.clone()),
        // It belongs to a trace that is not continued, or it is malformed.
        None => headers.remove(TRACESTATE),
    };
}
