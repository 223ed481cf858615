//! What a worker remembers of a group of endpoints, by policy.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::config::cluster::BalancingPolicy;
use crate::upstream::Member;

/// Where a policy is in a group.
#[derive(Debug)]
pub(super) enum Cursor {
    /// Equal weights, in turn: the next one.
    Turn(usize),
    /// Draws, all alike.
    Draw,
    /// Draws by weight: sums of the weights up to each one.
    DrawByWeight(Vec<u64>),
    /// In turn by weight.
    Deadlines(Deadlines),
}

impl Cursor {
    pub(super) fn new(policy: &BalancingPolicy, members: &[Member], uniform: bool, rng: &mut Rng) -> Self {
        match (policy, uniform) {
            (BalancingPolicy::RoundRobin | BalancingPolicy::ClusterProvided, true) => Self::Turn(rng.usize(0..members.len().max(1))),
            (BalancingPolicy::LeastRequest { .. } | BalancingPolicy::Random, true) => Self::Draw,
            (BalancingPolicy::Random, false) => Self::DrawByWeight(sums(members)),
            (BalancingPolicy::RoundRobin | BalancingPolicy::LeastRequest { .. } | BalancingPolicy::ClusterProvided, false) => {
                Self::Deadlines(Deadlines::new(members, |member| weight(policy, member), rng))
            }
        }
    }

    /// The index of the next one.
    pub(super) fn next(&mut self, policy: &BalancingPolicy, members: &[Member], rng: &mut Rng) -> Option<usize> {
        if members.is_empty() {
            return None;
        }
        match self {
            Self::Turn(next) => {
                let index = if *next < members.len() { *next } else { 0 };
                *next = index.saturating_add(1);
                Some(index)
            }
            Self::Draw => draw(policy, members, rng),
            Self::DrawByWeight(sums) => {
                let drawn = rng.u64(0..sums.last().copied()?);
                Some(sums.partition_point(|sum| *sum <= drawn))
            }
            Self::Deadlines(deadlines) => deadlines.next(|index| members.get(index).map_or(1.0, |member| weight(policy, member))),
        }
    }
}

/// Of `choice_count` drawn, the one with the fewest requests in flight.
fn draw(policy: &BalancingPolicy, members: &[Member], rng: &mut Rng) -> Option<usize> {
    let choices = match policy {
        BalancingPolicy::LeastRequest { choice_count, .. } => *choice_count,
        BalancingPolicy::RoundRobin | BalancingPolicy::Random | BalancingPolicy::ClusterProvided => 1,
    };
    let load = |index: &usize| members.get(*index).map(|member| member.endpoint.active_requests());
    (0..choices).map(|_| rng.usize(0..members.len())).min_by_key(load)
}

fn sums(members: &[Member]) -> Vec<u64> {
    let add = |sum: &mut u64, member: &Member| {
        *sum = sum.saturating_add(u64::from(member.weight.get()));
        Some(*sum)
    };
    members.iter().scan(0, add).collect()
}

/// The weight now. Least request: less for each request in flight, as much as the bias says (Envoy's formula).
fn weight(policy: &BalancingPolicy, member: &Member) -> f64 {
    let weight = f64::from(member.weight.get());
    match policy {
        BalancingPolicy::LeastRequest { active_request_bias, .. } => {
            let load = f64::from(member.endpoint.active_requests()) + 1.0;
            if *active_request_bias == 1.0 { weight / load } else { weight / load.powf(*active_request_bias) }
        }
        BalancingPolicy::RoundRobin | BalancingPolicy::Random | BalancingPolicy::ClusterProvided => weight,
    }
}

/// Earliest deadline first: each one's next turn is one over its weight after its last.
#[derive(Debug)]
pub(super) struct Deadlines(BinaryHeap<Reverse<Turn>>);

#[derive(Debug)]
struct Turn {
    at: f64,
    index: usize,
}

impl Deadlines {
    fn new(members: &[Member], weight: impl Fn(&Member) -> f64, rng: &mut Rng) -> Self {
        // The first turn lies anywhere within the first period, so that each proxy starts elsewhere.
        let turns = members.iter().enumerate();
        Self(turns.map(|(index, member)| Reverse(Turn { at: rng.f64() / weight(member), index })).collect())
    }

    fn next(&mut self, weight: impl Fn(usize) -> f64) -> Option<usize> {
        let mut first = self.0.peek_mut()?;
        let index = first.0.index;
        first.0.at += 1.0 / weight(index);
        Some(index)
    }
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}
