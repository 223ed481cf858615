//! `ninon diff`: what `apply` would change.

use clap::Args;
use serde_json::Value;

use crate::api::apply::{Applied, Change, ProxyChange};
use crate::cli::client::{Answer, Client};
use crate::cli::files::Files;
use crate::cli::kinds::path;
use crate::cli::{Ending, Server, Stop, Terminal};
use crate::model::name::Key;
use crate::source::print::yaml;
use crate::store::object::content;

/// What `diff` is told.
#[derive(Args, Debug)]
pub struct Diff {
    #[command(flatten)]
    files: Files,
    /// Namespace of objects that name none [default: default]
    #[arg(short, long, env = "NINON_NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl Diff {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let objects = self.files.placed(self.namespace.as_deref(), terminal)?;
        let client = Client::new(&self.server)?;
        let mut ending = Ending::Done;
        let mut items = Vec::new();
        for (written, key, wanted) in objects {
            let live = client.find(&path(&key))?;
            items.push(wanted.clone());
            let shown = shown(&key, live, Some(wanted), &written.file);
            if !shown.is_empty() {
                ending = Ending::Failed;
                write!(terminal.out, "{shown}")?;
            }
        }
        if ending == Ending::Failed {
            match client.post("/api/v1/apply?dryRun=true", &Value::Array(items)).and_then(Answer::read::<Applied>) {
                Ok(applied) => write!(terminal.out, "{}", told(applied.proxies.as_deref().unwrap_or_default()))?,
                Err(Stop::Refused(reason)) => writeln!(terminal.err, "what proxies would be told is not known: {reason}")?,
                Err(other) => return Err(other),
            }
        }
        Ok(ending)
    }
}

/// What is different in an object, as a unified diff; nothing if nothing is.
pub(super) fn shown(key: &Key, live: Option<Value>, wanted: Option<Value>, from: &str) -> String {
    let [before, after] = [live, wanted].map(|value| value.map(text).unwrap_or_default());
    if before == after { String::new() } else { format!("--- {key} (live)\n+++ {key} ({from})\n{}", unified(&before, &after)) }
}

/// Proxies that are shown; more are counted.
const MOST_PROXIES: usize = 50;

/// What proxies would be told, a line each.
pub(super) fn told(proxies: &[ProxyChange]) -> String {
    let mut text = String::new();
    for proxy in proxies.iter().take(MOST_PROXIES) {
        let changes = proxy.changes.iter().map(|of| {
            let mark = match of.change {
                Change::Added => '+',
                Change::Changed => '~',
                Change::Removed => '-',
            };
            format!("{mark}{}/{}", of.kind, of.name)
        });
        text.push_str(&format!("proxy {}/{}: {}\n", proxy.namespace, proxy.id, changes.collect::<Vec<_>>().join(" ")));
    }
    if let Some(more @ 1..) = proxies.len().checked_sub(MOST_PROXIES) {
        text.push_str(&format!("and {more} more proxies\n"));
    }
    text
}

/// What an operator says of an object, in lines.
fn text(value: Value) -> String {
    yaml(&content(value))
}

