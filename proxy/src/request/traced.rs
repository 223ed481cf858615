use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderMap;
use tokio::time::Instant;

use crate::config::http::HttpConnectionManager;
use crate::config::trace::Tracing;
use crate::exchange::{RequestHead, StreamInfo};
use crate::telemetry::metrics::HttpStats;
use crate::telemetry::trace::{self, Attempt, Context, Exporter, Span};

/// What a request tells its collector. Only there where the listener has one.
pub(super) struct Traced {
    tracing: Arc<Tracing>,
    context: Context,
    attempt: Option<(Context, Attempt)>,
}

impl Traced {
    /// Continues the request's trace, or begins one. `None` where the listener exports no spans.
    pub(super) fn begin(
        manager: &HttpConnectionManager,
        stats: &HttpStats,
        info: &mut StreamInfo,
        headers: &mut HeaderMap,
    ) -> Option<Box<Self>> {
        let tracing = manager.tracing.as_ref()?;
        let route = info.route.as_ref().and_then(|route| route.tracing);
        let context = trace::begin(tracing, route, manager.request_id.pack_trace_reason, headers, stats)?;
        info.trace_id = Some(context.trace_id_text());
        info.sampled = context.sampled;
        Some(Box::new(Self { tracing: Arc::clone(tracing), context, attempt: None }))
    }

    /// Writes the fields by which the upstream continues the trace.
    pub(super) fn attempt_begins(&mut self, number: u32, headers: &mut HeaderMap) {
        if !self.tracing.spawn_upstream_span {
            self.context.inject(headers);
            return;
        }
        let context = self.context.child();
        context.inject(headers);
        self.attempt = Some((context, Attempt { number, began: Instant::now(), status: None }));
    }

    /// Notes what the upstream answered.
    pub(super) fn attempt_answered(&mut self, status: StatusCode) {
        if let Some((_, attempt)) = &mut self.attempt {
            attempt.status = Some(status);
        }
    }

    /// Gives the attempt's span away.
    pub(super) fn attempt_ended(&mut self, info: &StreamInfo, head: &RequestHead, spans: &Exporter) {
        let Some((context, attempt)) = self.attempt.take() else { return };
        if let Some(span) = Span::client(&self.tracing, &context, info, head, attempt) {
            spans.send(span);
        }
    }

    /// Gives the request's span away.
    pub(super) fn ended(&mut self, info: &StreamInfo, head: &RequestHead, spans: &Exporter) {
        self.attempt_ended(info, head, spans);
        if let Some(span) = Span::server(&self.tracing, &self.context, info, head) {
            spans.send(span);
        }
    }
}
