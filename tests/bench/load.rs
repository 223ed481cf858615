//! Clients that ask as fast as they are answered: `wrk` and `h2load`, as packaged.

use std::process::Command;
use std::time::Duration;

/// Connections of the HTTP/1.1 measures.
pub const CONNECTIONS: usize = 32;

/// Keep-alive HTTP/1.1; the number of answers.
pub fn saturated(port: u16, time: Duration) -> Result<u64, String> {
    wrk(port, time, &[])
}

/// A new connection for each request; the number of answers.
pub fn connection_each(port: u16, time: Duration) -> Result<u64, String> {
    wrk(port, time, &["-H", "connection: close"])
}

fn wrk(port: u16, time: Duration, more: &[&str]) -> Result<u64, String> {
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{}s", time.as_secs())]).args(more);
    let text = output(command.arg(format!("http://127.0.0.1:{port}/")))?;
    if text.contains("Non-2xx") {
        return Err(format!("wrk saw failures:\n{text}"));
    }
    let line = text.lines().find(|line| line.contains("requests in")).unwrap_or_default();
    number(line.split_whitespace().next(), &text)
}

/// HTTP/2 with prior knowledge, 4 connections with 25 streams each; the number of answers.
pub fn streams(port: u16, time: Duration) -> Result<u64, String> {
    let mut command = Command::new("h2load");
    command.args(["-t1", "-c4", "-m25", &format!("-D{}", time.as_secs())]);
    let text = output(command.arg(format!("http://127.0.0.1:{port}/")))?;
    // "status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx"
    let line = text.lines().find_map(|line| line.strip_prefix("status codes:")).unwrap_or_default();
    let words: Vec<_> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [good, "2xx", "0", "3xx", "0", "4xx", "0", "5xx"] => number(Some(good), &text),
        _ => Err(format!("h2load saw failures:\n{text}")),
    }
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{:?} failed:\n{text}", command.get_program())) }
}

fn number(word: Option<&str>, text: &str) -> Result<u64, String> {
    let number = word.and_then(|word| word.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| format!("no answers:\n{text}"))
}
