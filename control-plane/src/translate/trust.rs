use std::sync::Arc;

use xds_proto::envoy::config::core::v3::DataSource;
use xds_proto::envoy::config::core::v3::data_source::Specifier;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::{CertificateValidationContext, Secret};

use crate::snapshot::Layer;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Resource;
use crate::snapshot::set::Set;

/// The name by which proxies ask for the roots that they are to trust.
pub const ROOTS: &str = "ROOTCA";

/// Roots in PEM, as proxies are told of them, and lists of what was revoked. `only_leaves`: the lists tell of peers' own certificates only.
pub fn bundle(roots: &str, lists: Option<&str>, only_leaves: bool) -> Arc<Resource> {
    let inline = |text: &str| Some(DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..DataSource::default() });
    let (trusted_ca, crl) = (inline(roots), lists.and_then(inline));
    let only_verify_leaf_cert_crl = crl.is_some() && only_leaves;
    let context = CertificateValidationContext { trusted_ca, crl, only_verify_leaf_cert_crl, ..CertificateValidationContext::default() };
    let secret = Secret { name: ROOTS.to_owned(), r#type: Some(Type::ValidationContext(context)) };
    Arc::new(Resource::new(ROOTS, &secret))
}

/// The same for everybody. What else there was stays.
pub(super) fn layer(before: &Layer, bundle: &Arc<Resource>) -> Arc<Layer> {
    let secrets = Arc::new(Set::new([Arc::clone(bundle)]));
    Arc::new(Layer::new(|kind| Arc::clone(if kind == Kind::Secret { &secrets } else { before.of(kind) })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mesh::Mesh;
    use crate::snapshot::Snapshot;
    use crate::translate::view::{Form, Translator, View};

    fn is_in(snapshot: &Snapshot, bundle: &Resource) -> bool {
        snapshot.get(Kind::Secret, ROOTS).is_some_and(|known| known.version == bundle.version)
    }

    #[test]
    fn everybody_is_told_whom_to_trust_and_when_that_changes() {
        let (mut translator, mesh) = (Translator::default(), Mesh::default());
        let (one, other) = (bundle("one", None, false), bundle("one", Some("list"), false));
        let view = |form| View { form, namespace: "shop".into(), workload: None, account: None, transparent: false };
        translator.trust(&one);
        for form in [Form::Sidecar, Form::Grpc] {
            assert!(is_in(&translator.snapshot(&mesh, &view(form)), &one));
        }
        let before = translator.snapshot(&mesh, &view(Form::Sidecar));
        translator.trust(&bundle("one", None, false));
        assert!(Arc::ptr_eq(&before, &translator.snapshot(&mesh, &view(Form::Sidecar))), "nothing has changed");
        translator.trust(&other);
        let after = translator.snapshot(&mesh, &view(Form::Sidecar));
        assert!(is_in(&after, &other) && !is_in(&after, &one));
        assert!(Kind::ALL.into_iter().all(|kind| kind == Kind::Secret || after.shares(kind, &before)), "nothing else has");
    }
}
