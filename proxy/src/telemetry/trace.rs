//! Trace context in and out: W3C Trace Context (traceparent, tracestate) and B3 (single field and several).
//!
//! A request continues the trace it came with, or begins one. B3 is written on only to those who wrote it to us. Spans that are
//! sampled go to the exporter on the control thread; a request never waits for it.

mod b3;
/// Spans to a collector, by OTLP.
pub mod export;
/// Which requests are traced.
pub mod sampling;
/// What is told about a request.
pub mod span;
mod w3c;

use http::header::{HeaderMap, HeaderValue};

use crate::config::route::RouteTracing;
use crate::config::trace::Tracing;
use crate::telemetry::metrics::HttpStats;

pub use export::{ExportTask, Exporter};
pub use sampling::{Reason, decide, shares};
pub use span::{Attempt, Span};

/// A span that is open: what is said to those behind us, and to the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace; never 0.
    pub trace_id: u128,
    /// This span; never 0.
    pub span_id: u64,
    /// The span that this one is part of.
    pub parent: Option<u64>,
    /// The parent is another process's.
    pub parent_is_remote: bool,
    /// Recorded.
    pub sampled: bool,
    /// What other vendors passed along.
    tracestate: Option<HeaderValue>,
    b3: B3Forms,
}

/// In which forms of B3 the caller spoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct B3Forms {
    single: bool,
    multiple: bool,
    /// Trace identifiers of 64 bits.
    short: bool,
    /// Recorded, whatever anybody decides.
    debug: bool,
}

/// What a request said about its trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    parent: Option<Parent>,
    sampled: Option<bool>,
    tracestate: Option<HeaderValue>,
    b3: B3Forms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    trace_id: u128,
    span_id: u64,
}

/// Begins the server span of a request, and counts why it is, or is not, traced. `None` where spans go nowhere: then the
/// fields pass as they are, since a span that nobody gets would be a hole in the trace.
pub fn begin(
    tracing: &Tracing,
    route: Option<RouteTracing>,
    pack_reason: bool,
    headers: &mut HeaderMap,
    stats: &HttpStats,
) -> Option<Context> {
    let reason = decide(shares(tracing, route), pack_reason, headers);
    reason.count(stats);
    tracing.provider.as_ref()?;
    Some(Context::start(extract(headers), reason.is_traced()))
}

/// Reads what a request says. A value that is malformed counts as none.
pub fn extract(headers: &HeaderMap) -> Incoming {
    let mut incoming = b3::extract(headers);
    if let Some((parent, sampled)) = w3c::parent(headers) {
        // Where both are there, the standard decides; B3 is still written on, in its words.
        incoming.parent = Some(parent);
        incoming.sampled = Some(sampled);
        incoming.b3.debug = false;
        incoming.tracestate = w3c::tracestate(headers);
    }
    incoming
}

impl Incoming {
    /// The request came with a trace.
    pub fn has_parent(&self) -> bool {
        self.parent.is_some()
    }
}

impl Context {
    /// Continues the trace that came in, or begins one. The caller's word on recording counts before ours (as in Envoy).
    pub fn start(incoming: Incoming, traced: bool) -> Self {
        let mut b3 = incoming.b3;
        let trace_id = incoming.parent.map_or_else(|| new_trace_id(b3.short), |parent| parent.trace_id);
        b3.short &= u64::try_from(trace_id).is_ok();
        Self {
            trace_id,
            span_id: new_span_id(),
            parent: incoming.parent.map(|parent| parent.span_id),
            parent_is_remote: incoming.parent.is_some(),
            sampled: incoming.sampled.unwrap_or(traced),
            tracestate: incoming.tracestate,
            b3,
        }
    }

    /// A span within this one.
    pub fn child(&self) -> Self {
        Self { span_id: new_span_id(), parent: Some(self.span_id), parent_is_remote: false, ..self.clone() }
    }

    /// Writes the fields by which the next one continues this trace.
    pub fn inject(&self, headers: &mut HeaderMap) {
        w3c::inject(self, headers);
        b3::inject(self, headers);
    }

    /// As logs show it: 32 hexadecimal digits.
    pub fn trace_id_text(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

fn new_trace_id(short: bool) -> u128 {
    if short { u128::from(new_span_id()) } else { fastrand::u128(1..) }
}

fn new_span_id() -> u64 {
    fastrand::u64(1..)
}

/// Lower-case hexadecimal digits; as many as there are.
fn from_hex(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit.checked_sub(b'0')?,
            b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10)?,
            _ => return None,
        };
        Some((value << 4) | u128::from(digit))
    })
}

/// Writes `value` over all of `place`, in lower-case hexadecimal digits.
fn to_hex(mut value: u128, place: &mut [u8]) {
    for digit in place.iter_mut().rev() {
        let low = u8::try_from(value & 0xf).unwrap_or(0);
        *digit = if low < 10 { b'0'.saturating_add(low) } else { b'a'.saturating_add(low.saturating_sub(10)) };
        value >>= 4;
    }
}

#[cfg(test)]
mod tests;
