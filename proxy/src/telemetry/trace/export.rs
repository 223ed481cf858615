//! Spans to a collector, by OTLP over gRPC, from the control thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::config::trace::OpenTelemetry;
use crate::telemetry::logging::Throttle;
use crate::telemetry::metrics::NinonStats;
use crate::telemetry::trace::span::{Attribute, Side, Span};

/// Spans that may wait. At 1 KiB each, a bound on memory while a collector is slow.
const MAX_WAITING: usize = 4096;
/// Spans in one message (the SDK's own default).
const MAX_BATCH: usize = 512;
/// How long spans are gathered. Also how often the control thread wakes up for them.
const GATHER: Duration = Duration::from_millis(500);
/// How long a message may take.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);
/// Waits after a failure: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// One line about a collector that is away, this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// A worker's end: gives spans away, never waits.
#[derive(Clone, Debug)]
pub struct Exporter {
    queue: mpsc::Sender<Box<Span>>,
    stats: Arc<NinonStats>,
}

impl Exporter {
    /// Gives a span away, or drops it when too many wait.
    pub fn send(&self, span: Box<Span>) {
        if self.queue.try_send(span).is_err() {
            self.stats.trace_spans_dropped.inc();
        }
    }
}

/// The control thread's end.
#[derive(Debug)]
pub struct ExportTask {
    queue: mpsc::Receiver<Box<Span>>,
    stats: Arc<NinonStats>,
    collectors: HashMap<OpenTelemetry, Collector>,
}

/// One collector, for one service name.
#[derive(Debug)]
struct Collector {
    exporter: SpanExporter,
    /// Nothing is sent before.
    not_before: Instant,
    back_off: Duration,
    warnings: Throttle,
}

/// Both ends. Nothing is connected before the first span.
pub fn channel(stats: Arc<NinonStats>) -> (Exporter, ExportTask) {
    let (sender, queue) = mpsc::channel(MAX_WAITING);
    let exporter = Exporter { queue: sender, stats: Arc::clone(&stats) };
    (exporter, ExportTask { queue, stats, collectors: HashMap::new() })
}

impl ExportTask {
    /// Exports until all senders are gone, or `last` is over, and all is sent. `channel` makes the way to a provider's cluster.
    pub async fn run(mut self, channel: impl Fn(&OpenTelemetry) -> Channel, last: impl Future<Output = ()>) {
        let mut batch = Vec::new();
        let mut last = std::pin::pin!(last);
        loop {
            let received = tokio::select! {
                received = self.queue.recv_many(&mut batch, MAX_BATCH) => received,
                () = &mut last, if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            if received == 0 {
                return;
            }
            if batch.len() < MAX_BATCH && !self.queue.is_closed() {
                // Others come: one message for all, and one wake-up.
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = &mut last => self.queue.close(),
                }
                while batch.len() < MAX_BATCH
                    && let Ok(span) = self.queue.try_recv()
                {
                    batch.push(span);
                }
            }
            let mut by_provider: HashMap<OpenTelemetry, Vec<SpanData>> = HashMap::new();
            for span in batch.drain(..) {
                let Some(provider) = &span.tracing.provider else { continue };
                match by_provider.get_mut(provider) {
                    Some(spans) => spans.push(span_data(&span)),
                    None => drop(by_provider.insert(provider.clone(), vec![span_data(&span)])),
                }
            }
            for (provider, spans) in by_provider {
                self.export(provider, &channel, spans).await;
            }
        }
    }

    async fn export(&mut self, provider: OpenTelemetry, channel: impl Fn(&OpenTelemetry) -> Channel, spans: Vec<SpanData>) {
        let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        let cluster = provider.cluster.clone();
        let Some(collector) = self.collector(provider, channel) else {
            self.stats.trace_spans_dropped.add(count);
            return;
        };
        if Instant::now() < collector.not_before {
            self.stats.trace_spans_dropped.add(count);
            return;
        }
        let sent = tokio::time::timeout(EXPORT_LIMIT, collector.exporter.export(spans)).await;
        let error = match sent {
            Ok(Ok(())) => {
                collector.back_off = BACK_OFF.0;
                self.stats.trace_spans_exported.add(count);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {EXPORT_LIMIT:?}"),
        };
        collector.not_before = Instant::now().checked_add(collector.back_off).unwrap_or(collector.not_before);
        collector.back_off = collector.back_off.saturating_mul(2).min(BACK_OFF.1);
        if let Some(unsaid) = collector.warnings.allow() {
            tracing::warn!(%cluster, error, unsaid, "spans are lost: the collector cannot be reached");
        }
        self.stats.trace_export_failed.inc();
        self.stats.trace_spans_dropped.add(count);
    }

    /// The way to a collector, made when it is first needed.
    fn collector(&mut self, provider: OpenTelemetry, channel: impl Fn(&OpenTelemetry) -> Channel) -> Option<&mut Collector> {
        if !self.collectors.contains_key(&provider) {
            let exporter = SpanExporter::builder().with_tonic().with_channel(channel(&provider)).with_timeout(EXPORT_LIMIT).build();
            let mut exporter = match exporter {
                Ok(exporter) => exporter,
                Err(error) => {
                    tracing::warn!(cluster = %provider.cluster, %error, "spans are lost: the exporter cannot be made");
                    return None;
                }
            };
            let name = KeyValue::new("service.name", provider.service_name.clone());
            exporter.set_resource(&Resource::builder_empty().with_attribute(name).build());
            let (not_before, back_off) = (Instant::now(), BACK_OFF.0);
            let collector = Collector { exporter, not_before, back_off, warnings: Throttle::new(WARN_EVERY) };
            self.collectors.insert(provider.clone(), collector);
        }
        self.collectors.get_mut(&provider)
    }
}

fn span_data(span: &Span) -> SpanData {
    let context = &span.context;
    let flags = TraceFlags::default().with_sampled(context.sampled);
    let ids = (TraceId::from_bytes(context.trace_id.to_be_bytes()), span_id(context.span_id));
    let attribute = |(name, value): &(std::borrow::Cow<'static, str>, Attribute)| {
        let value = match value {
            Attribute::Text(text) => Value::from(text.clone()),
            Attribute::Number(number) => Value::I64(*number),
        };
        KeyValue::new(name.clone(), value)
    };
    SpanData {
        span_context: SpanContext::new(ids.0, ids.1, flags, false, TraceState::NONE),
        parent_span_id: context.parent.map_or(SpanId::INVALID, span_id),
        parent_span_is_remote: context.parent_is_remote,
        span_kind: match span.side {
            Side::Server => SpanKind::Server,
            Side::Client => SpanKind::Client,
        },
        name: span.name.clone().into(),
        start_time: span.start,
        end_time: span.end,
        attributes: span.attributes.iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.as_ref().map_or(Status::Unset, |error| Status::error(error.clone())),
        instrumentation_scope: InstrumentationScope::builder("ninon").build(),
    }
}

fn span_id(id: u64) -> SpanId {
    SpanId::from_bytes(id.to_be_bytes())
}

#[cfg(test)]
mod tests;
