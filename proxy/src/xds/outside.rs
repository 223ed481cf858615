//! What happens to fields that lie outside of the slice.

use xds_proto::unknown::{Unknown, UnknownKind};

use crate::xds::invalid::Parser;

/// Fields below which everything decides who may do what: there, a field that is not known refuses the file.
const DECISIVE: [&str; 11] = [
    "transport_socket",
    "transport_socket_matches",
    "transport_socket_matcher",
    "filter_chain_match",
    "listener_filters",
    "http_filters",
    "typed_per_filter_config",
    "internal_address_config",
    "match",
    "secrets",
    "allow_paths",
];

/// Messages of which every field decides who may do what.
const DECISIVE_MESSAGES: [&str; 3] = ["envoy.config.rbac.", "envoy.extensions.filters.http.", "envoy.extensions.filters.network.rbac."];

/// Likewise fields that are not in the slice at all: what chooses TLS (`transport_socket_matcher`).
const DECISIVE_NUMBERS: [(&str, u32); 1] = [("envoy.config.cluster.v3.Cluster", 59)];

/// Decides about each finding: a fault, or a warning. An `Any` that its parser has already spoken of is left to it.
pub fn apply(unknown: &[Unknown], strict: bool, parser: &mut Parser) {
    for finding in unknown {
        let problem = match &finding.kind {
            UnknownKind::Field { nearest: None, .. } => "no such field".to_owned(),
            UnknownKind::Field { nearest: Some(nearest), .. } => format!("no such field; did you mean {nearest}?"),
            UnknownKind::Number { number, message } => format!("field {number} of {message} is not known"),
            UnknownKind::AnyType { .. } if parser.has_spoken_of(&finding.path) => continue,
            UnknownKind::AnyType { type_url } => format!("type {type_url:?} is not available"),
        };
        let is_type = matches!(finding.kind, UnknownKind::AnyType { .. });
        let decisive = is_decisive(&finding.path) || has_decisive_number(&finding.kind) || is_of_decisive_message(&finding.kind);
        if strict || is_type || decisive {
            parser.refuse_below(&finding.path, problem);
        } else {
            parser.warn_below(&finding.path, format_args!("ignored: {problem}"));
        }
    }
}

fn has_decisive_number(kind: &UnknownKind) -> bool {
    matches!(kind, UnknownKind::Number { number, message } if DECISIVE_NUMBERS.contains(&(message.as_str(), *number)))
}

fn is_decisive(path: &str) -> bool {
    let steps = path.split('.').map(|step| step.split('[').next().unwrap_or(step));
    steps.into_iter().any(|step| DECISIVE.contains(&step))
}

fn is_of_decisive_message(kind: &UnknownKind) -> bool {
    match kind {
        UnknownKind::Field { message, .. } | UnknownKind::Number { message, .. } => {
            DECISIVE_MESSAGES.iter().any(|beginning| message.starts_with(beginning))
        }
        UnknownKind::AnyType { .. } => false,
    }
}
