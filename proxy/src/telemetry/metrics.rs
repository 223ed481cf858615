//! Every metric: its name as Envoy names it, its help, its value.
//!
//! A group of metrics is a struct of atomics, counted by whoever holds it. The registry holds the groups by name, so that the
//! pages of metrics find them; names come from the configuration alone, so their number is bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Only goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Begins at 0 again.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more; returns the new value.
    pub fn inc(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// One less.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// This value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations in milliseconds, in Envoy's default buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; Self::BOUNDS.len()],
    count: AtomicU64,
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Upper bounds of the buckets, in microseconds.
    pub const BOUNDS: [u64; 19] = [
        500,
        1_000,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        30_000_000,
        60_000_000,
        300_000_000,
        600_000_000,
        1_800_000_000,
        3_600_000_000,
    ];

    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        let bucket = Self::BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| micros <= **bound);
        if let Some((_, bucket)) = bucket {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The sum of all, in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros.load(Ordering::Relaxed)
    }

    /// Each bucket's upper bound in microseconds, and how many were at most that long.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut total = 0u64;
        Self::BOUNDS.iter().zip(&self.buckets).map(move |(bound, bucket)| {
            total = total.saturating_add(bucket.load(Ordering::Relaxed));
            (*bound, total)
        })
    }
}

/// The name of a field: its own, or the one that is written after it.
macro_rules! metric_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

