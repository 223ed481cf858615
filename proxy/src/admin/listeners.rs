use serde_json::{Value, json};

use crate::config::address::Address;

/// A listener that is open.
#[derive(Clone, Debug)]
pub struct ListenerView {
    /// Its name.
    pub name: String,
    /// Where its sockets are: with the ports they were given.
    pub addresses: Vec<Address>,
}

/// `name::address`, a line each, as Envoy.
pub(super) fn text(listeners: &[ListenerView]) -> String {
    let lines = listeners.iter().flat_map(|listener| listener.addresses.iter().map(|address| format!("{}::{address}\n", listener.name)));
    lines.collect()
}

/// `envoy.admin.v3.Listeners`.
pub(super) fn json(listeners: &[ListenerView]) -> Value {
    let status = |listener: &ListenerView| {
        let mut addresses = listener.addresses.iter().map(address_json);
        let mut status = json!({ "name": listener.name, "local_address": addresses.next() });
        let others: Vec<Value> = addresses.collect();
        if let (false, Some(status)) = (others.is_empty(), status.as_object_mut()) {
            status.insert("additional_local_addresses".into(), Value::Array(others));
        }
        status
    };
    json!({ "listener_statuses": listeners.iter().map(status).collect::<Vec<_>>() })
}

/// `envoy.config.core.v3.Address`.
pub(super) fn address_json(address: &Address) -> Value {
    match address {
        Address::Ip(address) => json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } }),
        Address::Unix(path) => json!({ "pipe": { "path": path.display().to_string() } }),
    }
}
