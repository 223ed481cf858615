use super::command::{self, Parameters};
use super::{Format, FormatError, FormatItem};

/// How much of a wrong command an error shows.
const EXCERPT: usize = 60;

/// Reads a format: text, `%%`, and `%NAME%`, `%NAME(parameters)%`, `%NAME(parameters):length%`.
pub(super) fn format(text: &str) -> Result<Format, FormatError> {
    let mut items = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, from)) = split_at_percent(rest) {
        literal.push_str(before);
        if let Some(after) = from.strip_prefix("%%") {
            literal.push('%');
            rest = after;
            continue;
        }
        let position = text.len().saturating_sub(from.len());
        let scanned = scan(from).ok_or_else(|| refusal(position, from, "is not %COMMAND%, %COMMAND(parameters)% or %%"))?;
        let written = from.get(..from.len().saturating_sub(scanned.rest.len())).unwrap_or(from);
        let parsed = command::command(&scanned.parameters).map_err(|rule| FormatError { rule, ..refusal(position, written, "") })?;
        if !literal.is_empty() {
            items.push(FormatItem::Literal(std::mem::take(&mut literal)));
        }
        items.push(FormatItem::Command(parsed, scanned.parameters.length));
        rest = scanned.rest;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        items.push(FormatItem::Literal(literal));
    }
    Ok(Format { items })
}

/// The text before the first percent sign, and what begins with it.
fn split_at_percent(text: &str) -> Option<(&str, &str)> {
    text.find('%').and_then(|at| text.split_at_checked(at))
}

fn refusal(position: usize, text: &str, rule: &'static str) -> FormatError {
    let mut shown: String = text.chars().take(EXCERPT).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    FormatError { position, text: shown, rule: rule.into() }
}

/// A command taken apart, and the text after it.
struct Scanned<'a> {
    parameters: Parameters<'a>,
    rest: &'a str,
}

/// `text` begins with `%`. Parameters end at the first `)` that the command can end after, as in Envoy; they hold no line end.
fn scan(text: &str) -> Option<Scanned<'_>> {
    let body = text.strip_prefix('%')?;
    let end = body.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).filter(|end| *end > 0)?;
    let (name, after) = body.split_at_checked(end)?;
    let Some(inside) = after.strip_prefix('(') else {
        let (length, rest) = scan_end(after)?;
        return Some(Scanned { parameters: Parameters { name, text: "", length }, rest });
    };
    let line = inside.split('\n').next().unwrap_or(inside);
    line.match_indices(')').find_map(|(at, _)| {
        let (length, rest) = scan_end(inside.get(at.checked_add(1)?..)?)?;
        Some(Scanned { parameters: Parameters { name, text: inside.get(..at)?, length }, rest })
    })
}

/// `%`, or `:length%`.
fn scan_end(text: &str) -> Option<(Option<usize>, &str)> {
    let Some(after) = text.strip_prefix(':') else { return text.strip_prefix('%').map(|rest| (None, rest)) };
    let (digits, rest) = after.split_once('%')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Some(digits.parse().ok()?), rest))
}