/// Lines that are the same around a difference.
const CONTEXT: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// A unified diff of lines, without its two first lines.
fn unified(before: &str, after: &str) -> String {
    let lines = compared(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
    let differs = |at: &usize| !matches!(lines.get(*at), Some(Line::Same(_)) | None);
    let is_near = |at: usize| (at.saturating_sub(CONTEXT)..=at + CONTEXT).any(|near| differs(&near));
    let mut text = String::new();
    let (mut old, mut new) = (1, 1);
    let mut at = 0;
    while at < lines.len() {
        let hunk: Vec<Line<'_>> = lines.iter().enumerate().skip(at).take_while(|(at, _)| is_near(*at)).map(|(_, line)| *line).collect();
        let olds = hunk.iter().filter(|line| !matches!(line, Line::New(_))).count();
        let news = hunk.iter().filter(|line| !matches!(line, Line::Gone(_))).count();
        if hunk.is_empty() {
            (at, old, new) = (at + 1, old + 1, new + 1);
            continue;
        }
        text.push_str(&format!("@@ -{},{olds} +{},{news} @@\n", start(old, olds), start(new, news)));
        for line in &hunk {
            let (mark, line) = match line {
                Line::Same(line) => (' ', line),
                Line::Gone(line) => ('-', line),
                Line::New(line) => ('+', line),
            };
            text.push_str(&format!("{mark}{line}\n"));
        }
        (at, old, new) = (at + hunk.len(), old + olds, new + news);
    }
    text
}

/// Of no lines, the line before is named.
const fn start(line: usize, count: usize) -> usize {
    if count == 0 { line.saturating_sub(1) } else { line }
}

/// The shortest way from one text to another, by the longest common subsequence between what is the same at both ends.
fn compared<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Line<'a>> {
    let head = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let (before_rest, after_rest) = (before.get(head..).unwrap_or_default(), after.get(head..).unwrap_or_default());
    let tail = before_rest.iter().rev().zip(after_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let old = before_rest.get(..before_rest.len() - tail).unwrap_or_default();
    let new = after_rest.get(..after_rest.len() - tail).unwrap_or_default();
    let same = |lines: &[&'a str]| lines.iter().map(|line| Line::Same(line)).collect::<Vec<_>>();
    let mut lines = same(before.get(..head).unwrap_or_default());
    lines.extend(between(old, new));
    lines.extend(same(before_rest.get(before_rest.len() - tail..).unwrap_or_default()));
    lines
}

/// Comparing more than this many pairs of lines takes too much: the whole middle is shown as replaced.
const MOST_PAIRS: usize = 25_000_000;

fn between<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let all = || old.iter().map(|line| Line::Gone(line)).chain(new.iter().map(|line| Line::New(line))).collect();
    if old.is_empty() || new.is_empty() || old.len().saturating_mul(new.len()) > MOST_PAIRS {
        return all();
    }
    // Row by row from the end: how long the common subsequence of the rests is.
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let at = |row: usize, column: usize| row * width + column;
    for (row, one) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            let of = |place: usize| lengths.get(place).copied().unwrap_or_default();
            let longest = if one == other { of(at(row + 1, column + 1)) + 1 } else { of(at(row + 1, column)).max(of(at(row, column + 1))) };
            if let Some(length) = lengths.get_mut(at(row, column)) {
                *length = longest;
            }
        }
    }
    let of = |row: usize, column: usize| lengths.get(at(row, column)).copied().unwrap_or_default();
    let (mut row, mut column) = (0, 0);
    let mut lines = Vec::new();
    loop {
        match (old.get(row), new.get(column)) {
            (None, None) => return lines,
            (Some(one), Some(other)) if one == other => {
                lines.push(Line::Same(one));
                (row, column) = (row + 1, column + 1);
            }
            (Some(one), other) if other.is_none() || of(row + 1, column) >= of(row, column + 1) => {
                lines.push(Line::Gone(one));
                row += 1;
            }
            (_, Some(other)) => {
                lines.push(Line::New(other));
                column += 1;
            }
            (Some(_), None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_three_lines_around() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n";
        let after = "1\n2\n3\n4\n5 changed\n6\n7\n8\n9\n10\n11\n12\n13\n14\n16\n17\n";
        let expected = "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+5 changed\n 6\n 7\n 8\n@@ -12,5 +12,5 @@\n 12\n 13\n 14\n-15\n 16\n+17\n";
        assert_eq!(unified(before, after), expected);
    }

    #[test]
    fn what_is_new_or_gone_is_all_of_it() {
        assert_eq!(unified("", "a\nb\n"), "@@ -0,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
        assert_eq!(unified("a\nb\nc\n", "a\nc\n"), "@@ -1,3 +1,2 @@\n a\n-b\n c\n");
        assert_eq!(unified("a\n", "a\n"), "");
    }
}
