//! What a request says that its client wants, entered into the subscription.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};

use crate::push::lane::Lane;
use crate::snapshot::Snapshot;

/// State of the world: these are all names from now on. Whether that is a change.
pub fn names_are(lane: &mut Lane, first: bool, names: &[String], now: &Snapshot, hasher: &RandomState) -> bool {
    // Every acknowledgement lists all names again.
    let asked = Some(hasher.hash_one(names));
    if !first && lane.asked == asked {
        return false;
    }
    lane.asked = asked;
    let subscription = &mut lane.subscription;
    let wanted: BTreeSet<&str> = names.iter().map(String::as_str).filter(|name| *name != "*").collect();
    // Without names it means all, unless it had names before: then it wants none any more.
    lane.is_silent = names.is_empty() && (first || lane.is_silent) && lane.status.kind.is_listed_whole();
    let all = lane.is_silent || names.iter().any(|name| name == "*");
    let mut changed = all != subscription.is_wildcard();
    match (all, subscription.is_wildcard()) {
        (true, false) => subscription.ask_all(),
        (false, true) => subscription.drop_all(),
        (true, true) | (false, false) => {}
    }
    let gone: Vec<_> = subscription.names().iter().filter(|name| !wanted.contains(name.as_ref())).cloned().collect();
    gone.iter().for_each(|name| subscription.drop(name));
    changed |= !gone.is_empty();
    for name in wanted {
        if !subscription.names().contains(name) {
            subscription.ask(name, now);
            changed = true;
        }
    }
    changed
}

/// Incremental: these come and go.
pub fn change(lane: &mut Lane, whole: bool, subscribe: &[String], unsubscribe: &[String], now: &Snapshot) {
    let subscription = &mut lane.subscription;
    for name in subscribe {
        if name == "*" { subscription.ask_all() } else { subscription.ask(name, now) }
    }
    for name in unsubscribe {
        if name == "*" { subscription.drop_all() } else { subscription.drop(name) }
    }
    if whole {
        subscription.ask_all();
    }
}
