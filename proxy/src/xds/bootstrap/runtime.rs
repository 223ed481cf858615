//! Runtime keys of static layers, of which a few set limits here, and the overload manager's limit.

use std::collections::BTreeMap;

use prost_types::Struct;
use prost_types::value::Kind;
use xds_proto::any;
use xds_proto::envoy::config::bootstrap::v3 as wire;
use xds_proto::envoy::config::bootstrap::v3::runtime_layer::LayerSpecifier;
use xds_proto::envoy::config::overload::v3::OverloadManager;
use xds_proto::envoy::config::overload::v3::resource_monitor::ConfigType;
use xds_proto::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;

use crate::xds::invalid::Parser;

/// Connections of all listeners together.
const GLOBAL_LIMIT: &str = "overload.global_downstream_max_connections";
/// Connections of one listener: its name stands between these.
const LISTENER_LIMIT: (&str, &str) = ("envoy.resource_limits.listener.", ".connection_limit");

/// The keys that are acted on.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    limits: BTreeMap<String, u64>,
}

impl Runtime {
    /// Reads static layers; a later one wins.
    pub fn parse(runtime: Option<&wire::LayeredRuntime>, parser: &mut Parser) -> Self {
        let mut parsed = Self::default();
        let layers = runtime.map(|runtime| runtime.layers.as_slice()).unwrap_or_default();
        parser.each::<_, ()>("layers", layers, |layer, parser| {
            match &layer.layer_specifier {
                Some(LayerSpecifier::StaticLayer(values)) => {
                    parser.at("static_layer", |parser| parsed.layer("", values, parser));
                }
                Some(LayerSpecifier::DiskLayer(_)) => {
                    parser.ignored("disk_layer", true, "runtime values come from static layers");
                }
                Some(LayerSpecifier::AdminLayer(_)) => {
                    parser.ignored("admin_layer", true, "the admin page changes no runtime values");
                }
                Some(LayerSpecifier::RtdsLayer(_)) => parser.unsupported("rtds_layer", true),
                None => parser.refuse("one of static_layer, disk_layer, admin_layer must be set").unwrap_or_default(),
            }
            None
        });
        parsed
    }

    fn layer(&mut self, prefix: &str, values: &Struct, parser: &mut Parser) {
        for (name, value) in &values.fields {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            parser.at_key(name, |parser| match &value.kind {
                Some(Kind::StructValue(values)) => self.layer(&key, values, parser),
                Some(kind) if is_limit(&key) => match whole(kind) {
                    Some(limit) => drop(self.limits.insert(key, limit)),
                    None => parser.refuse("not a whole number from 0 up").unwrap_or_default(),
                },
                _ => parser.warn("ignored: this runtime key has no effect"),
            });
        }
    }

    /// Connections of a listener, at most.
    pub fn connection_limit(&self, listener: &str) -> Option<u64> {
        let (before, after) = LISTENER_LIMIT;
        self.limits.get(&format!("{before}{listener}{after}")).copied()
    }

    /// Connections of all listeners together, at most.
    pub fn global_limit(&self) -> Option<u64> {
        self.limits.get(GLOBAL_LIMIT).copied()
    }
}

fn is_limit(key: &str) -> bool {
    let (before, after) = LISTENER_LIMIT;
    key == GLOBAL_LIMIT || (key.starts_with(before) && key.ends_with(after))
}

fn whole(kind: &Kind) -> Option<u64> {
    match kind {
        // Through its text: exact for every whole number that a double holds, and no cast.
        Kind::NumberValue(number) => format!("{number:.0}").parse().ok().filter(|_| number.fract() == 0.0),
        Kind::StringValue(text) => text.parse().ok(),
        Kind::NullValue(_) | Kind::BoolValue(_) | Kind::StructValue(_) | Kind::ListValue(_) => None,
    }
}

/// The overload manager's limit of downstream connections: the one monitor that is acted on.
pub(super) fn downstream_connections(manager: &OverloadManager, parser: &mut Parser) -> Option<u64> {
    parser.ignored("actions", !manager.actions.is_empty(), "memory is bounded by backpressure, not by actions");
    parser.ignored("loadshed_points", !manager.loadshed_points.is_empty(), "load is shed by connection limits");
    let limits = parser.each("resource_monitors", &manager.resource_monitors, |monitor, parser| {
        let Some(ConfigType::TypedConfig(config)) = &monitor.config_type else {
            return parser.refuse_at("typed_config", "required");
        };
        parser.at("typed_config", |parser| {
            if !any::is::<DownstreamConnectionsConfig>(config) {
                parser.warn("ignored: only DownstreamConnectionsConfig is acted on");
                return None;
            }
            let config: DownstreamConnectionsConfig = parser.unpack(config)?;
            match u64::try_from(config.max_active_downstream_connections) {
                Ok(limit) if limit > 0 => Some(limit),
                _ => parser.refuse_at("max_active_downstream_connections", "must be above 0"),
            }
        })
    });
    limits.into_iter().min()
}
