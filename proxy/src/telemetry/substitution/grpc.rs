use http::{HeaderMap, StatusCode};

use crate::config::format::GrpcStatusFormat;
use crate::telemetry::substitution::{Exchange, Value};

/// Names of the statuses, by number: as Envoy writes them in camel case, and in upper case.
const NAMES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];

/// The status of a gRPC request; `None` for other requests.
pub(super) fn value(format: GrpcStatusFormat, exchange: &Exchange<'_>) -> Option<Value<'static>> {
    let number = status(exchange)?;
    let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
    Some(match (format, name) {
        (GrpcStatusFormat::Camel, Some((camel, _))) => Value::text(*camel),
        (GrpcStatusFormat::Snake, Some((_, snake))) => Value::text(*snake),
        (GrpcStatusFormat::Number, _) => Value::Number(number),
        (GrpcStatusFormat::Camel | GrpcStatusFormat::Snake, None) => Value::text(number.to_string()),
    })
}

/// From the trailers, else from the headers, else from the HTTP status.
pub(super) fn status(exchange: &Exchange<'_>) -> Option<u64> {
    if !exchange.request?.is_grpc() {
        return None;
    }
    let sent = [exchange.trailers, exchange.response].into_iter().flatten().find_map(field);
    sent.or_else(|| exchange.info.status.map(of_http))
}

fn field(fields: &HeaderMap) -> Option<u64> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Source: grpc.io, "HTTP to gRPC Status Code Mapping".
fn of_http(status: StatusCode) -> u64 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}
