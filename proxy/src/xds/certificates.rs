//! `istio.v1.auth.IstioCertificateService`: an authority that signs certificates.

use std::fmt;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use xds_proto::istio::v1::auth::IstioCertificateRequest;
use xds_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;

use crate::config::ClusterName;
use crate::xds::stream::Way;
use crate::xds::stream::channel::Channel;

/// A chain of certificates is some KiB.
const LARGEST_ANSWER: usize = 256 * 1024;

/// What is to be signed.
pub struct Wish {
    /// PKCS #10, as PEM.
    pub csr: String,
    /// For how long; `None` leaves it to the authority.
    pub lifetime: Option<Duration>,
    /// Who asks, where the connection does not show it.
    pub token: Option<String>,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignError {
    /// The authority says no; why.
    Refused(String),
    /// It could not be asked, or did not answer.
    Failed(String),
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the authority refuses: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SignError {}

/// Asks for a certificate: PEM, the leaf first, the root last. The caller sets the limit.
///
/// # Errors
/// See [`SignError`].
pub async fn sign(way: Way, server: &ClusterName, wish: Wish) -> Result<Vec<String>, SignError> {
    let channel = Channel::open(way, server).await.map_err(|error| SignError::Failed(error.to_string()))?;
    let seconds = wish.lifetime.map_or(0, |lifetime| i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
    let mut request = Request::new(IstioCertificateRequest { csr: wish.csr, validity_duration: seconds, metadata: None });
    if let Some(token) = wish.token {
        let mut value = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| SignError::Refused("the token has characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
    }
    let mut client = IstioCertificateServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER);
    match client.create_certificate(request).await {
        Ok(answer) => Ok(answer.into_inner().cert_chain),
        Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument) => {
            Err(SignError::Refused(status.message().to_owned()))
        }
        Err(status) => Err(SignError::Failed(format!("{:?}: {}", status.code(), status.message()))),
    }
}
