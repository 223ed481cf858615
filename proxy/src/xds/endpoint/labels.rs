use std::sync::Arc;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use xds_proto::envoy::config::core::v3::Metadata;

use crate::config::endpoint::Labels;
use crate::xds::invalid::Parser;

/// Where Envoy looks for what a cluster chooses the transport socket by.
const TRANSPORT_SOCKET_MATCH: &str = "envoy.transport_socket_match";

/// By which its cluster chooses TLS to an endpoint. What cannot be compared fits nothing.
pub(super) fn of(metadata: Option<&Metadata>) -> Option<Arc<Labels>> {
    let said = metadata?.filter_metadata.get(TRANSPORT_SOCKET_MATCH)?;
    let labels: Labels = said.fields.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect();
    (!labels.is_empty()).then(|| Arc::new(labels))
}

/// What must be said of an endpoint.
pub(in crate::xds) fn wanted(criteria: Option<&Struct>, parser: &mut Parser) -> Option<Labels> {
    let mut labels = Labels::new();
    for (key, value) in criteria.iter().flat_map(|criteria| &criteria.fields) {
        match text(value) {
            Some(value) => drop(labels.insert(key.clone(), value)),
            None => return parser.refuse(format_args!("{key:?}: only texts, numbers, true and false can be compared")),
        }
    }
    Some(labels)
}

fn text(value: &Value) -> Option<String> {
    match value.kind.as_ref()? {
        Kind::StringValue(text) => Some(format!("{text:?}")),
        Kind::NumberValue(number) => Some(number.to_string()),
        Kind::BoolValue(yes) => Some(yes.to_string()),
        Kind::NullValue(_) | Kind::ListValue(_) | Kind::StructValue(_) => None,
    }
}
