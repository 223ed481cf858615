//! What came back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::Cart;
use crate::load::latency::Latencies;

/// Different failures that are kept by their text; what there is more of is counted together.
const MOST_TEXTS: usize = 20;
/// Characters of a failure's text.
const LONGEST_TEXT: usize = 300;

/// Counts from the start.
#[derive(Debug, Default)]
pub(super) struct Tally {
    statuses: BTreeMap<u16, u64>,
    /// By the version of the prices.
    prices: BTreeMap<String, u64>,
    /// By who answered.
    answered: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
    latencies: Latencies,
}

/// A request without a good answer.
#[derive(Debug)]
pub(super) struct Failure {
    status: Option<u16>,
    text: String,
}

impl Failure {
    /// No answer, or not all of its head.
    pub(super) fn without(text: String) -> Self {
        Self { status: None, text }
    }

    /// An answer that is not good.
    pub(super) fn with(status: u16, text: String) -> Self {
        Self { status: Some(status), text }
    }
}

impl Tally {
    /// Counts a request.
    pub(super) fn add(&mut self, outcome: Result<Cart, Failure>, latency: Duration) {
        self.latencies.add(latency);
        match outcome {
            Ok(cart) => {
                count(&mut self.statuses, 200);
                count(&mut self.prices, cart.prices);
                cart.answered_by.into_iter().for_each(|name| count(&mut self.answered, name));
            }
            Err(Failure { status, text }) => {
                status.into_iter().for_each(|status| count(&mut self.statuses, status));
                let text = status.map_or(text.clone(), |status| format!("{status}: {}", text.trim()));
                let text: String = text.chars().take(LONGEST_TEXT).collect();
                let known = self.failures.len() < MOST_TEXTS || self.failures.contains_key(&text);
                count(&mut self.failures, if known { text } else { "others".to_owned() });
            }
        }
    }

    /// Requests that are over.
    pub(super) fn requests(&self) -> u64 {
        self.latencies.count()
    }

    /// Those without a good answer.
    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// In a line.
    pub(super) fn text(&self, elapsed: Duration) -> String {
        let mut line = format!("{:>5} s  {:>6} requests  {} failed", elapsed.as_secs(), self.requests(), self.failed());
        let all: u64 = self.prices.values().sum();
        for (version, count) in &self.prices {
            let _ok = write!(line, "  prices {version} {}%", percent(*count, all)).is_ok();
        }
        let [p50, p99] = [500, 990].map(|part| self.latencies.quantile(part));
        let _ok = write!(line, "  p50 {p50:?}  p99 {p99:?}").is_ok();
        for (text, count) in &self.failures {
            let _ok = write!(line, "\n         {count} x {text}").is_ok();
        }
        line
    }

    /// As an object.
    pub(super) fn json(&self, elapsed: Duration) -> Value {
        let micros = |part| u64::try_from(self.latencies.quantile(part).as_micros()).unwrap_or(u64::MAX);
        json!({
            "seconds": elapsed.as_secs_f64(),
            "requests": self.requests(),
            "failed": self.failed(),
            "statuses": self.statuses,
            "prices": self.prices,
            "answered": self.answered,
            "failures": self.failures,
            "latency_us": {"p50": micros(500), "p90": micros(900), "p99": micros(990), "max": micros(1000)},
        })
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn percent(part: u64, all: u64) -> u64 {
    (part * 100 + all / 2).checked_div(all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cart(prices: &str) -> Cart {
        let answered_by = vec!["gateway-1".to_owned(), format!("prices-{prices}")];
        Cart { answered_by, prices: prices.to_owned(), traceparent: String::new(), items: Vec::new(), total_cents: 0 }
    }

    #[test]
    fn good_answers_are_counted_by_version_and_others_by_their_text() {
        let mut tally = Tally::default();
        let ms = Duration::from_millis(1);
        for version in ["v1", "v1", "v2"] {
            tally.add(Ok(cart(version)), ms);
        }
        tally.add(Err(Failure::with(503, "no route\n".to_owned())), ms);
        tally.add(Err(Failure::without("connecting: refused".to_owned())), ms);
        let told = tally.json(Duration::from_secs(2));
        assert_eq!((&told["requests"], &told["failed"]), (&json!(5), &json!(2)));
        assert_eq!(told["statuses"], json!({"200": 3, "503": 1}));
        assert_eq!(told["prices"], json!({"v1": 2, "v2": 1}));
        assert_eq!(told["answered"], json!({"gateway-1": 3, "prices-v1": 2, "prices-v2": 1}));
        assert_eq!(told["failures"], json!({"503: no route": 1, "connecting: refused": 1}));
        assert!(tally.text(Duration::from_secs(2)).starts_with("    2 s       5 requests  2 failed  prices v1 67%  prices v2 33%"));
    }

    #[test]
    fn failures_of_ever_new_texts_are_all_counted_and_not_all_kept() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.add(Err(Failure::without(format!("number {number}"))), Duration::ZERO);
        }
        assert_eq!((tally.failed(), tally.failures.len()), (100, MOST_TEXTS + 1));
    }
}
