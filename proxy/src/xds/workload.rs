//! SPIFFE's Workload API: somebody on this machine who knows who the workload is, and gives it certificates as it sees fit.

use std::collections::BTreeMap;

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use xds_proto::spiffe::workload as wire;

use crate::config::ClusterName;
use crate::config::identity::Svid;
use crate::xds::stream::Way;
use crate::xds::stream::channel::Channel;

/// Some hundred bundles. More is refused.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
/// The service has no package.
const FETCH: &str = "/SpiffeWorkloadAPI/FetchX509SVID";
/// Without it servers refuse: a browser that is led to the socket cannot send it (Workload API, 4.1).
const HEADER: &str = "workload.spiffe.io";

/// What comes of the Workload API.
#[derive(Debug)]
pub struct Svids {
    stream: Streaming<wire::X509svidResponse>,
    /// Drives the connection; ends with it.
    _channel: Channel,
}

impl Svids {
    /// Asks who the workload is, from now on. The caller sets the limit.
    ///
    /// # Errors
    /// Nobody answers, or says no; in a plain sentence.
    pub async fn open(way: Way) -> Result<Self, String> {
        // gRPC asks for an authority, and a socket has none.
        let channel = Channel::open(way, &ClusterName::from("localhost")).await.map_err(|error| error.to_string())?;
        let mut request = Request::new(wire::X509svidRequest {});
        request.metadata_mut().insert(HEADER, MetadataValue::from_static("true"));
        let mut client = Grpc::new(channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        client.ready().await.map_err(|error| format!("the connection ended: {error}"))?;
        let codec = ProstCodec::<wire::X509svidRequest, wire::X509svidResponse>::default();
        let answer = client.server_streaming(request, PathAndQuery::from_static(FETCH), codec).await;
        let stream = answer.map_err(|status| told(&status))?.into_inner();
        Ok(Self { stream, _channel: channel })
    }

    /// The next answer. It comes when something changes: a connection that is gone without a word is noticed by pings.
    ///
    /// # Errors
    /// The stream has ended; in a plain sentence.
    pub async fn next(&mut self) -> Result<Svid, String> {
        match self.stream.message().await {
            Ok(Some(answer)) => Ok(svid(answer)),
            Ok(None) => Err("the stream ended".to_owned()),
            Err(status) => Err(told(&status)),
        }
    }
}

fn told(status: &Status) -> String {
    if status.code() == Code::PermissionDenied {
        return format!("it has no identity for this process: {}", status.message());
    }
    format!("{:?}: {}", status.code(), status.message())
}

/// The first is the one that counts (Workload API, 5.2.1).
fn svid(answer: wire::X509svidResponse) -> Svid {
    let federated: BTreeMap<String, Vec<u8>> = answer.federated_bundles.into_iter().map(|(name, bundle)| (name, bundle.to_vec())).collect();
    let first = answer.svids.into_iter().next().unwrap_or_default();
    Svid {
        name: first.spiffe_id,
        chain: first.x509_svid.to_vec(),
        key: first.x509_svid_key.to_vec(),
        roots: first.bundle.to_vec(),
        federated,
        has_lists: !answer.crl.is_empty(),
    }
}
