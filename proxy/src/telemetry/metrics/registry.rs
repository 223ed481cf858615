use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::telemetry::metrics::access::AccessFamilies;
use crate::telemetry::metrics::peers::Peers;
use crate::telemetry::metrics::{
    AccessName, AccessStats, ClusterManagerStats, ClusterStats, ControlPlaneStats, DnsStats, ExternalStats, HttpStats,
    ListenerManagerStats, ListenerStats, Metric, NinonStats, PeerStats, ServerStats, TcpStats,
};

/// Every group of metrics, by name. Asked when the configuration changes and when a page is made, never by a request.
#[derive(Debug, Default)]
pub struct Registry {
    /// `server.*`
    pub server: Arc<ServerStats>,
    /// `cluster_manager.*`
    pub cluster_manager: Arc<ClusterManagerStats>,
    /// `control_plane.*`
    pub control_plane: Arc<ControlPlaneStats>,
    /// `dns.*`; made when there is a DNS.
    pub dns: OnceLock<Arc<DnsStats>>,
    /// `listener_manager.*`
    pub listener_manager: Arc<ListenerManagerStats>,
    /// `ninon.*`
    pub ninon: Arc<NinonStats>,
    clusters: Mutex<BTreeMap<Arc<str>, Weak<dyn ClusterMetrics>>>,
    http: Family<HttpStats>,
    listeners: Family<ListenerStats>,
    tcp: Family<TcpStats>,
    access: AccessFamilies,
    peers: Peers,
}

/// A cluster as it runs: its metrics are made when something touches them first, so that idle clusters stay small.
pub trait ClusterMetrics: Send + Sync + fmt::Debug {
    /// Its name in metrics.
    fn stat_name(&self) -> &str;
    /// Its metrics, if anything has touched them.
    fn touched(&self) -> Option<&Arc<ClusterStats>>;
    /// Goes on with the counts of the cluster that it takes the place of.
    fn go_on_with(&self, stats: &Arc<ClusterStats>);
}

/// What a group of metrics is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One cluster.
    Cluster,
    /// All clusters.
    ClusterManager,
    /// HTTP connection managers of one name.
    Http,
    /// Decisions about requests, in connection managers of one name.
    HttpAccess,
    /// What a service outside says of requests, in connection managers of one name.
    External,
    /// One listener.
    Listener,
    /// All listeners.
    ListenerManager,
    /// The control plane, and the stream from it.
    ControlPlane,
    /// The proxy's DNS.
    Dns,
    /// Decisions about connections.
    NetworkAccess,
    /// Ours alone.
    Ninon,
    /// Who came to the application, and as whom it answered.
    Peer,
    /// The process.
    Server,
    /// TCP proxies of one name.
    Tcp,
}

/// One metric, found.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// What its group is about.
    pub scope: Scope,
    /// Of which cluster, listener, ...; empty where there is but one.
    pub instance: &'a str,
    /// Which of several of the instance, where they have names; else empty.
    pub part: &'a str,
    /// Its name within the group.
    pub name: &'static str,
    /// Its value.
    pub metric: Metric<'a>,
}

impl Scope {
    /// The first word of a metric's name.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::ClusterManager => "cluster_manager",
            Self::ControlPlane => "control_plane",
            Self::Dns => "dns",
            Self::Http | Self::HttpAccess | Self::External => "http",
            Self::Listener => "listener",
            Self::ListenerManager => "listener_manager",
            // Envoy: the name of the instance comes first.
            Self::NetworkAccess => "",
            Self::Ninon => "ninon",
            Self::Peer => "peer",
            Self::Server => "server",
            Self::Tcp => "tcp",
        }
    }

    /// What stands between the instance and the rest of a name.
    pub fn kind(self) -> &'static str {
        match self {
            Self::HttpAccess | Self::NetworkAccess => "rbac",
            Self::External => "ext_authz",
            Self::Cluster
            | Self::ClusterManager
            | Self::Http
            | Self::Listener
            | Self::ListenerManager
            | Self::ControlPlane
            | Self::Dns
            | Self::Ninon
            | Self::Peer
            | Self::Server
            | Self::Tcp => "",
        }
    }

    /// The label that says which one, as Envoy extracts it.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Cluster => Some("envoy_cluster_name"),
            Self::Http | Self::HttpAccess | Self::External => Some("envoy_http_conn_manager_prefix"),
            Self::NetworkAccess => Some("envoy_rbac_prefix"),
            Self::Listener => Some("envoy_listener_address"),
            Self::Tcp => Some("envoy_tcp_prefix"),
            Self::Peer => Some("source_principal"),
            Self::ClusterManager | Self::ControlPlane | Self::Dns | Self::ListenerManager | Self::Ninon | Self::Server => None,
        }
    }
}

