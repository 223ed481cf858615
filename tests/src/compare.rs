//! What counts as equal, and the reasons. Everything that is left out of the comparison is listed here.

use crate::case::Compare;
use std::fmt::Write;

/// How a header that cannot be equal in two runs is compared.
enum Rule {
    /// Not at all.
    Absent,
    /// That it is there.
    Present,
    /// That it is there and is a UUID.
    Uuid,
    /// The number rounded up to a thousand when it is above one: of a whole time limit some milliseconds may be spent.
    Limit,
}

/// Header, rule, reason.
const HEADERS: &[(&str, Rule, &str)] = &[
    ("date", Rule::Present, "the time of the run"),
    ("x-request-id", Rule::Uuid, "random by design; what is not a UUID is compared as it is"),
    ("x-envoy-upstream-service-time", Rule::Present, "milliseconds measured"),
    ("x-envoy-expected-rq-timeout-ms", Rule::Limit, "what is left of the limit; a second try has less by the random back-off"),
    ("proxy-status", Rule::Absent, "RFC 9209; Ninon adds it to the answers it makes itself, Envoy only when asked"),
];

/// What is compared in one case.
#[derive(Debug)]
pub struct Rules {
    /// Bodies.
    pub body: bool,
    /// Content length, chunked or until close.
    pub framing: bool,
    /// Whether connections were left open.
    pub end: bool,
    without_headers: Vec<String>,
}

impl From<&Compare> for Rules {
    fn from(compare: &Compare) -> Self {
        Self {
            body: !compare.without_body,
            framing: !compare.without_framing,
            end: !compare.without_end,
            without_headers: compare.without_headers.clone(),
        }
    }
}

/// Name and value as compared. Names are compared in lower case: Envoy writes HTTP/1 names so, Ninon keeps their case by design.
pub fn shown_header(line: &str, rules: &Rules) -> Option<(String, String)> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let (name, value) = (name.to_ascii_lowercase(), value.trim());
    if rules.without_headers.contains(&name) {
        return None;
    }
    let rule = HEADERS.iter().find(|(known, ..)| *known == name).map(|(_, rule, _)| rule);
    let shown = match rule {
        Some(Rule::Absent) => return None,
        Some(Rule::Present) => "<present>".to_owned(),
        Some(Rule::Uuid) if is_uuid(value) => "<uuid>".to_owned(),
        Some(Rule::Limit) => rounded_up(value),
        Some(Rule::Uuid) | None => value.to_owned(),
    };
    Some((name, shown))
}

fn rounded_up(value: &str) -> String {
    match value.parse::<u64>() {
        Ok(limit) if limit > 1000 => (limit.div_ceil(1000) * 1000).to_string(),
        _ => value.to_owned(),
    }
}

fn is_uuid(value: &str) -> bool {
    let groups: Vec<_> = value.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.chars().all(|c| c.is_ascii_hexdigit()))
        // Random ones only: a case sends all zeros or all ones to see it kept.
        && value.bytes().filter(|byte| *byte == b'1' || *byte == b'-').count() < 30
}

/// The lines of both with `-` before Envoy's and `+` before Ninon's; `None` when they are equal.
pub fn difference(envoy: &str, ninon: &str) -> Option<String> {
    if envoy == ninon {
        return None;
    }
    let (left, right): (Vec<_>, Vec<_>) = (envoy.lines().collect(), ninon.lines().collect());
    let lengths = common_lengths(&left, &right);
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < left.len() || j < right.len() {
        let (sign, line) = if i < left.len() && j < right.len() && left[i] == right[j] {
            (i, j) = (i + 1, j + 1);
            (' ', left[i - 1])
        } else if j == right.len() || (i < left.len() && lengths[i + 1][j] >= lengths[i][j + 1]) {
            i += 1;
            ('-', left[i - 1])
        } else {
            j += 1;
            ('+', right[j - 1])
        };
        let _ = writeln!(out, "{sign} {line}");
    }
    Some(out)
}

/// `[i][j]`: how many lines the tails from `i` and `j` have in common.
fn common_lengths(left: &[&str], right: &[&str]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            lengths[i][j] = if left[i] == right[j] { lengths[i + 1][j + 1] + 1 } else { lengths[i + 1][j].max(lengths[i][j + 1]) };
        }
    }
    lengths
}
