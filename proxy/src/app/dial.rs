use std::sync::Arc;

use crate::config::ClusterName;
use crate::connect::TlsSource;
use crate::runtime::Shared;
use crate::xds::stream::{Opening, Pings, Way};

/// A connection to one of a cluster's endpoints, TLS included where the cluster says so: the first that takes it, in an order by
/// chance. A control plane that ends must not keep its proxies from the others.
pub(super) fn connect(shared: Arc<Shared>, server: ClusterName, tls: TlsSource) -> Opening {
    Box::pin(async move {
        let generation = shared.current.load_full();
        let cluster = generation.clusters.get(&server).ok_or_else(|| format!("there is no cluster {:?} yet", server.as_str()))?;
        let mut endpoints: Vec<_> = cluster.endpoints().members().iter().map(|member| member.endpoint.clone()).collect();
        fastrand::shuffle(&mut endpoints);
        let mut problem = "the cluster has no endpoints".to_owned();
        for endpoint in endpoints {
            match crate::connect::tcp::open(&endpoint, cluster, Some(&tls), None).await {
                Ok(opened) => {
                    let settings = &cluster.config().http2;
                    let pings = settings.keepalive_interval.map(|interval| Pings { interval, timeout: settings.keepalive_timeout });
                    return Ok(Way { bytes: Box::new(opened.io), pings: pings.unwrap_or_default() });
                }
                Err(error) => problem = error.to_string(),
            }
        }
        Err(problem)
    })
}
