use xds_proto::envoy::config::route::v3 as route;
use xds_proto::envoy::r#type::v3::Int64Range;

use super::field::{cookie, header, query};
use super::*;
use crate::config::matcher::{HeaderTest, MatchedName};

fn parse<T>(parse: impl FnOnce(&mut Parser) -> Option<T>) -> Result<T, String> {
    let mut parser = Parser::new();
    let value = parse(&mut parser);
    parser.finish(value).map(|(value, _)| value).map_err(|faults| faults.to_string())
}

fn refused<T: std::fmt::Debug>(problem: &str, wire: impl FnOnce(&mut Parser) -> Option<T>) {
    assert_eq!(parse(wire).unwrap_err(), problem);
}

fn regex_of(regex: &str) -> wire::RegexMatcher {
    wire::RegexMatcher { regex: regex.to_owned(), engine_type: None }
}

fn string_of(pattern: wire::string_matcher::MatchPattern) -> wire::StringMatcher {
    wire::StringMatcher { match_pattern: Some(pattern), ignore_case: false }
}

#[test]
fn a_string_matcher_keeps_its_pattern_and_case_rule() {
    use wire::string_matcher::MatchPattern;
    let matcher = wire::StringMatcher { ignore_case: true, ..string_of(MatchPattern::Prefix("Ab".to_owned())) };
    let matcher = parse(|parser| string(&matcher, parser)).unwrap();
    assert!(matcher.matches(b"aBc"));
    assert!(!matcher.matches(b"xab"));
}

#[test]
fn a_string_matcher_needs_a_pattern() {
    refused("one of exact, prefix, suffix, contains, safe_regex is required", |parser| string(&wire::StringMatcher::default(), parser));
}

#[test]
fn an_empty_prefix_suffix_or_part_is_refused() {
    use wire::string_matcher::MatchPattern;
    refused("prefix: must not be empty", |p| string(&string_of(MatchPattern::Prefix(String::new())), p));
    refused("suffix: must not be empty", |p| string(&string_of(MatchPattern::Suffix(String::new())), p));
    refused("contains: must not be empty", |p| string(&string_of(MatchPattern::Contains(String::new())), p));
}

#[test]
fn a_regular_expression_cannot_ignore_case() {
    use wire::string_matcher::MatchPattern;
    let matcher = wire::StringMatcher { ignore_case: true, ..string_of(MatchPattern::SafeRegex(regex_of("a"))) };
    refused("ignore_case: has no effect on safe_regex: write (?i) into the expression", |p| string(&matcher, p));
}

#[test]
fn a_custom_matcher_is_refused() {
    use wire::string_matcher::MatchPattern;
    refused("custom: not supported", |p| string(&string_of(MatchPattern::Custom(Default::default())), p));
}

#[test]
fn a_regular_expression_must_fit_the_whole_text() {
    let regex = parse(|p| regex::full_match(&regex_of("a|b+"), p)).unwrap();
    assert!(regex.is_match(b"bb"));
    assert!(!regex.is_match(b"ab"));
    assert!(!regex.is_match(b"b\n"));
}

#[test]
fn a_regular_expression_cannot_break_out_of_its_anchors() {
    refused("regex: unopened group", |p| regex::full_match(&regex_of("a)|(b"), p));
}

#[test]
fn an_empty_regular_expression_is_refused() {
    refused("regex: must not be empty", |p| regex::full_match(&regex_of(""), p));
}

#[test]
fn a_huge_regular_expression_is_refused() {
    refused("regex: compiles to more than 1048576 bytes", |p| regex::full_match(&regex_of("((a{1000}){1000}){10}"), p));
}

#[test]
fn classes_are_ascii_as_in_re2() {
    let digit = parse(|p| regex::full_match(&regex_of(r"\d"), p)).unwrap();
    assert!(digit.is_match(b"5"));
    assert!(!digit.is_match("\u{664}".as_bytes()));
    let letter = parse(|p| regex::full_match(&regex_of(r"\p{Greek}"), p)).unwrap();
    assert!(letter.is_match("\u{3b1}".as_bytes()));
}

fn rewritten(pattern: &str, substitution: &str, text: &str) -> Result<String, String> {
    let wire = wire::RegexMatchAndSubstitute { pattern: Some(regex_of(pattern)), substitution: substitution.to_owned() };
    let rewrite = parse(|p| regex::rewrite(&wire, p))?;
    let rewritten = rewrite.pattern.replace_all(text.as_bytes(), rewrite.substitution.as_ref());
    Ok(String::from_utf8_lossy(&rewritten).into_owned())
}

