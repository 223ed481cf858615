//! Clusters that routes and listeners name.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::ClusterName;
use crate::config::cluster::Cluster;

/// How long routes wait for clusters that they name and that are not warm.
const WARMING: Duration = Duration::from_secs(15);

/// How long changed routes wait for clusters that they name and that no server has told yet, while those before serve. Servers say
/// clusters first, but with several changes at once, go-control-plane holds back the second answer of a type until the first is
/// acknowledged, while routes overtake it.
pub(super) const UNKNOWN: Duration = Duration::from_secs(5);

/// Which clusters there are.
pub(super) struct Clusters<'a> {
    pub(super) serving: &'a HashMap<ClusterName, Arc<Cluster>>,
    pub(super) next: &'a HashMap<ClusterName, Arc<Cluster>>,
    /// Known, and not ready to serve.
    pub(super) warming: HashSet<&'a str>,
}

impl Clusters<'_> {
    /// How long something waits for the clusters that it `names`, where what it is to replace names those `before`. `None`: it need
    /// not.
    pub(super) fn wait(&self, names: &BTreeSet<&ClusterName>, before: Option<&BTreeSet<&ClusterName>>) -> Option<Duration> {
        if names.iter().any(|name| self.warming.contains(name.as_str())) {
            return Some(WARMING);
        }
        let is_known = |name: &ClusterName| self.next.contains_key(name) || self.serving.contains_key(name);
        let before = before?;
        names.difference(before).any(|name| !is_known(name)).then_some(UNKNOWN)
    }
}
