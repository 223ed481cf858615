//! How load is shared among priorities: as Envoy's load balancer base class computes it, integer for integer.

use fastrand::Rng;

use crate::upstream::endpoint::Groups;
use crate::upstream::{Group, Level};

/// Which endpoints of a priority take the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    /// Healthy ones.
    Healthy,
    /// Degraded ones.
    Degraded,
    /// All: too few are healthy for health to be believed.
    Any,
}

impl Availability {
    pub(super) fn group(self, groups: &Groups) -> Group {
        match self {
            Self::Healthy => groups.healthy,
            Self::Degraded => groups.degraded,
            Self::Any => groups.all,
        }
    }
}

/// A priority's share, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LevelLoad {
    pub(super) healthy: u64,
    pub(super) degraded: u64,
    pub(super) panic: bool,
}

/// The share of each priority. They add up to 100, but for a cluster without endpoints.
pub(super) fn loads(levels: &[Level], overprovisioning: u32, panic_threshold: u8) -> Vec<LevelLoad> {
    let health: Vec<u64> = levels.iter().map(|level| percent(level.healthy, level.total, overprovisioning)).collect();
    let degraded: Vec<u64> = levels.iter().map(|level| percent(level.degraded, level.total, overprovisioning)).collect();
    let available = health.iter().chain(&degraded).sum::<u64>().min(100);
    let mut loads = vec![LevelLoad::default(); levels.len()];
    if available == 0 && panic_threshold == 0 {
        return loads;
    }
    for (load, level) in loads.iter_mut().zip(levels) {
        load.panic = available < 100 && in_panic(level, panic_threshold);
    }
    if loads.iter().all(|load| load.panic) {
        by_number(&mut loads, levels);
    } else {
        by_health(&mut loads, &health, &degraded, available);
    }
    loads
}

fn percent(part: usize, total: usize, overprovisioning: u32) -> u64 {
    scaled(part, u64::from(overprovisioning)).checked_div(wide(total)).unwrap_or(0).min(100)
}

fn in_panic(level: &Level, threshold: u8) -> bool {
    let available = level.healthy.saturating_add(level.degraded);
    let threshold = u64::from(threshold.min(100));
    if level.total == 0 { threshold > 0 } else { scaled(available, 100) < threshold.saturating_mul(wide(level.total)) }
}

/// All priorities are in panic: the number of endpoints decides.
fn by_number(loads: &mut [LevelLoad], levels: &[Level]) {
    let all = wide(levels.iter().map(|level| level.total).sum());
    let mut left = 100u64;
    for (load, level) in loads.iter_mut().zip(levels) {
        load.healthy = scaled(level.total, 100).checked_div(all).unwrap_or(0);
        left = left.saturating_sub(load.healthy);
    }
    let first = loads.iter_mut().zip(levels).find(|(_, level)| level.total > 0);
    if let Some((load, _)) = first {
        load.healthy = load.healthy.saturating_add(left);
    }
}

fn by_health(loads: &mut [LevelLoad], health: &[u64], degraded: &[u64], available: u64) {
    let mut left = 100u64;
    for (load, health) in loads.iter_mut().zip(health) {
        load.healthy = share(*health, available).min(left);
        left = left.saturating_sub(load.healthy);
    }
    for (load, degraded) in loads.iter_mut().zip(degraded) {
        load.degraded = share(*degraded, available).min(left);
        left = left.saturating_sub(load.degraded);
    }
    // What rounding left over goes to the first that can take it.
    if let Some((load, _)) = loads.iter_mut().zip(health).find(|(_, health)| **health > 0) {
        load.healthy = load.healthy.saturating_add(left);
    } else if let Some((load, _)) = loads.iter_mut().zip(degraded).find(|(_, degraded)| **degraded > 0) {
        load.degraded = load.degraded.saturating_add(left);
    }
}

fn share(availability: u64, available: u64) -> u64 {
    availability.saturating_mul(100).checked_div(available).unwrap_or(0)
}

fn scaled(count: usize, factor: u64) -> u64 {
    wide(count).saturating_mul(factor)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Draws a priority by its share.
pub(super) fn choose(loads: &[LevelLoad], rng: &mut Rng) -> Option<(usize, Availability)> {
    if let [LevelLoad { healthy: 100, panic: false, .. }] = loads {
        return Some((0, Availability::Healthy));
    }
    let draw = rng.u64(0..100);
    let mut reached = 0u64;
    let healthy = loads.iter().enumerate().map(|(index, load)| (index, load.healthy, Availability::Healthy));
    let degraded = loads.iter().enumerate().map(|(index, load)| (index, load.degraded, Availability::Degraded));
    for (index, load, availability) in healthy.chain(degraded) {
        reached = reached.saturating_add(load);
        if draw < reached {
            let panic = loads.get(index).is_some_and(|load| load.panic);
            return Some((index, if panic { Availability::Any } else { availability }));
        }
    }
    None
}