#[test]
fn a_substitution_is_re2s() {
    assert_eq!(rewritten("^/(a)/(b)", r"/\2/\1", "/a/b/c").unwrap(), "/b/a/c");
    assert_eq!(rewritten("a", r"\0\0", "xay").unwrap(), "xaay");
    assert_eq!(rewritten("(a)", r"\12", "a").unwrap(), "a2");
    assert_eq!(rewritten("a", r"$1\\", "a").unwrap(), r"$1\");
}

#[test]
fn a_wrong_substitution_is_refused() {
    assert_eq!(rewritten("a", r"\1", "").unwrap_err(), r"substitution: \1 names a group, the pattern has 0");
    let problem = "substitution: a backslash must be followed by a digit or a backslash";
    assert_eq!(rewritten("a", r"\x", "").unwrap_err(), problem);
    assert_eq!(rewritten("a", r"\", "").unwrap_err(), problem);
    assert_eq!(rewritten("a", "\n", "").unwrap_err(), r"substitution: '\n' cannot stand in a header");
    refused("pattern: required", |p| regex::rewrite(&wire::RegexMatchAndSubstitute::default(), p));
}

#[test]
fn shares_are_brought_to_one_scale() {
    let of = |numerator, denominator| parse(|p| fraction(&FractionalPercent { numerator, denominator }, p));
    assert_eq!(of(50, 0).unwrap(), Fraction::per_million(500_000));
    assert_eq!(of(50, 1).unwrap(), Fraction::per_million(5_000));
    assert_eq!(of(50, 2).unwrap(), Fraction::per_million(50));
    assert_eq!(of(u32::MAX, 0).unwrap(), Fraction::ALL);
    assert_eq!(of(1, 3).unwrap_err(), "denominator: 3 is not a value of this enum");
}

#[test]
fn a_runtime_share_needs_a_default() {
    refused("default_value: required", |p| runtime_fraction(&RuntimeFractionalPercent::default(), p));
}

#[test]
fn a_runtime_key_is_ignored_with_a_warning() {
    let share =
        RuntimeFractionalPercent { default_value: Some(FractionalPercent { numerator: 1, denominator: 0 }), runtime_key: "a.b".to_owned() };
    let mut parser = Parser::new();
    let value = runtime_fraction(&share, &mut parser);
    let (value, warnings) = parser.finish(value).unwrap();
    assert_eq!(value, Fraction::per_million(10_000));
    assert_eq!(warnings[0].to_string(), "runtime_key: ignored: there is no runtime, default_value always counts");
}

#[test]
fn a_percentage_lies_between_0_and_100() {
    let of = |value| parse(|p| percent_at("share", Some(&Percent { value }), p));
    assert_eq!(of(100.0).unwrap(), 100.0);
    assert_eq!(of(100.5).unwrap_err(), "share.value: 100.5 is not between 0 and 100");
    assert_eq!(of(-1.0).unwrap_err(), "share.value: -1 is not between 0 and 100");
    assert_eq!(of(f64::NAN).unwrap_err(), "share.value: NaN is not between 0 and 100");
}

fn header_of(name: &str, specifier: Option<route::header_matcher::HeaderMatchSpecifier>) -> route::HeaderMatcher {
    route::HeaderMatcher { name: name.to_owned(), header_match_specifier: specifier, ..Default::default() }
}

#[test]
fn a_header_matcher_without_specifier_wants_the_header() {
    let matcher = parse(|p| header(&header_of("X-A", None), p)).unwrap();
    assert_eq!(matcher.name, MatchedName::Field(http::HeaderName::from_static("x-a")));
    assert!(matches!(matcher.test, HeaderTest::Present(true)));
}

#[test]
fn pseudo_headers_have_their_own_names() {
    let name = |name: &str| parse(|p| header(&header_of(name, None), p)).map(|matcher| matcher.name);
    assert_eq!(name(":method").unwrap(), MatchedName::Method);
    assert_eq!(name("Host").unwrap(), MatchedName::Authority);
    assert_eq!(name(":protocol").unwrap_err(), "name: \":protocol\" cannot be looked at: only :method, :path, :scheme and :authority can");
    assert_eq!(name("").unwrap_err(), "name: must not be empty");
    assert_eq!(name("a b").unwrap_err(), "name: \"a b\" is not a header name");
}

#[test]
fn every_header_specifier_is_read() {
    use route::header_matcher::HeaderMatchSpecifier as Specifier;
    let of = |specifier| parse(|p| header(&header_of("a", Some(specifier)), p));
    let fits = |specifier, value: &[u8]| {
        let HeaderTest::String(string) = of(specifier).unwrap().test else { panic!("of another kind") };
        string.matches(value)
    };
    assert!(fits(Specifier::ExactMatch("x".to_owned()), b"x"));
    assert!(fits(Specifier::PrefixMatch("x".to_owned()), b"xy"));
    assert!(fits(Specifier::SuffixMatch("x".to_owned()), b"yx"));
    assert!(fits(Specifier::ContainsMatch("x".to_owned()), b"yxy"));
    assert!(fits(Specifier::SafeRegexMatch(regex_of("x+")), b"xx"));
    assert!(matches!(of(Specifier::ExactMatch(String::new())).unwrap().test, HeaderTest::Present(true)));
    assert!(matches!(of(Specifier::PresentMatch(false)).unwrap().test, HeaderTest::Present(false)));
    let range = of(Specifier::RangeMatch(Int64Range { start: -1, end: 5 })).unwrap();
    assert!(matches!(range.test, HeaderTest::Range { start: -1, end: 5 }));
    assert_eq!(of(Specifier::PrefixMatch(String::new())).unwrap_err(), "prefix_match: must not be empty");
    assert_eq!(of(Specifier::SuffixMatch(String::new())).unwrap_err(), "suffix_match: must not be empty");
    assert_eq!(of(Specifier::ContainsMatch(String::new())).unwrap_err(), "contains_match: must not be empty");
}

#[test]
fn a_query_parameter_may_have_to_be_absent() {
    use route::query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;
    let of = |specifier| route::QueryParameterMatcher { name: "a".to_owned(), query_parameter_match_specifier: specifier };
    assert!(parse(|p| query(&of(Some(Specifier::PresentMatch(false))), p)).unwrap().absent);
    assert!(!parse(|p| query(&of(None), p)).unwrap().absent);
}

#[test]
fn names_of_parameters_and_cookies_are_bounded() {
    let of = |name: &str| route::QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: None };
    refused("name: must not be empty", |p| query(&of(""), p));
    refused("name: 1025 bytes are more than 1024", |p| query(&of(&"a".repeat(1025)), p));
}

#[test]
fn a_cookie_matcher_needs_a_value() {
    let matcher = route::CookieMatcher { name: "a".to_owned(), string_match: None, invert_match: false };
    refused("string_match: required", |p| cookie(&matcher, p));
}