impl Registry {
    /// With nothing in it but what is about the process.
    pub fn new() -> Self {
        Self::default()
    }

    /// `cluster.<name>.*`, as long as the cluster is there. It goes on counting where one of the same name was.
    pub fn add_cluster<C: ClusterMetrics + 'static>(&self, cluster: &Arc<C>) {
        let shared: Arc<dyn ClusterMetrics> = Arc::<C>::clone(cluster);
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let before = clusters.insert(Arc::from(cluster.stat_name()), Arc::downgrade(&shared));
        if let Some(before) = before.and_then(|before| before.upgrade())
            && let Some(stats) = before.touched()
        {
            cluster.go_on_with(stats);
        }
    }

    /// Forgets clusters that are gone.
    pub fn forget_clusters(&self) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|_, cluster| cluster.strong_count() > 0);
    }

    /// `http.<stat_prefix>.*`
    pub fn http(&self, stat_prefix: &str) -> Arc<HttpStats> {
        self.http.get(stat_prefix)
    }

    /// `listener.<address>.*`: `name` is the listener's `stat_prefix`, or its address.
    pub fn listener(&self, name: &str) -> Arc<ListenerStats> {
        self.listeners.get(&listener_name(name))
    }

    /// `tcp.<stat_prefix>.*`
    pub fn tcp(&self, stat_prefix: &str) -> Arc<TcpStats> {
        self.tcp.get(stat_prefix)
    }

    /// `http.<stat_prefix>.rbac.*`, `<stat_prefix>.rbac.*`
    pub fn access(&self, name: &AccessName) -> AccessStats {
        self.access.get(name)
    }

    /// `http.<stat_prefix>.ext_authz.*`
    pub fn external(&self, instance: &str, part: &str) -> Arc<ExternalStats> {
        self.access.external(instance, part)
    }

    /// `peer.<source>.<destination>.*`: of whom the certificates of a connection are, where they were shown.
    pub fn peer(&self, source: Option<&str>, destination: Option<&str>) -> Arc<PeerStats> {
        self.peers.get(source, destination)
    }

    /// Forgets what nobody holds any more. Called when a change of the configuration is done, not before: a cluster that
    /// only changed keeps its counts, because the new one has asked for them by then.
    pub fn prune(&self) {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, cluster| cluster.strong_count() > 0);
        self.http.prune();
        self.listeners.prune();
        self.tcp.prune();
        self.access.prune();
    }

    /// Shows every metric, group by group.
    pub fn visit(&self, mut see: impl FnMut(Sample<'_>)) {
        for (name, cluster) in self.all_clusters() {
            if let Some(group) = cluster.touched() {
                group.visit(|metric_name, metric| {
                    see(Sample { scope: Scope::Cluster, instance: &name, part: "", name: metric_name, metric })
                });
            }
        }
        self.cluster_manager.visit(|name, metric| see(Sample { scope: Scope::ClusterManager, instance: "", part: "", name, metric }));
        self.control_plane.visit(|name, metric| see(Sample { scope: Scope::ControlPlane, instance: "", part: "", name, metric }));
        if let Some(dns) = self.dns.get() {
            dns.visit(|name, metric| see(Sample { scope: Scope::Dns, instance: "", part: "", name, metric }));
        }
        for (name, group) in self.http.all() {
            group.visit(|metric_name, metric| see(Sample { scope: Scope::Http, instance: &name, part: "", name: metric_name, metric }));
        }
        for (name, group) in self.listeners.all() {
            group.visit(|metric_name, metric| see(Sample { scope: Scope::Listener, instance: &name, part: "", name: metric_name, metric }));
        }
        self.listener_manager.visit(|name, metric| see(Sample { scope: Scope::ListenerManager, instance: "", part: "", name, metric }));
        self.ninon.visit(|name, metric| see(Sample { scope: Scope::Ninon, instance: "", part: "", name, metric }));
        self.server.visit(|name, metric| see(Sample { scope: Scope::Server, instance: "", part: "", name, metric }));
        for (name, group) in self.tcp.all() {
            group.visit(|metric_name, metric| see(Sample { scope: Scope::Tcp, instance: &name, part: "", name: metric_name, metric }));
        }
        self.peers.visit(&mut see);
        self.access.visit(see);
    }

    fn all_clusters(&self) -> Vec<(Arc<str>, Arc<dyn ClusterMetrics>)> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.iter().filter_map(|(name, cluster)| Some((Arc::clone(name), cluster.upgrade()?))).collect()
    }

    /// All counters begin at 0 again.
    pub fn reset_counters(&self) {
        self.visit(|sample| match sample.metric {
            Metric::Counter(counter) => counter.reset(),
            Metric::Codes(codes) => codes.reset(),
            Metric::Gauge(_) | Metric::Histogram(_) => {}
        });
    }
}