/// Declares a group of metrics as a struct of atomics that can list itself.
macro_rules! group {
    ($(#[$doc:meta])* $name:ident {
        counters { $($(#[$cdoc:meta])* $counter:ident $(= $cname:literal)?),* $(,)? }
        gauges { $($(#[$gdoc:meta])* $gauge:ident $(= $gname:literal)?),* $(,)? }
        histograms { $($(#[$hdoc:meta])* $histogram:ident $(= $hname:literal)?),* $(,)? }
        $(codes { $($(#[$sdoc:meta])* $codes:ident),* $(,)? })?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[$cdoc])* pub $counter: Counter,)*
            $($(#[$gdoc])* pub $gauge: Gauge,)*
            $($(#[$hdoc])* pub $histogram: Histogram,)*
            $($($(#[$sdoc])* pub $codes: StatusCodes,)*)?
        }

        impl $name {
            /// Each metric with its name within the group.
            pub fn visit<'a>(&'a self, mut see: impl FnMut(&'static str, Metric<'a>)) {
                $(see(metric_name!($counter $($cname)?), Metric::Counter(&self.$counter));)*
                $(see(metric_name!($gauge $($gname)?), Metric::Gauge(&self.$gauge));)*
                $(see(metric_name!($histogram $($hname)?), Metric::Histogram(&self.$histogram));)*
                $($(see(metric_name!($codes), Metric::Codes(&self.$codes));)*)?
            }
        }
    };
}

/// What was decided about requests and connections.
pub mod access;
/// HTTP connection managers, TCP proxies and listeners.
pub mod downstream;
/// Who came.
pub mod peers;
/// The process as a whole.
pub mod process;
/// The groups by name.
pub mod registry;
/// Answers by status code.
pub mod status;

pub use access::{AccessName, AccessStats, EnforcedStats, ExternalStats, ShadowStats};
pub use downstream::{HttpStats, ListenerStats, TcpStats};
pub use peers::PeerStats;
pub use process::{ClusterManagerStats, ControlPlaneStats, DnsStats, ListenerManagerStats, NinonStats, ServerStats};
pub use registry::{ClusterMetrics, Registry, Sample, Scope};
pub use status::StatusCodes;

/// A metric of any kind.
#[derive(Clone, Copy, Debug)]
pub enum Metric<'a> {
    /// Only goes up.
    Counter(&'a Counter),
    /// Goes up and down.
    Gauge(&'a Gauge),
    /// Durations.
    Histogram(&'a Histogram),
    /// Answers by status code: a counter for each code that was seen.
    Codes(&'a StatusCodes),
}

group! {
    /// `cluster.<name>.*`
    ClusterStats {
        counters {
            /// Connections opened.
            upstream_cx_total,
            /// HTTP/1 connections opened.
            upstream_cx_http1_total,
            /// HTTP/2 connections opened.
            upstream_cx_http2_total,
            /// Connections that could not be opened.
            upstream_cx_connect_fail,
            /// ... because it took too long.
            upstream_cx_connect_timeout,
            /// TLS handshakes done.
            ssl_handshake = "ssl.handshake",
            /// TLS handshakes failed, other than for the server's certificate.
            ssl_connection_error = "ssl.connection_error",
            /// Servers whose certificate could not be verified.
            ssl_fail_verify_error = "ssl.fail_verify_error",
            /// Servers whose certificate is for somebody who is not accepted.
            ssl_fail_verify_san = "ssl.fail_verify_san",
            /// Connections refused by the limit.
            upstream_cx_overflow,
            /// Connections closed while requests were on them.
            upstream_cx_destroy_with_active_rq,
            /// Connections closed.
            upstream_cx_destroy,
            /// Connections closed for lack of requests.
            upstream_cx_idle_timeout,
            /// Connections that reached their number of requests.
            upstream_cx_max_requests,
            /// Bytes read.
            upstream_cx_rx_bytes_total,
            /// Bytes written.
            upstream_cx_tx_bytes_total,
            /// No connection for want of an endpoint.
            upstream_cx_none_healthy,
            /// Original destinations that are the proxy's own addresses.
            original_dst_host_invalid,
            /// Requests begun.
            upstream_rq_total,
            /// Requests answered, whatever the status.
            upstream_rq_completed,
            /// Answers 1xx.
            upstream_rq_1xx,
            /// Answers 2xx.
            upstream_rq_2xx,
            /// Answers 3xx.
            upstream_rq_3xx,
            /// Answers 4xx.
            upstream_rq_4xx,
            /// Answers 5xx.
            upstream_rq_5xx,
            /// Requests that waited for a connection.
            upstream_rq_pending_total,
            /// Requests refused by a limit.
            upstream_rq_pending_overflow,
            /// Requests failed for want of a connection.
            upstream_rq_pending_failure_eject,
            /// Requests refused by the limit of requests.
            upstream_rq_active_overflow,
            /// Requests cancelled before a connection was there.
            upstream_rq_cancelled,
            /// Requests that took too long.
            upstream_rq_timeout,
            /// Attempts that took too long.
            upstream_rq_per_try_timeout,
            /// Requests that the upstream reset.
            upstream_rq_rx_reset,
            /// Requests that we reset.
            upstream_rq_tx_reset,
            /// Retries.
            upstream_rq_retry,
            /// Retries that helped.
            upstream_rq_retry_success,
            /// Retries refused by the limit.
            upstream_rq_retry_overflow,
            /// Requests that used up their retries.
            upstream_rq_retry_limit_exceeded,
            /// Changes of the set of endpoints.
            membership_change,
            /// Look-ups.
            update_attempt,
            /// Look-ups that gave an answer.
            update_success,
            /// Look-ups that failed.
            update_failure,
            /// Choices made with health ignored.
            lb_healthy_panic,
        }
        gauges {
            /// Connections open.
            upstream_cx_active,
            /// HTTP/1 connections open.
            upstream_cx_http1_active,
            /// HTTP/2 connections open.
            upstream_cx_http2_active,
            /// Requests in flight.
            upstream_rq_active,
            /// Requests that wait for a connection.
            upstream_rq_pending_active,
            /// Endpoints.
            membership_total,
            /// Endpoints that take load.
            membership_healthy,
            /// Endpoints that are degraded.
            membership_degraded,
        }
        histograms {
            /// From a request's last byte to its response's end.
            upstream_rq_time,
            /// Time to open a connection.
            upstream_cx_connect_ms,
            /// Life of connections.
            upstream_cx_length_ms,
        }
        codes {
            /// Answers by status.
            upstream_rq,
        }
    }
}

impl ClusterStats {
    /// Counts an answer in its class and by its code.
    pub fn count_answer(&self, status: http::StatusCode) {
        self.upstream_rq_completed.inc();
        self.upstream_rq.inc(status);
        match status.as_u16() / 100 {
            1 => self.upstream_rq_1xx.inc(),
            2 => self.upstream_rq_2xx.inc(),
            3 => self.upstream_rq_3xx.inc(),
            4 => self.upstream_rq_4xx.inc(),
            _ => self.upstream_rq_5xx.inc(),
        }
    }
}

#[cfg(test)]
pub(crate) mod test {
    use std::sync::{Arc, OnceLock};

    use super::{ClusterMetrics, ClusterStats};

    /// A cluster that does nothing but count.
    #[derive(Debug)]
    pub(crate) struct FakeCluster(String, OnceLock<Arc<ClusterStats>>);

    impl FakeCluster {
        pub(crate) fn new(name: &str) -> Arc<Self> {
            Arc::new(Self(name.to_owned(), OnceLock::new()))
        }

        pub(crate) fn stats(&self) -> &Arc<ClusterStats> {
            self.1.get_or_init(Arc::default)
        }
    }

    impl ClusterMetrics for FakeCluster {
        fn stat_name(&self) -> &str {
            &self.0
        }

        fn touched(&self) -> Option<&Arc<ClusterStats>> {
            self.1.get()
        }

        fn go_on_with(&self, stats: &Arc<ClusterStats>) {
            self.1.set(Arc::clone(stats)).unwrap();
        }
    }
}
