//! Matchers of a request's fields: headers, query parameters, cookies.

use xds_proto::envoy::config::route::v3 as wire;

use crate::config::matcher::{HeaderMatch, HeaderTest, MatchedName, StringMatch, StringPattern};
use crate::config::route::{CookieMatch, QueryMatch};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::{not_empty, regex, string};

/// Envoy's limit for the name of a query parameter or cookie.
const LONGEST_NAME: usize = 1024;

/// A `HeaderMatcher`.
pub fn header(matcher: &wire::HeaderMatcher, parser: &mut Parser) -> Option<HeaderMatch> {
    let name = parser.at("name", |parser| matched_name(&matcher.name, parser));
    let test = header_test(matcher, parser);
    Some(HeaderMatch {
        name: name?,
        test: test?,
        invert: matcher.invert_match,
        treat_missing_as_empty: matcher.treat_missing_header_as_empty,
    })
}

/// Each `HeaderMatcher` of a list.
pub fn headers(field: &'static str, matchers: &[wire::HeaderMatcher], parser: &mut Parser) -> Vec<HeaderMatch> {
    parser.each(field, matchers, header)
}

/// The name of a header or pseudo-header that a matcher looks at.
pub(in crate::xds) fn matched_name(name: &str, parser: &mut Parser) -> Option<MatchedName> {
    match name {
        ":method" => Some(MatchedName::Method),
        ":path" => Some(MatchedName::Path),
        ":scheme" => Some(MatchedName::Scheme),
        ":authority" => Some(MatchedName::Authority),
        // Envoy keeps `host` under the name `:authority`.
        host if host.eq_ignore_ascii_case("host") => Some(MatchedName::Authority),
        pseudo if pseudo.starts_with(':') => {
            parser.refuse(format_args!("{pseudo:?} cannot be looked at: only :method, :path, :scheme and :authority can"))
        }
        name => headers::name(name, parser).map(MatchedName::Field),
    }
}

fn header_test(matcher: &wire::HeaderMatcher, parser: &mut Parser) -> Option<HeaderTest> {
    use wire::header_matcher::HeaderMatchSpecifier as Specifier;

    let as_is = |pattern| Some(HeaderTest::String(StringMatch::new(pattern, false)));
    match &matcher.header_match_specifier {
        // Envoy: without a specifier, the header has to be there.
        None => Some(HeaderTest::Present(true)),
        Some(Specifier::PresentMatch(present)) => Some(HeaderTest::Present(*present)),
        Some(Specifier::RangeMatch(range)) => Some(HeaderTest::Range { start: range.start, end: range.end }),
        Some(Specifier::StringMatch(matcher)) => parser.at("string_match", |parser| string(matcher, parser)).map(HeaderTest::String),
        Some(Specifier::SafeRegexMatch(matcher)) => {
            let regex = parser.at("safe_regex_match", |parser| regex::full_match(matcher, parser))?;
            as_is(StringPattern::Regex(regex))
        }
        // Envoy 1.40: any value fits an empty exact_match, but the header has to be there.
        Some(Specifier::ExactMatch(exact)) if exact.is_empty() => Some(HeaderTest::Present(true)),
        Some(Specifier::ExactMatch(exact)) => as_is(StringPattern::Exact(exact.clone())),
        Some(Specifier::PrefixMatch(prefix)) => as_is(StringPattern::Prefix(not_empty("prefix_match", prefix, parser)?)),
        Some(Specifier::SuffixMatch(suffix)) => as_is(StringPattern::Suffix(not_empty("suffix_match", suffix, parser)?)),
        Some(Specifier::ContainsMatch(part)) => as_is(StringPattern::Contains(not_empty("contains_match", part, parser)?)),
    }
}

/// A `QueryParameterMatcher`.
pub fn query(matcher: &wire::QueryParameterMatcher, parser: &mut Parser) -> Option<QueryMatch> {
    use wire::query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;

    let name = short_name(&matcher.name, parser);
    let (value, absent) = match &matcher.query_parameter_match_specifier {
        None | Some(Specifier::PresentMatch(true)) => (None, false),
        Some(Specifier::PresentMatch(false)) => (None, true),
        Some(Specifier::StringMatch(matcher)) => (Some(parser.at("string_match", |parser| string(matcher, parser))?), false),
    };
    Some(QueryMatch { name: name?, value, absent })
}

/// A `CookieMatcher`.
pub fn cookie(matcher: &wire::CookieMatcher, parser: &mut Parser) -> Option<CookieMatch> {
    let name = short_name(&matcher.name, parser);
    let value = parser.required("string_match", matcher.string_match.as_ref())?;
    let value = parser.at("string_match", |parser| string(value, parser));
    Some(CookieMatch { name: name?, value: value?, invert: matcher.invert_match })
}

fn short_name(name: &str, parser: &mut Parser) -> Option<String> {
    if name.len() > LONGEST_NAME {
        return parser.refuse_at("name", format_args!("{} bytes are more than {LONGEST_NAME}", name.len()));
    }
    not_empty("name", name, parser)
}
