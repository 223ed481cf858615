//! What is measured, and what is to be reached.

use crate::subject::{Kind, Setting, Subject};
use crate::{download, load, paced};
use std::time::{Duration, Instant};

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Saturated,
    Upgraded,
    Paced,
    Http2,
    Tcp,
    NewConnection,
    Handshake,
    Resident,
    Private,
    Start,
    Idle,
}

/// The most that passes.
pub enum Target {
    /// Times what Envoy takes in the same run.
    OfEnvoy(f64),
    /// In the measure's unit.
    Most(f64),
}

impl Measure {
    pub const ALL: [Self; 11] = [
        Self::Saturated,
        Self::Upgraded,
        Self::Paced,
        Self::Http2,
        Self::Tcp,
        Self::NewConnection,
        Self::Handshake,
        Self::Resident,
        Self::Private,
        Self::Start,
        Self::Idle,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Saturated => "HTTP/1.1 saturated, 32 connections (us/request)",
            Self::Upgraded => "the same, HTTP/2 between the two (us/request)",
            Self::Paced => "HTTP/1.1 at 2000 requests/s (us/request)",
            Self::Http2 => "HTTP/2, 4 connections x 25 streams (us/request)",
            Self::Tcp => "TCP proxy (CPU s/GiB)",
            Self::NewConnection => "new connection per request (us/request)",
            Self::Handshake => "TCP, a handshake per connection (us/connection)",
            Self::Resident => "idle RSS (MiB)",
            Self::Private => "idle anonymous memory (MiB)",
            Self::Start => "start to ready (ms)",
            Self::Idle => "idle CPU (us/s)",
        }
    }

    pub fn target(self, setting: Setting) -> Target {
        match (setting, self) {
            (Setting::Plain, Self::Saturated | Self::Upgraded) => Target::OfEnvoy(0.36),
            (Setting::Plain, Self::Paced) => Target::OfEnvoy(0.42),
            (Setting::Plain, Self::Http2) => Target::OfEnvoy(0.52),
            (Setting::Plain, Self::Tcp | Self::NewConnection | Self::Handshake) | (Setting::Mutual, Self::Http2) => Target::OfEnvoy(0.5),
            (Setting::Plain, Self::Resident) => Target::Most(12.0),
            (_, Self::Private) => Target::Most(6.0),
            (_, Self::Start) => Target::Most(20.0),
            (_, Self::Idle) => Target::Most(50.0),
            (Setting::Mutual, Self::Saturated | Self::Upgraded) => Target::OfEnvoy(0.45),
            (Setting::Mutual, Self::Paced) => Target::OfEnvoy(0.4),
            (Setting::Mutual, Self::Tcp | Self::NewConnection | Self::Handshake) => Target::OfEnvoy(0.8),
            (Setting::Mutual, Self::Resident) => Target::Most(14.0),
        }
    }

    /// CPU per request, or per GiB, of a proxy, or of the two of a pair, under this load.
    pub fn load(self, subject: &Subject, time: Duration) -> Result<f64, String> {
        let before = subject.cpu();
        let count = match self {
            Self::Saturated => load::saturated(subject.http, time)?,
            Self::Paced => paced::run(subject.http, time)?,
            Self::Http2 => load::streams(subject.http2, time)?,
            Self::Upgraded => load::saturated(subject.upgraded, time)?,
            Self::NewConnection => load::connection_each(subject.http, time)?,
            Self::Handshake => load::connection_each(subject.tcp, time)?,
            Self::Tcp if subject.kind.passes_tcp() => {
                download::run(subject.tcp)?;
                let gibibytes = download::TOTAL_BYTES / (1024 * 1024 * 1024);
                return Ok((subject.cpu() - before).as_secs_f64() / precise(gibibytes));
            }
            Self::Tcp | Self::Resident | Self::Private | Self::Start | Self::Idle => return Ok(f64::NAN),
        };
        Ok((subject.cpu() - before).as_secs_f64() * 1e6 / precise(count))
    }
}

/// The proxies that were just started, left alone: memory and CPU.
pub fn idle(subjects: &[Subject], setting: Setting, time: Duration) -> Vec<(Kind, Measure, f64)> {
    let began = Instant::now();
    let before: Vec<_> = subjects.iter().map(|subject| subject.cpu()).collect();
    std::thread::sleep(time);
    let seconds = began.elapsed().as_secs_f64();
    let mut seen = Vec::new();
    for (subject, before) in subjects.iter().zip(before) {
        let used = subject.cpu() - before;
        let memory = subject.memory();
        seen.push((subject.kind, Measure::Resident, memory.resident));
        if setting == Setting::Mutual {
            continue;
        }
        seen.push((subject.kind, Measure::Idle, used.as_secs_f64() * 1e6 / seconds));
        seen.push((subject.kind, Measure::Private, memory.private));
        seen.push((subject.kind, Measure::Start, subject.ready_after.as_secs_f64() * 1e3));
    }
    seen
}

fn precise(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
