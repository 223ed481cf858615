//! What is asked of tokens, as `jwt_authn` keeps what they say.

use std::sync::Arc;

use xds_proto::envoy::config::rbac::v3::principal::Identifier;
use xds_proto::envoy::config::rbac::v3::{MetadataSource, Principal, SourcedMetadata};
use xds_proto::envoy::r#type::matcher::v3::metadata_matcher::{PathSegment, path_segment};
use xds_proto::envoy::r#type::matcher::v3::value_matcher::MatchPattern;
use xds_proto::envoy::r#type::matcher::v3::{
    DoubleMatcher, ListMatcher, MetadataMatcher, OrMatcher, StringMatcher, ValueMatcher, double_matcher, list_matcher,
};
use xds_proto::envoy::r#type::v3::DoubleRange;

use crate::model::authorization::Pattern;
use crate::translate::authorization::demand::{Clause as _, all, string};
use crate::translate::token::{KEPT_BY, PAYLOAD};
use crate::translate::wire;

/// Whole numbers up to here are what they are written as.
const EXACT: i64 = 1 << 53;

/// There is a good token.
pub(super) fn present() -> Principal {
    text("iss", &Pattern::Present)
}

/// Its issuer and subject, with a slash between them. Both may have slashes of their own: each may be the one.
pub(super) fn principal(pattern: &Pattern) -> Principal {
    let some = |text: &str, pattern: fn(&str) -> Pattern| if text.is_empty() { Pattern::Present } else { pattern(text) };
    let exact = |text: &str| Pattern::Exact(text.into());
    let both = |issuer: &Pattern, subject: &Pattern| all(vec![text("iss", issuer), text("sub", subject)]);
    let splits = |text: &str| -> Vec<(String, String)> {
        let slashes = text.match_indices('/');
        slashes.filter_map(|(at, _)| text.split_at_checked(at)).map(|(issuer, rest)| (issuer.into(), rest.replacen('/', "", 1))).collect()
    };
    let mut ways = match pattern {
        Pattern::Present => vec![both(&Pattern::Present, &Pattern::Present)],
        Pattern::Exact(name) => {
            let whole = splits(name).into_iter().filter(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty());
            whole.map(|(issuer, subject)| both(&exact(&issuer), &exact(&subject))).collect()
        }
        Pattern::Prefix(begin) => {
            let within = both(pattern, &Pattern::Present);
            let beyond = splits(begin).into_iter().filter(|(issuer, _)| !issuer.is_empty());
            let beyond = beyond.map(|(issuer, subject)| both(&exact(&issuer), &some(&subject, |text| Pattern::Prefix(text.into()))));
            std::iter::once(within).chain(beyond).collect()
        }
        Pattern::Suffix(end) => {
            let within = both(&Pattern::Present, pattern);
            let beyond = splits(end).into_iter().filter(|(_, subject)| !subject.is_empty());
            let beyond = beyond.map(|(issuer, subject)| both(&some(&issuer, |text| Pattern::Suffix(text.into())), &exact(&subject)));
            std::iter::once(within).chain(beyond).collect()
        }
    };
    match ways.pop() {
        Some(only) if ways.is_empty() => only,
        Some(last) => {
            ways.push(last);
            Principal::one_of(ways)
        }
        // Nobody's.
        None => Principal::any().not(),
    }
}

/// A claim that is a text, or a list in which one is; `true` and whole numbers are what they are written as.
pub(super) fn claim(path: &[Arc<str>], pattern: &Pattern) -> Principal {
    let matcher = words(pattern);
    let mut ways = vec![as_text(matcher.clone()), value(MatchPattern::ListMatch(Box::new(one_of(as_text(matcher)))))];
    let number = |pattern| value(MatchPattern::DoubleMatch(DoubleMatcher { match_pattern: Some(pattern) }));
    let flag = |is: bool| value(MatchPattern::BoolMatch(is));
    match pattern {
        Pattern::Present => {
            let any = DoubleRange { start: f64::MIN, end: f64::MAX };
            ways.extend([flag(true), flag(false), number(double_matcher::MatchPattern::Range(any))]);
        }
        Pattern::Exact(text) => {
            ways.extend(text.parse().ok().map(flag));
            let whole = text.parse().ok().filter(|number: &i64| number.abs() < EXACT && number.to_string() == **text);
            let whole = whole.and_then(|_| text.parse().ok());
            ways.extend(whole.map(|exact| number(double_matcher::MatchPattern::Exact(exact))));
        }
        Pattern::Prefix(_) | Pattern::Suffix(_) => {}
    }
    let path: Vec<&str> = path.iter().map(|name| &**name).collect();
    found(&path, value(MatchPattern::OrMatch(OrMatcher { value_matchers: ways })))
}

/// Unlike a header, a claim may have more than one line.
fn words(pattern: &Pattern) -> StringMatcher {
    if *pattern == Pattern::Present { wire::fits("(?s).+") } else { string(pattern) }
}

fn one_of(entry: ValueMatcher) -> ListMatcher {
    ListMatcher { match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(entry))) }
}

fn text(claim: &str, pattern: &Pattern) -> Principal {
    found(&[claim], as_text(words(pattern)))
}

const fn as_text(matcher: StringMatcher) -> ValueMatcher {
    value(MatchPattern::StringMatch(matcher))
}

const fn value(pattern: MatchPattern) -> ValueMatcher {
    ValueMatcher { match_pattern: Some(pattern) }
}

fn found(claim: &[&str], value: ValueMatcher) -> Principal {
    let segment = |name: &str| PathSegment { segment: Some(path_segment::Segment::Key(name.to_owned())) };
    let path = std::iter::once(PAYLOAD).chain(claim.iter().copied()).map(segment).collect();
    let matcher = MetadataMatcher { filter: KEPT_BY.to_owned(), path, value: Some(value), ..MetadataMatcher::default() };
    let sourced = SourcedMetadata { metadata_matcher: Some(matcher), metadata_source: i32::from(MetadataSource::Dynamic) };
    Principal { identifier: Some(Identifier::SourcedMetadata(sourced)) }
}
