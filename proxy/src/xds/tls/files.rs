//! Files that secrets are in.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::core::v3::{DataSource, WatchedDirectory};
use xds_proto::envoy::extensions::transport_sockets::tls::v3 as wire;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;

use crate::config::source::ResourceFile;
use crate::xds::resource::{self, Kind};
use crate::xds::tls::certificate;

/// Folders that tell of changes of what secrets name: `watched_directory` of each, else those that its files are in (Envoy's "SDS", "Key
/// rotation"). What cannot be read is left to who takes the secrets.
pub fn folders(secrets: &[Any]) -> BTreeSet<Arc<Path>> {
    let read = secrets.iter().filter_map(|packed| any::unpack::<wire::Secret>(&resource::read(Kind::Secret, packed, "").ok()?.body?).ok());
    read.flat_map(|secret| match secret.r#type {
        Some(Type::TlsCertificate(certificate)) => {
            watched(certificate.watched_directory.as_ref(), &[certificate.certificate_chain.as_ref(), certificate.private_key.as_ref()])
        }
        Some(Type::ValidationContext(context)) => {
            let domains = trust_domains(&context);
            let bundles = domains.iter().map(|domain| domain.trust_bundle.as_ref());
            let files: Vec<_> = [context.trusted_ca.as_ref(), context.crl.as_ref()].into_iter().chain(bundles).collect();
            watched(context.watched_directory.as_ref(), &files)
        }
        Some(Type::SessionTicketKeys(_) | Type::GenericSecret(_)) | None => BTreeSet::new(),
    })
    .collect()
}

fn trust_domains(context: &wire::CertificateValidationContext) -> Vec<wire::spiffe_cert_validator_config::TrustDomain> {
    let packed = context.custom_validator_config.as_ref().and_then(|validator| validator.typed_config.as_ref());
    packed
        .and_then(|packed| any::unpack::<wire::SpiffeCertValidatorConfig>(packed).ok())
        .map(|config| config.trust_domains)
        .unwrap_or_default()
}

fn watched(folder: Option<&WatchedDirectory>, sources: &[Option<&DataSource>]) -> BTreeSet<Arc<Path>> {
    let folder = folder.map(|folder| folder.path.as_str()).filter(|folder| !folder.is_empty());
    let files = sources.iter().filter_map(|source| certificate::file(*source));
    files.map(|path| ResourceFile::new(path, folder).folder).collect()
}
