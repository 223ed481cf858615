//! Regular expressions: RE2's syntax, as Envoy takes it, compiled with the `regex` crate (linear time as well).

use bytes::Bytes;
use regex::bytes::{Regex, RegexBuilder};
use xds_proto::envoy::r#type::matcher::v3 as wire;

use crate::config::route::RegexRewrite;
use crate::xds::invalid::Parser;

/// Bytes of a compiled program: some thousand times what a usual pattern needs, small enough that a configuration full of
/// bad ones does not fill the memory.
const PROGRAM_LIMIT: usize = 1 << 20;

/// Bytes of the cache that a search may fill; a search that needs more goes on more slowly.
const CACHE_LIMIT: usize = 256 << 10;

/// An expression that must match the whole of a text.
pub fn full_match(matcher: &wire::RegexMatcher, parser: &mut Parser) -> Option<Regex> {
    let pattern = checked(matcher, parser)?;
    parser.at("regex", |parser| parser.accept(compile(&format!("^(?:{pattern})$")).map_err(one_line)))
}

/// An expression that is searched for in a text.
pub fn search(matcher: &wire::RegexMatcher, parser: &mut Parser) -> Option<Regex> {
    let pattern = checked(matcher, parser)?;
    parser.at("regex", |parser| parser.accept(compile(pattern).map_err(one_line)))
}

/// A `RegexMatchAndSubstitute`.
pub fn rewrite(wire: &wire::RegexMatchAndSubstitute, parser: &mut Parser) -> Option<RegexRewrite> {
    let pattern = parser.required("pattern", wire.pattern.as_ref())?;
    let pattern = parser.at("pattern", |parser| search(pattern, parser))?;
    let groups = pattern.captures_len().saturating_sub(1);
    let substitution = parser.at("substitution", |parser| parser.accept(substitution(&wire.substitution, groups)))?;
    Some(RegexRewrite { pattern, substitution })
}

fn checked<'a>(matcher: &'a wire::RegexMatcher, parser: &mut Parser) -> Option<&'a str> {
    if let Some(wire::regex_matcher::EngineType::GoogleRe2(engine)) = &matcher.engine_type {
        let limited = engine.max_program_size.is_some();
        parser.at("google_re2", |parser| {
            parser.ignored("max_program_size", limited, "programs have a fixed limit of 1 MiB");
        });
    }
    if matcher.regex.is_empty() {
        return parser.refuse_at("regex", "must not be empty");
    }
    // Alone first: `a)|(b` must not become valid by the parentheses that anchor it.
    parser.at("regex", |parser| parser.accept(compile(&matcher.regex).map_err(one_line)))?;
    Some(&matcher.regex)
}

/// RE2's classes (`\d`, `\w`, `\s`, `\b`) are ASCII, and so is its case folding of ASCII letters: that is the crate's mode without
/// Unicode, whose programs are also much smaller. Only a pattern that names characters outside ASCII needs the other one.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let names_unicode = !pattern.is_ascii() || ["\\p", "\\P", "\\x{"].iter().any(|escape| pattern.contains(escape));
    RegexBuilder::new(pattern).unicode(names_unicode).size_limit(PROGRAM_LIMIT).dfa_size_limit(CACHE_LIMIT).build()
}

/// The crate draws the pattern with a mark below it, over several lines; the last one says what is wrong.
fn one_line(error: regex::Error) -> String {
    if let regex::Error::CompiledTooBig(limit) = &error {
        return format!("compiles to more than {limit} bytes");
    }
    let text = error.to_string();
    let problem = text.lines().last().unwrap_or_default();
    problem.strip_prefix("error: ").unwrap_or(problem).to_owned()
}

/// RE2's `\1` becomes the crate's `${1}`, and its `$`, which means nothing to RE2, `$$`.
fn substitution(text: &str, groups: usize) -> Result<Bytes, String> {
    let mut converted = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '$' => converted.push_str("$$"),
            '\\' => match rest.next() {
                Some('\\') => converted.push('\\'),
                Some(digit) if digit.is_ascii_digit() => {
                    let group = digit.to_digit(10).and_then(|group| usize::try_from(group).ok());
                    if group.is_none_or(|group| group > groups) {
                        return Err(format!("\\{digit} names a group, the pattern has {groups}"));
                    }
                    converted.extend(["${", digit.encode_utf8(&mut [0; 4]), "}"]);
                }
                _ => return Err("a backslash must be followed by a digit or a backslash".to_owned()),
            },
            '\0' | '\r' | '\n' => return Err(format!("{character:?} cannot stand in a header")),
            other => converted.push(other),
        }
    }
    Ok(Bytes::from(converted))
}