/// As Envoy writes addresses in names of metrics: `0.0.0.0_8080`, `[__1]_8080`.
fn listener_name(name: &str) -> String {
    name.replace(':', "_")
}

/// Groups of one kind.
#[derive(Debug)]
struct Family<T>(Mutex<BTreeMap<Arc<str>, Arc<T>>>);

impl<T> Default for Family<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Family<T> {
    fn get(&self, name: &str) -> Arc<T> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.get(name) {
            return Arc::clone(group);
        }
        let group = Arc::<T>::default();
        groups.insert(Arc::from(name), Arc::clone(&group));
        group
    }

    fn prune(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, group| Arc::strong_count(group) > 1);
    }

    /// All groups, so that nobody waits for the lock while a page is made of them.
    fn all(&self) -> Vec<(Arc<str>, Arc<T>)> {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|(name, group)| (Arc::clone(name), Arc::clone(group))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::test::FakeCluster;

    fn names(registry: &Registry) -> Vec<String> {
        let mut names = Vec::new();
        registry.visit(|sample| {
            if matches!(sample.name, "upstream_cx_total" | "downstream_cx_total") {
                names.push(format!("{}.{}.{}", sample.scope.prefix(), sample.instance, sample.name));
            }
        });
        names
    }

    #[test]
    fn the_same_name_is_the_same_group() {
        let registry = Registry::new();
        registry.http("shop").no_route.inc();
        registry.http("shop").no_route.inc();
        assert_eq!(registry.http("shop").no_route.value(), 2);
        assert_eq!(registry.http("cart").no_route.value(), 0);
    }

    #[test]
    fn a_cluster_shows_once_something_touched_it_and_goes_with_its_last_holder() {
        let registry = Registry::new();
        let cluster = FakeCluster::new("shop");
        registry.add_cluster(&cluster);
        assert!(names(&registry).is_empty());
        cluster.stats().upstream_cx_total.inc();
        assert_eq!(names(&registry), ["cluster.shop.upstream_cx_total"]);
        drop(cluster);
        assert!(names(&registry).is_empty());
    }

    #[test]
    fn a_cluster_that_changed_goes_on_counting() {
        let registry = Registry::new();
        let (before, after) = (FakeCluster::new("shop"), FakeCluster::new("shop"));
        registry.add_cluster(&before);
        before.stats().upstream_cx_total.inc();
        registry.add_cluster(&after);
        after.stats().upstream_cx_total.inc();
        assert_eq!((before.stats().upstream_cx_total.value(), names(&registry).len()), (2, 1));
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let registry = Registry::new();
        let kept = registry.http("kept");
        drop(registry.tcp("gone"));
        let listener = registry.listener("[::1]:8080");
        let all = ["http.kept.downstream_cx_total", "listener.[__1]_8080.downstream_cx_total", "tcp.gone.downstream_cx_total"];
        assert_eq!(names(&registry), all);
        registry.prune();
        assert_eq!(names(&registry), all[..2]);
        drop((kept, listener));
        registry.prune();
        assert!(names(&registry).is_empty());
    }

    #[test]
    fn counters_begin_again_and_gauges_stay() {
        let registry = Registry::new();
        let stats = registry.http("ingress");
        stats.count_answer(http::StatusCode::OK);
        stats.downstream_rq_active.set(3);
        registry.reset_counters();
        assert_eq!((stats.downstream_rq_2xx.value(), stats.downstream_rq.values()), (0, vec![(200, 0)]));
        assert_eq!(stats.downstream_rq_active.value(), 3);
    }
}
