//! A steady load on the gateway, which counts what comes back.
//!
//! Requests are due at fixed times, whether or not those before have been answered (an open loop): latency is from when a request was
//! due, so that a stall counts for every request that it held up.

mod latency;
mod tally;
mod user;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::serve::asked_to_end;
use tally::Tally;
use user::User;

/// What the load is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// The gateway
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8010")]
    gateway: SocketAddr,
    /// Connections, one request at a time on each
    #[arg(long, value_name = "N", default_value = "16")]
    connections: NonZeroU16,
    /// Requests a second, over all connections
    #[arg(long, value_name = "N", default_value = "100")]
    rate: NonZeroU16,
    /// How long [default: until SIGTERM or Ctrl-C]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u32>,
    /// Milliseconds between lines
    #[arg(long, value_name = "MS", default_value = "1000")]
    every: NonZeroU16,
    /// How lines are written; as JSON, the last line is the summary
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

impl Load {
    /// Loads the gateway until the time is over.
    pub(crate) async fn run(self) -> io::Result<ExitCode> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (stop, stopped) = watch::channel(false);
        let start = Instant::now();
        let mut users = JoinSet::new();
        for first in 0..self.connections.get() {
            let times = Times { start, next: u64::from(first), step: u64::from(self.connections.get()), rate: u64::from(self.rate.get()) };
            users.spawn(User::new(self.gateway).run(times, Arc::clone(&tally), stopped.clone()));
        }
        let every = Duration::from_millis(self.every.get().into());
        let mut lines = interval_at(start + every, every);
        lines.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut ended = std::pin::pin!(self.ended());
        loop {
            tokio::select! {
                () = &mut ended => break,
                _ = lines.tick() => self.tell(&tally, start)?,
            }
        }
        // Each user waits for the answer that it is owed.
        stop.send_replace(true);
        while users.join_next().await.is_some() {}
        self.tell(&tally, start)?;
        let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(if tally.failed() == 0 && tally.requests() > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn ended(&self) {
        let Some(seconds) = self.seconds else { return asked_to_end().await };
        tokio::select! {
            () = asked_to_end() => {}
            () = tokio::time::sleep(Duration::from_secs(seconds.into())) => {}
        }
    }

    fn tell(&self, tally: &Mutex<Tally>, start: Instant) -> io::Result<()> {
        let line = {
            let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match self.output {
                Output::Text => tally.text(start.elapsed()),
                Output::Json => tally.json(start.elapsed()).to_string(),
            }
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}

/// When the requests of one user are due.
#[derive(Debug)]
struct Times {
    start: Instant,
    next: u64,
    step: u64,
    rate: u64,
}

impl Times {
    fn next(&mut self) -> Instant {
        let due = self.start + Duration::from_micros(self.next.saturating_mul(1_000_000) / self.rate);
        self.next = self.next.saturating_add(self.step);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_take_turns_at_the_rate() {
        let start = Instant::now();
        let mut second = Times { start, next: 1, step: 4, rate: 100 };
        let due = [second.next(), second.next(), second.next()].map(|due| due - start);
        assert_eq!(due.map(|due| due.as_millis()), [10, 50, 90]);
    }
}
