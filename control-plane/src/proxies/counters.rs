use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::proxies::status::Dialect;
use crate::snapshot::kind::Kind;

/// Upper bounds, in seconds, of the buckets of times from a snapshot to its acknowledgement.
pub const TIMES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    streams: [AtomicU64; 2],
    opened: [AtomicU64; 2],
    refused_streams: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    answers: [AtomicU64; Kind::ALL.len()],
    resources: [AtomicU64; Kind::ALL.len()],
    removals: [AtomicU64; Kind::ALL.len()],
    refusals: [AtomicU64; Kind::ALL.len()],
    times: [AtomicU64; TIMES.len() + 1],
    time_sum: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Streams that are open, by dialect: state of the world, incremental.
    pub streams: [u64; 2],
    /// Streams that were opened.
    pub opened: [u64; 2],
    /// Streams that were ended for what the client is or did.
    pub refused_streams: u64,
    /// Requests that came.
    pub requests: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// By type, in the order of [`Kind::ALL`].
    pub types: [TypeFigures; Kind::ALL.len()],
    /// Changes by the time from snapshot to acknowledgement: how many took at most [`TIMES`], each with those before it; then all.
    pub times: [u64; TIMES.len() + 1],
    /// The sum of these times.
    pub time_sum: Duration,
}

/// Of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeFigures {
    /// Answers that were sent.
    pub answers: u64,
    /// Resources in them.
    pub resources: u64,
    /// Names in them that are gone.
    pub removals: u64,
    /// Answers that were refused.
    pub refusals: u64,
}

impl Counters {
    /// At this moment.
    pub fn read(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let at = |counters: &[AtomicU64], kind: Kind| counters.get(kind.index()).map_or(0, read);
        let mut sum = 0;
        let times = self.times.each_ref().map(|counter| {
            sum += read(counter);
            sum
        });
        Figures {
            streams: self.streams.each_ref().map(read),
            opened: self.opened.each_ref().map(read),
            refused_streams: read(&self.refused_streams),
            requests: read(&self.requests),
            bytes: read(&self.bytes),
            types: Kind::ALL.map(|kind| TypeFigures {
                answers: at(&self.answers, kind),
                resources: at(&self.resources, kind),
                removals: at(&self.removals, kind),
                refusals: at(&self.refusals, kind),
            }),
            times,
            time_sum: Duration::from_micros(read(&self.time_sum)),
        }
    }

    pub(crate) fn connected(&self, dialect: Dialect) {
        of(&self.streams, dialect).fetch_add(1, Relaxed);
        of(&self.opened, dialect).fetch_add(1, Relaxed);
    }

    pub(crate) fn disconnected(&self, dialect: Dialect) {
        of(&self.streams, dialect).fetch_sub(1, Relaxed);
    }

    pub(crate) fn refused_stream(&self) {
        self.refused_streams.fetch_add(1, Relaxed);
    }

    pub(crate) fn requested(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn answered(&self, kind: Kind, resources: usize, removals: usize, bytes: usize) {
        add(&self.answers, kind, 1);
        add(&self.resources, kind, resources);
        add(&self.removals, kind, removals);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn refused(&self, kind: Kind) {
        add(&self.refusals, kind, 1);
    }

    pub(crate) fn taken(&self, after: Duration) {
        let bucket = TIMES.iter().position(|most| after.as_secs_f64() <= *most).unwrap_or(TIMES.len());
        if let Some(counter) = self.times.get(bucket) {
            counter.fetch_add(1, Relaxed);
        }
        self.time_sum.fetch_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

fn of(counters: &[AtomicU64; 2], dialect: Dialect) -> &AtomicU64 {
    let [sotw, delta] = counters;
    match dialect {
        Dialect::Sotw => sotw,
        Dialect::Delta => delta,
    }
}

fn add(counters: &[AtomicU64], kind: Kind, by: usize) {
    if let Some(counter) = counters.get(kind.index()) {
        counter.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_up_to_each_bound() {
        let counters = Counters::default();
        [3, 5, 7, 60_000].into_iter().for_each(|millis| counters.taken(Duration::from_millis(millis)));
        let figures = counters.read();
        assert_eq!((figures.times[0], figures.times[1], figures.times[11], figures.times[12]), (2, 3, 3, 4));
        assert_eq!(figures.time_sum, Duration::from_millis(60_015));
    }

    #[test]
    fn answers_are_counted_by_type() {
        let counters = Counters::default();
        counters.answered(Kind::Route, 3, 1, 100);
        counters.refused(Kind::Route);
        let route = counters.read().types[Kind::Route.index()];
        assert_eq!(route, TypeFigures { answers: 1, resources: 3, removals: 1, refusals: 1 });
        assert_eq!(counters.read().bytes, 100);
    }
}
