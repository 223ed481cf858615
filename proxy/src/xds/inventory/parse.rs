use std::sync::Arc;

use prost_types::Any;
use xds_proto::envoy::config::cluster::v3 as cluster_wire;
use xds_proto::envoy::config::endpoint::v3 as endpoint_wire;
use xds_proto::envoy::config::listener::v3 as listener_wire;
use xds_proto::envoy::config::route::v3 as route_wire;
use xds_proto::envoy::extensions::transport_sockets::tls::v3 as tls_wire;
use xds_proto::istio::networking::nds::v1 as names_wire;
use xds_proto::unknown;

use crate::config::cluster::Cluster;
use crate::config::endpoint::Assignment;
use crate::config::listener::Listener;
use crate::config::names::Names;
use crate::config::route::RouteTable;
use crate::config::scope::Scope;
use crate::xds::invalid::{Faults, Invalid, Named, Parser, StaticSecret};
use crate::xds::inventory::{Basis, Table};
use crate::xds::{cluster, endpoint, listener, names, outside, route, scope, tls};

/// What is known while a resource is read.
pub(super) struct Context<'a> {
    pub(super) basis: &'a Basis,
    /// Secrets that have come from elsewhere.
    pub(super) served: &'a Table<StaticSecret>,
    pub(super) descriptors: &'a mut Option<xds_proto::DescriptorPool>,
}

/// A resource that is good.
pub(super) struct Parsed<T> {
    /// `None` while secrets are missing.
    pub(super) value: Option<Arc<T>>,
    pub(super) named: Named,
    pub(super) warnings: Vec<Invalid>,
}

/// A type of resources.
pub(super) trait Parse: Sized {
    /// Its form on the wire.
    type Wire: prost::Message + prost::Name + Default;

    /// All of it decides who may do what.
    const IS_DECISIVE: bool = false;

    /// It may turn out that it cannot serve, or not together with others of the same answer.
    const IS_ON_TRIAL: bool = false;

    fn parse(wire: &Self::Wire, basis: &Basis, parser: &mut Parser) -> Option<Self>;

    /// Some of it is in files, which change without it.
    fn is_in_files(_: &Any) -> bool {
        false
    }

    /// Whether another reading of the same resource has found the same in its files.
    fn has_same_files(&self, _: &Self) -> bool {
        true
    }

    /// Whether it can be there together with the others.
    fn fits_beside(&self, _: &str, _: &Table<Self>) -> Result<(), Faults> {
        Ok(())
    }
}

impl Parse for Cluster {
    type Wire = cluster_wire::Cluster;

    fn parse(wire: &Self::Wire, _: &Basis, parser: &mut Parser) -> Option<Self> {
        cluster::parse(wire, parser)
    }
}

impl Parse for Assignment {
    type Wire = endpoint_wire::ClusterLoadAssignment;

    fn parse(wire: &Self::Wire, _: &Basis, parser: &mut Parser) -> Option<Self> {
        endpoint::parse(wire, endpoint::Addresses::Known, parser)
    }
}

impl Parse for Listener {
    type Wire = listener_wire::Listener;

    const IS_ON_TRIAL: bool = true;

    fn parse(wire: &Self::Wire, basis: &Basis, parser: &mut Parser) -> Option<Self> {
        listener::parse(wire, &basis.runtime, parser)
    }

    /// Two listeners of one address would each get a part of its connections.
    fn fits_beside(&self, name: &str, others: &Table<Self>) -> Result<(), Faults> {
        for (other, listener) in others.values().filter(|(other, _)| *other != name) {
            if let Some(address) = self.shared_address(listener) {
                return Err(Faults::one(format_args!("address: {address} is taken by listener {other:?}")));
            }
        }
        Ok(())
    }
}

impl Parse for Scope {
    type Wire = route_wire::ScopedRouteConfiguration;

    const IS_ON_TRIAL: bool = true;

    fn parse(wire: &Self::Wire, _: &Basis, parser: &mut Parser) -> Option<Self> {
        scope::scope(wire, parser)
    }
}

impl Parse for RouteTable {
    type Wire = route_wire::RouteConfiguration;

    fn parse(wire: &Self::Wire, _: &Basis, parser: &mut Parser) -> Option<Self> {
        route::parse(wire, parser)
    }
}

impl Parse for StaticSecret {
    type Wire = tls_wire::Secret;

    const IS_DECISIVE: bool = true;

    fn parse(wire: &Self::Wire, _: &Basis, parser: &mut Parser) -> Option<Self> {
        tls::secret(wire, parser).map(|(_, secret)| secret)
    }

    fn is_in_files(body: &Any) -> bool {
        !tls::folders(std::slice::from_ref(body)).is_empty()
    }

    fn has_same_files(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Certificate(one), Self::Certificate(other)) => *one.load() == *other.load(),
            (Self::Validation(one), Self::Validation(other)) => one.load().has_same_bytes(&other.load()),
            (Self::Certificate(_), Self::Validation(_)) | (Self::Validation(_), Self::Certificate(_)) => false,
        }
    }
}

impl Parse for Names {
    type Wire = names_wire::NameTable;

    fn parse(wire: &Self::Wire, _: &Basis, parser: &mut Parser) -> Option<Self> {
        Some(names::parse(wire, parser))
    }
}

/// A resource, made into the model.
pub(super) fn read<T: Parse>(body: &Any, context: &mut Context<'_>) -> Result<Parsed<T>, Faults> {
    let mut parser = Parser::new();
    for (name, secret) in &context.basis.secrets {
        parser.know_secret(name.clone(), secret.clone());
    }
    if context.basis.server {
        parser.know_server();
    }
    parser.serve_secrets(context.served.values().map(|(name, secret)| (name.to_owned(), StaticSecret::clone(secret))));
    let value = parser.unpack::<T::Wire>(body).and_then(|wire| {
        let value = T::parse(&wire, context.basis, &mut parser);
        if !xds_proto::is_within(body) {
            look_outside::<T>(body, context, &mut parser);
        }
        value
    });
    let (named, complete) = parser.named();
    if !complete && !parser.has_faults() {
        let ((), warnings) = parser.finish(Some(()))?;
        return Ok(Parsed { value: None, named, warnings });
    }
    let (value, warnings) = parser.finish(value)?;
    Ok(Parsed { value: Some(Arc::new(value)), named, warnings })
}

fn look_outside<T: Parse>(body: &Any, context: &mut Context<'_>, parser: &mut Parser) {
    let descriptors = match context.descriptors.take() {
        Some(descriptors) => Ok(descriptors),
        None => xds_proto::descriptor_pool(),
    };
    let Some(descriptors) = parser.accept(descriptors) else { return };
    match unknown::in_any(&descriptors, body) {
        Ok(findings) => outside::apply(&findings, context.basis.strict || T::IS_DECISIVE, parser),
        Err(fault) => parser.refuse_below(&fault.path, fault.problem),
    }
    *context.descriptors = Some(descriptors);
}
