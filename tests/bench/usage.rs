//! What a process has used, from `/proc`.

use std::fs;
use std::time::Duration;

/// CPU time of all threads, user and system, to the nanosecond.
pub fn cpu(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let times = tasks.map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(times.sum())
}

/// Memory in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All that is mapped and present.
    pub resident: f64,
    /// Its part that no other process can share: all but files.
    pub private: f64,
}

/// Memory of a process now.
pub fn memory(process: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let kibibytes = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_start_matches(':').trim_end_matches("kB").trim().parse().ok()).unwrap_or(f64::NAN)
    };
    Memory { resident: kibibytes("Rss") / 1024.0, private: kibibytes("Anonymous") / 1024.0 }
}
