//! Ninon's own kinds, into the model.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use crate::model::endpoints::Condition;
use crate::model::external::{self, ExternalService};
use crate::model::name::Name;
use crate::model::policy::{Balancing, Ejection, HashKey, Limits, Retries, TrafficPolicy};
use crate::model::settings::{H2Upgrade, MeshSettings, OutboundMode, PathNormalization};
use crate::model::workload::{Bind, Locality, Sidecar, Workload, WorkloadPort};
use crate::source::manifest::core::{self, Metadata};
use crate::source::manifest::custom as written;
use crate::source::manifest::reader::Reader;
use crate::source::manifest::{provider, text};

/// The one name that `MeshConfig` may have.
const MESH: &str = "mesh";
/// More repeats than this are an attack on one's own services.
const MOST_RETRIES: u32 = 10;

/// A `Workload`.
pub(super) fn workload(name: &Name, value: &Value, reader: &mut Reader) -> Option<Workload> {
    let metadata: Metadata = reader.shape(value, "metadata")?;
    let spec: written::WorkloadSpec = reader.shape(value, "spec")?;
    reader.at("spec", |reader| {
        if spec.addresses.is_empty() {
            reader.refuse_at::<()>("addresses", "at least one is required");
        }
        let addresses = reader.each("addresses", &spec.addresses, |address, reader| text::address(address, reader));
        let ports = reader.each("ports", &spec.ports, workload_port);
        for (at, port) in ports.iter().enumerate() {
            if ports.iter().take(at).any(|other| other.number == port.number) {
                reader.refuse_at::<()>("ports", format_args!("port {} is there twice", port.number));
            }
        }
        let sidecar = reader.at("sidecar", |reader| sidecar(spec.sidecar.as_ref(), name, reader));
        let locality = spec.locality.unwrap_or_default();
        let word = |word: Option<String>| -> Arc<str> { word.unwrap_or_default().into() };
        let account = spec.service_account.as_deref().unwrap_or("default");
        let service_account = reader.at("serviceAccount", |reader| text::subdomain(account, reader));
        Some(Workload {
            name: name.clone(),
            labels: metadata.labels.unwrap_or_default(),
            addresses,
            ports,
            service_account: service_account?,
            locality: Locality { region: word(locality.region), zone: word(locality.zone), sub_zone: word(locality.sub_zone) },
            condition: if spec.ready.unwrap_or(true) { Condition::Ready } else { Condition::NotReady },
            sidecar: sidecar?,
        })
    })
}

fn workload_port(port: &written::WorkloadPort, reader: &mut Reader) -> Option<WorkloadPort> {
    let number = reader.at("port", |reader| text::port(port.port, reader));
    let application = match port.application_port {
        None => None,
        Some(application) => Some(reader.at("applicationPort", |reader| text::port(application, reader))?),
    };
    let name = port.name.as_deref().unwrap_or_default();
    Some(WorkloadPort { name: name.into(), number: number?, protocol: core::protocol(port.app_protocol.as_deref(), name), application })
}

fn sidecar(sidecar: Option<&written::Sidecar>, name: &Name, reader: &mut Reader) -> Option<Sidecar> {
    let Some(sidecar) = sidecar else { return Some(Sidecar::default()) };
    let outbound = optional(sidecar.outbound.as_ref(), |text| reader.at("outbound", |reader| socket(text, reader)));
    let inbound = optional(sidecar.inbound.as_ref(), |text| reader.at("inbound", |reader| socket(text, reader)));
    let binds = reader.each("binds", &sidecar.binds, |bind, reader| {
        let address = reader.at("address", |reader| socket(&bind.address, reader));
        let port = reader.at("port", |reader| text::port(bind.port, reader));
        let service = reader.at("service", |reader| text::label(&bind.service, reader));
        let namespace = match &bind.namespace {
            None => Some(Arc::clone(&name.namespace)),
            Some(namespace) => reader.at("namespace", |reader| text::label(namespace, reader)),
        };
        Some(Bind { address: address?, service: Name { namespace: namespace?, name: service? }, port: port? })
    });
    Some(Sidecar { outbound: outbound?, inbound: inbound?, mutual_tls: sidecar.mutual_tls.unwrap_or(false), binds })
}

