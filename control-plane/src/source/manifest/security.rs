//! Kinds that say who may reach whom, into the model.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;

use crate::model::authentication::{Mode, PeerAuthentication, ROOT_NAMESPACE};
use crate::model::name::Name;
use crate::model::service::Labels;
use crate::source::manifest::custom as written;
use crate::source::manifest::reader::Reader;
use crate::source::manifest::text;

/// A `PeerAuthentication`.
pub(super) fn peer_authentication(name: &Name, value: &Value, reader: &mut Reader) -> Option<PeerAuthentication> {
    let spec: written::PeerAuthenticationSpec = reader.shape(value, "spec")?;
    reader.at("spec", |reader| {
        let selector = selector(spec.selector.as_ref());
        if selector.is_some() && *name.namespace == *ROOT_NAMESPACE {
            let problem = format_args!("what is in the namespace {ROOT_NAMESPACE} is for the whole mesh");
            reader.refuse_at::<()>("selector", problem);
        }
        if selector.is_none() && !spec.port_level_mtls.is_empty() {
            reader.refuse_at::<()>("portLevelMtls", "only with a selector: ports are those of workloads");
        }
        let mut ports = BTreeMap::new();
        for (number, mtls) in &spec.port_level_mtls {
            let port = reader.at("portLevelMtls", |reader| match number.parse() {
                Ok(number) => text::port(number, reader),
                Err(_) => reader.refuse(format_args!("{number:?} is not a port")),
            });
            if let (Some(port), Some(mode)) = (port, mode(mtls.mode)) {
                ports.insert(port, mode);
            }
        }
        let mode = spec.mtls.and_then(|mtls| mode(mtls.mode));
        Some(PeerAuthentication { name: name.clone(), selector, mode, ports, is_broken: false })
    })
}

/// One that is there and cannot be read: nobody without a certificate comes in where it may be for.
pub(super) fn stand_in(name: &Name, value: &Value) -> PeerAuthentication {
    let written = value.get("spec").and_then(|spec| spec.get("selector"));
    let labels = written.map(|selector| written::WorkloadSelector::deserialize(selector).unwrap_or_default());
    let is_of_mesh = *name.namespace == *ROOT_NAMESPACE;
    let selector = selector(labels.as_ref()).filter(|_| !is_of_mesh);
    PeerAuthentication { name: name.clone(), selector, mode: Some(Mode::Strict), ports: BTreeMap::new(), is_broken: true }
}

/// One without labels is for all.
pub(super) fn selector(written: Option<&written::WorkloadSelector>) -> Option<Labels> {
    written.map(|selector| selector.match_labels.clone()).filter(|labels| !labels.is_empty())
}

const fn mode(written: written::MutualTlsMode) -> Option<Mode> {
    match written {
        written::MutualTlsMode::Unset => None,
        written::MutualTlsMode::Strict => Some(Mode::Strict),
        written::MutualTlsMode::Permissive => Some(Mode::Permissive),
        written::MutualTlsMode::Disable => Some(Mode::Disable),
    }
}
