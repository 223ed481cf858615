use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::metrics::{Counter, Metric, Sample, Scope};

group! {
    /// What rules said.
    EnforcedStats {
        counters {
            /// Requests or connections let through.
            allowed,
            /// ... refused.
            denied,
        }
        gauges {}
        histograms {}
    }
}

group! {
    /// What shadow rules said, which nothing obeys.
    ShadowStats {
        counters {
            /// Requests or connections that would be let through.
            shadow_allowed,
            /// ... that would be refused.
            shadow_denied,
        }
        gauges {}
        histograms {}
    }
}

group! {
    /// What a service outside said.
    ExternalStats {
        counters {
            /// Requests let through.
            ok,
            /// ... refused.
            denied,
            /// ... without an answer.
            error,
            /// ... without an answer, and let through all the same.
            failure_mode_allowed,
            /// ... that were not asked about.
            disabled,
            /// Answers that say what no service may.
            invalid,
        }
        gauges {}
        histograms {}
    }
}

/// Metrics of a filter that decides who may do what.
#[derive(Clone, Debug)]
pub struct AccessStats {
    /// Of its rules.
    pub enforced: Arc<EnforcedStats>,
    /// Of its shadow rules.
    pub shadow: Arc<ShadowStats>,
}

/// What such a filter is called in metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessName {
    /// About requests or connections.
    pub scope: Scope,
    /// The `stat_prefix` of the connection manager, or of the network filter.
    pub instance: String,
    /// Of its rules, may be empty.
    pub part: String,
    /// Of its shadow rules, may be empty.
    pub shadow_part: String,
}

/// Which group: scope, instance, part.
type Key = (Scope, Arc<str>, Arc<str>);

/// The groups of all such filters.
#[derive(Debug, Default)]
pub(super) struct AccessFamilies {
    enforced: Mutex<BTreeMap<Key, Arc<EnforcedStats>>>,
    shadow: Mutex<BTreeMap<Key, Arc<ShadowStats>>>,
    external: Mutex<BTreeMap<Key, Arc<ExternalStats>>>,
}

impl AccessFamilies {
    pub(super) fn get(&self, name: &AccessName) -> AccessStats {
        AccessStats {
            enforced: of(&self.enforced, name.scope, &name.instance, &name.part),
            shadow: of(&self.shadow, name.scope, &name.instance, &name.shadow_part),
        }
    }

    pub(super) fn external(&self, instance: &str, part: &str) -> Arc<ExternalStats> {
        of(&self.external, Scope::External, instance, part)
    }

    pub(super) fn prune(&self) {
        self.external.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, group| Arc::strong_count(group) > 1);
        self.enforced.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, group| Arc::strong_count(group) > 1);
        self.shadow.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, group| Arc::strong_count(group) > 1);
    }

    pub(super) fn visit(&self, mut see: impl FnMut(Sample<'_>)) {
        for ((scope, instance, part), group) in all(&self.enforced) {
            group.visit(|name, metric| see(Sample { scope, instance: &instance, part: &part, name, metric }));
        }
        for ((scope, instance, part), group) in all(&self.external) {
            group.visit(|name, metric| see(Sample { scope, instance: &instance, part: &part, name, metric }));
        }
        for ((scope, instance, part), group) in all(&self.shadow) {
            group.visit(|name, metric| see(Sample { scope, instance: &instance, part: &part, name, metric }));
        }
    }
}

fn of<T: Default>(groups: &Mutex<BTreeMap<Key, Arc<T>>>, scope: Scope, instance: &str, part: &str) -> Arc<T> {
    let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(groups.entry((scope, Arc::from(instance), Arc::from(part))).or_default())
}

/// All groups, so that nobody waits for the lock while a page is made of them.
fn all<T>(groups: &Mutex<BTreeMap<Key, Arc<T>>>) -> Vec<(Key, Arc<T>)> {
    let groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
    groups.iter().map(|(key, group)| (key.clone(), Arc::clone(group))).collect()
}

impl AccessStats {
    /// Counts what rules said.
    pub fn count(&self, allowed: bool) {
        if allowed { self.enforced.allowed.inc() } else { self.enforced.denied.inc() }
    }

    /// Counts what shadow rules said.
    pub fn count_shadow(&self, allowed: bool) {
        if allowed { self.shadow.shadow_allowed.inc() } else { self.shadow.shadow_denied.inc() }
    }
}
