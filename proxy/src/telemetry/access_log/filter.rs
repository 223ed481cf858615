use tokio::time::Instant;

use crate::config::access_log::LogFilter;
use crate::telemetry::substitution::Exchange;

/// Whether a filter lets an exchange through.
pub fn fits(filter: &LogFilter, exchange: &Exchange<'_>) -> bool {
    let info = exchange.info;
    match filter {
        LogFilter::StatusCode(comparison) => comparison.holds(info.status.map_or(0, |status| u64::from(status.as_u16()))),
        LogFilter::Duration(comparison) => {
            let duration = info.ended.unwrap_or_else(Instant::now).saturating_duration_since(info.started);
            comparison.holds(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
        }
        // The slice has no health-check filter, so nothing is a health check.
        LogFilter::NotHealthCheck => true,
        LogFilter::Traceable => info.sampled,
        LogFilter::Fraction(fraction) => fraction.contains(fastrand::u64(..)),
        LogFilter::All(filters) => filters.iter().all(|filter| fits(filter, exchange)),
        LogFilter::Any(filters) => filters.iter().any(|filter| fits(filter, exchange)),
        LogFilter::Header(header) => exchange.request.is_some_and(|request| header.matches(request)),
        LogFilter::ResponseFlags(codes) if codes.is_empty() => !info.flags.is_empty(),
        LogFilter::ResponseFlags(codes) => info.flags.iter().any(|flag| codes.iter().any(|code| code == flag.code())),
        LogFilter::GrpcStatus { statuses, exclude } => statuses.contains(&grpc_status(exchange)) != *exclude,
    }
}

/// From the trailers, else the fields, else what the HTTP status stands for.
fn grpc_status(exchange: &Exchange<'_>) -> i32 {
    let said = [exchange.trailers, exchange.response].into_iter().flatten().find_map(|fields| fields.get("grpc-status"));
    let said = said.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    said.unwrap_or_else(|| match exchange.info.status.map(|status| status.as_u16()) {
        Some(400) => 13,
        Some(401) => 16,
        Some(403) => 7,
        Some(404) => 12,
        Some(429 | 502..=504) => 14,
        Some(_) | None => 2,
    })
}
