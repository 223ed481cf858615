//! The proxy's own log: to standard error, its level changed while running.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as lines, reload};

/// Longest filter that is read.
const MAX_FILTER: usize = 1024;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStyle {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl FromStr for LogStyle {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LogError(format!("log format must be text or json, got {text:?}"))),
        }
    }
}

/// Why the log cannot be set up so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError(String);

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LogError {}

/// Changes what is logged.
#[derive(Clone)]
pub struct LogControl {
    filter: Arc<Mutex<String>>,
    apply: Arc<dyn Fn(EnvFilter) -> Result<(), LogError> + Send + Sync>,
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogControl").field(&self.filter()).finish()
    }
}

impl LogControl {
    /// Takes a level (`debug`, or as Envoy names them: `warning`, `critical`) or directives (`info,ninon_proxy::xds=debug`).
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        let (filter, parsed) = parse(filter)?;
        (self.apply)(parsed)?;
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = filter;
        Ok(())
    }

    /// What is logged now.
    pub fn filter(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what is set and changes nothing: where no log was set up.
    pub fn detached(filter: &str) -> Self {
        Self { filter: Arc::new(Mutex::new(filter.to_owned())), apply: Arc::new(|_| Ok(())) }
    }
}

/// Sets up the process's log. To be called once.
pub fn init(style: LogStyle, filter: &str) -> Result<LogControl, LogError> {
    let (filter, parsed) = parse(filter)?;
    let (parsed, handle) = reload::Layer::new(parsed);
    let lines = lines::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<_> + Send + Sync> = match style {
        LogStyle::Text => lines.with_ansi(false).boxed(),
        LogStyle::Json => lines.json().flatten_event(true).boxed(),
    };
    Registry::default().with(lines.with_filter(parsed)).try_init().map_err(|error| LogError(error.to_string()))?;
    let apply = move |filter| handle.reload(filter).map_err(|error| LogError(error.to_string()));
    Ok(LogControl { filter: Arc::new(Mutex::new(filter)), apply: Arc::new(apply) })
}

fn parse(filter: &str) -> Result<(String, EnvFilter), LogError> {
    if filter.len() > MAX_FILTER {
        return Err(LogError(format!("a log filter has at most {MAX_FILTER} bytes")));
    }
    let directives: Vec<String> = filter.split(',').map(|directive| directive_of(directive.trim())).collect::<Result<_, _>>()?;
    let filter = directives.join(",");
    let parsed = EnvFilter::builder().with_regex(false).parse(&filter).map_err(|error| LogError(error.to_string()))?;
    Ok((filter, parsed))
}

/// One directive with its level as we name it. A word that is no level would be taken for a module, so it is refused here.
fn directive_of(directive: &str) -> Result<String, LogError> {
    let (target, level) = directive.rsplit_once('=').map_or((None, directive), |(target, level)| (Some(target), level));
    let level = match level.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" => "info",
        "warn" | "warning" => "warn",
        "error" | "critical" => "error",
        "off" => "off",
        _ => return Err(LogError(format!("log level must be trace, debug, info, warn, error or off, got {level:?}"))),
    };
    Ok(target.map_or_else(|| level.to_owned(), |target| format!("{target}={level}")))
}

/// Lets a repeated warning through once in a while.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    begun: Instant,
    /// Milliseconds since `begun` before which nothing is said.
    next: AtomicU64,
    unsaid: AtomicU64,
}

impl Throttle {
    /// At most one in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, begun: Instant::now(), next: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Whether it may be said now, and how often it was not said since the last time.
    pub fn allow(&self) -> Option<u64> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let now = millis(self.begun.elapsed());
        let next = self.next.load(Ordering::Relaxed);
        let following = now.saturating_add(millis(self.every));
        // Of several threads that come at once, one speaks.
        let mine = now >= next && self.next.compare_exchange(next, following, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_known_by_both_names() {
        let control = LogControl::detached("info");
        for (given, kept) in [("debug", "debug"), ("WARNING", "warn"), ("critical", "error"), ("info, xds=warning", "info,xds=warn")] {
            control.set(given).unwrap();
            assert_eq!(control.filter(), kept);
        }
    }

    #[test]
    fn what_is_not_a_level_is_refused_and_changes_nothing() {
        let control = LogControl::detached("info");
        let error = control.set("verbose").unwrap_err();
        assert_eq!(error.to_string(), "log level must be trace, debug, info, warn, error or off, got \"verbose\"");
        assert!(control.set("").is_err());
        assert!(control.set(&"a=debug,".repeat(1000)).is_err());
        assert_eq!(control.filter(), "info");
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_warning_is_said_once_in_a_while() {
        let throttle = Throttle::new(Duration::from_secs(10));
        assert_eq!(throttle.allow(), Some(0));
        assert_eq!(throttle.allow(), None);
        assert_eq!(throttle.allow(), None);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(throttle.allow(), Some(2));
    }
}
