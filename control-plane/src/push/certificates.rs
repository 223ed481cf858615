//! The certificate service, in Istio's words.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use xds_proto::istio::v1::auth as wire;

use crate::push::connection::Peer;
use crate::push::service::bearer;
use crate::push::{Certifier, Wish};

/// Bytes of a request: it holds one request for a certificate and little beside it.
pub(super) const LARGEST_REQUEST: usize = 64 * 1024;

/// See the module.
pub struct Certificates(Arc<dyn Certifier>);

impl Certificates {
    /// Which are made by somebody.
    pub fn new(by: Arc<dyn Certifier>) -> Self {
        Self(by)
    }
}

#[tonic::async_trait]
impl wire::istio_certificate_service_server::IstioCertificateService for Certificates {
    async fn create_certificate(
        &self,
        request: Request<wire::IstioCertificateRequest>,
    ) -> Result<Response<wire::IstioCertificateResponse>, Status> {
        let token = bearer(request.metadata().as_ref())?;
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        peer.asks();
        let asked = request.get_ref();
        let wish = Wish { csr: &asked.csr, seconds: asked.validity_duration, token: token.as_deref(), peer: &peer };
        let cert_chain = self.0.certify(wish).await?;
        Ok(Response::new(wire::IstioCertificateResponse { cert_chain }))
    }
}