fn socket(text: &str, reader: &mut Reader) -> Option<SocketAddr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => reader.refuse(format_args!("{text:?} is not an address and port, such as 127.0.0.1:15001")),
    }
}

/// What is not there is no fault; what is wrong is.
fn optional<T, R>(value: Option<T>, read: impl FnOnce(T) -> Option<R>) -> Option<Option<R>> {
    match value {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

fn duration(field: &str, text: Option<&String>, reader: &mut Reader) -> Option<Option<Duration>> {
    optional(text, |text| reader.at(field, |reader| text::duration(text, reader)))
}

/// A `TrafficPolicy`.
pub(super) fn traffic_policy(name: &Name, value: &Value, reader: &mut Reader) -> Option<TrafficPolicy> {
    let spec: written::TrafficPolicySpec = reader.shape(value, "spec")?;
    reader.at("spec", |reader| {
        let service = reader.at("targetRef.name", |reader| text::label(&spec.target_ref.name, reader));
        let port = optional(spec.target_ref.port, |port| reader.at("targetRef.port", |reader| text::port(port, reader)));
        let balancing = reader.at("loadBalancer", |reader| balancing(spec.load_balancer.unwrap_or_default(), reader));
        let ejection = optional(spec.outlier_detection, |detection| reader.at("outlierDetection", |reader| ejection(&detection, reader)));
        let connect_timeout = duration("connectTimeout", spec.connect_timeout.as_ref(), reader);
        if connect_timeout == Some(Some(Duration::ZERO)) {
            reader.refuse_at::<()>("connectTimeout", "0 leaves no time to connect");
        }
        let idle_timeout = duration("idleTimeout", spec.idle_timeout.as_ref(), reader);
        let request_timeout = duration("requestTimeout", spec.request_timeout.as_ref(), reader);
        let limits = spec.limits.unwrap_or_default();
        let retries = reader.at("limits", |reader| retries(&limits, reader));
        if limits.max_requests_per_connection == Some(0) {
            reader.refuse_at::<()>("limits.maxRequestsPerConnection", "0 is not at least 1");
        }
        Some(TrafficPolicy {
            name: name.clone(),
            service: service?,
            port: port?,
            balancing: balancing?,
            limits: Limits {
                connections: limits.max_connections,
                pending_requests: limits.max_pending_requests,
                requests: limits.max_requests,
                retries: retries?,
                requests_per_connection: limits.max_requests_per_connection,
            },
            ejection: ejection?,
            connect_timeout: connect_timeout?,
            idle_timeout: idle_timeout?,
            request_timeout: request_timeout?,
            h2_upgrade: match spec.h2_upgrade_policy {
                None | Some(written::ServiceUpgrade::Default) => None,
                Some(written::ServiceUpgrade::DoNotUpgrade) => Some(H2Upgrade::DoNotUpgrade),
                Some(written::ServiceUpgrade::Upgrade) => Some(H2Upgrade::Upgrade),
            },
        })
    })
}

/// Envoy's own share and least number where nothing is said.
fn retries(limits: &written::Limits, reader: &mut Reader) -> Option<Option<Retries>> {
    let Some(budget) = &limits.retry_budget else { return Some(limits.max_retries.map(Retries::Most)) };
    let (percent, least) = (budget.percent.unwrap_or(20), budget.min_concurrency.unwrap_or(3));
    if limits.max_retries.is_some() {
        return reader.refuse_at("maxRetries", "not with retryBudget, in place of which it would be");
    }
    if percent > 100 {
        return reader.refuse_at("retryBudget.percent", format_args!("{percent} is more than 100"));
    }
    Some(Some(Retries::Budget { percent, least }))
}

fn balancing(balancer: written::LoadBalancer, reader: &mut Reader) -> Option<Balancing> {
    use written::LoadBalancerPolicy as Policy;
    let key = match (balancer.policy, balancer.hash) {
        (Policy::LeastRequest | Policy::RoundRobin | Policy::Random, Some(_)) => {
            return reader.refuse_at("hash", "only with RingHash and Maglev");
        }
        (Policy::LeastRequest, None) => return Some(Balancing::LeastRequest),
        (Policy::RoundRobin, None) => return Some(Balancing::RoundRobin),
        (Policy::Random, None) => return Some(Balancing::Random),
        (Policy::RingHash | Policy::Maglev, None) => return reader.refuse_at("hash", "required with RingHash and Maglev"),
        (Policy::RingHash | Policy::Maglev, Some(hash)) => reader.at("hash", |reader| hash_key(hash, reader))?,
    };
    Some(if balancer.policy == Policy::RingHash { Balancing::RingHash(key) } else { Balancing::Maglev(key) })
}

fn hash_key(hash: written::HashKey, reader: &mut Reader) -> Option<HashKey> {
    match (hash.header, hash.cookie, hash.source_address) {
        (Some(header), None, None) => reader.at("header", |reader| text::header_name(&header, reader)).map(HashKey::Header),
        (None, Some(cookie), None) => {
            let name = reader.at("cookie.name", |reader| text::header_name(&cookie.name, reader).map(|_| cookie.name.as_str().into()));
            let ttl = duration("cookie.ttl", cookie.ttl.as_ref(), reader);
            Some(HashKey::Cookie(name?, ttl?))
        }
        (None, None, Some(true)) => Some(HashKey::SourceAddress),
        _ => reader.refuse("exactly one of header, cookie, sourceAddress: true"),
    }
}

fn ejection(detection: &written::OutlierDetection, reader: &mut Reader) -> Option<Ejection> {
    let interval = duration("interval", detection.interval.as_ref(), reader)?.unwrap_or(Duration::from_secs(10));
    let base_time = duration("baseEjectionTime", detection.base_ejection_time.as_ref(), reader)?.unwrap_or(Duration::from_secs(30));
    let consecutive_5xx = detection.consecutive_5xx.unwrap_or(5);
    let max_percent = detection.max_ejection_percent.unwrap_or(10);
    if interval.is_zero() || base_time.is_zero() {
        return reader.refuse("interval and baseEjectionTime are longer than 0");
    }
    if max_percent > 100 {
        return reader.refuse_at("maxEjectionPercent", format_args!("{max_percent} is more than 100"));
    }
    Some(Ejection { consecutive_5xx, interval, base_time, max_percent })
}

/// An `ExternalService`.
pub(super) fn external_service(name: &Name, value: &Value, reader: &mut Reader) -> Option<ExternalService> {
    let metadata: Metadata = reader.shape(value, "metadata")?;
    let spec: written::ExternalServiceSpec = reader.shape(value, "spec")?;
    let exports = core::exports(name, metadata.annotations.as_ref().and_then(|all| all.get("ninon.dev/exports")), reader);
    reader.at("spec", |reader| {
        if spec.hosts.is_empty() {
            reader.refuse_at::<()>("hosts", "at least one is required");
        }
        if spec.ports.is_empty() {
            reader.refuse_at::<()>("ports", "at least one is required");
        }
        let hosts = reader.each("hosts", &spec.hosts, |host, reader| text::subdomain(host, reader));
        let ports = reader.each("ports", &spec.ports, |port, reader| {
            let number = reader.at("port", |reader| text::port(port.port, reader))?;
            let target = optional(port.target_port, |port| reader.at("targetPort", |reader| text::port(port, reader)))?.unwrap_or(number);
            let tls = optional(port.tls.as_ref(), |tls| match &tls.server_name {
                Some(name) => reader.at("tls.serverName", |reader| text::subdomain(name, reader)),
                None => hosts.first().cloned(),
            })?;
            Some(external::ExternalPort { number, target, protocol: core::protocol(port.app_protocol.as_deref(), ""), tls })
        });
        let endpoints = reader.each("endpoints", &spec.endpoints, |endpoint, reader| match endpoint.parse::<std::net::IpAddr>() {
            Ok(_) => Some(Arc::from(endpoint.as_str())),
            Err(_) => text::subdomain(endpoint, reader),
        });
        Some(ExternalService { name: name.clone(), hosts, ports, endpoints, exports: exports? })
    })
}

fn paths(written: written::Normalization) -> PathNormalization {
    match written {
        written::Normalization::Base => PathNormalization::Base,
        written::Normalization::MergeSlashes => PathNormalization::MergeSlashes,
        written::Normalization::DecodeAndMergeSlashes => PathNormalization::DecodeAndMergeSlashes,
    }
}

/// Often enough to be of use, and not so often that the issuer's server notices.
fn keys_refresh(text: Option<&String>, default: Duration, reader: &mut Reader) -> Option<Duration> {
    let interval = duration("jwksRefreshInterval", text, reader)?.unwrap_or(default);
    if interval < Duration::from_secs(1) || interval > Duration::from_secs(86_400) {
        return reader.refuse_at("jwksRefreshInterval", "from 1s to 24h");
    }
    Some(interval)
}

/// One that is there and cannot be read: only what is known may be reached, unless it says otherwise where that can be read.
pub(super) fn stand_in(value: &Value) -> MeshSettings {
    let outbound = match value.pointer("/spec/outbound").map(written::OutboundMode::deserialize) {
        None | Some(Ok(written::OutboundMode::AllowAny)) => OutboundMode::AllowAny,
        Some(Ok(written::OutboundMode::RegistryOnly) | Err(_)) => OutboundMode::RegistryOnly,
    };
    MeshSettings { outbound, ..MeshSettings::default() }
}

/// The `MeshConfig`.
pub(super) fn mesh_config(value: &Value, reader: &mut Reader) -> Option<MeshSettings> {
    let named = value.pointer("/metadata/name").and_then(Value::as_str);
    if named != Some(MESH) {
        return reader.refuse_at("metadata.name", format_args!("there is one MeshConfig, and its name is {MESH:?}"));
    }
    let spec: written::MeshConfigSpec = reader.shape(value, "spec")?;
    let default = MeshSettings::default();
    reader.at("spec", |reader| {
        let domain = match &spec.domain {
            Some(domain) => reader.at("domain", |reader| text::subdomain(domain, reader)),
            None => Some(default.domain),
        };
        let trust_domain = match &spec.trust_domain {
            Some(domain) => reader.at("trustDomain", |reader| text::subdomain(domain, reader)),
            None => Some(default.trust_domain),
        };
        let connect_timeout = duration("connectTimeout", spec.connect_timeout.as_ref(), reader)?.unwrap_or(default.connect_timeout);
        if connect_timeout.is_zero() {
            reader.refuse_at::<()>("connectTimeout", "0 leaves no time to connect");
        }
        let retries = spec.retries.unwrap_or(default.retries);
        if retries > MOST_RETRIES {
            reader.refuse_at::<()>("retries", format_args!("{retries} is more than {MOST_RETRIES}"));
        }
        Some(MeshSettings {
            domain: domain?,
            trust_domain: trust_domain?,
            outbound: match spec.outbound {
                None | Some(written::OutboundMode::AllowAny) => OutboundMode::AllowAny,
                Some(written::OutboundMode::RegistryOnly) => OutboundMode::RegistryOnly,
            },
            access_log: spec.access_log.unwrap_or(default.access_log),
            connect_timeout,
            retries,
            load_reports: spec.load_reports.unwrap_or(default.load_reports),
            paths: spec.path_normalization.and_then(|paths| paths.normalization).map_or(default.paths, paths),
            h2_upgrade: match spec.h2_upgrade_policy {
                None => default.h2_upgrade,
                Some(written::Upgrade::DoNotUpgrade) => H2Upgrade::DoNotUpgrade,
                Some(written::Upgrade::Upgrade) => H2Upgrade::Upgrade,
            },
            keys_refresh: keys_refresh(spec.jwks_refresh_interval.as_ref(), default.keys_refresh, reader)?,
            providers: provider::providers(spec.extension_providers.as_deref().unwrap_or_default(), reader),
        })
    })
}
