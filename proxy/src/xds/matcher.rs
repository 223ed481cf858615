//! Matchers of strings, headers and shares: wire types to [`crate::config::matcher`]. Used by every other parser.
//!
//! Source of the rules: the validation rules in Envoy's API (`envoy.type.matcher.v3`, `envoy.config.route.v3`).

/// Headers, query parameters, cookies.
pub mod field;
/// Regular expressions and substitutions.
pub mod regex;

pub use field::header;

use xds_proto::envoy::config::core::v3::RuntimeFractionalPercent;
use xds_proto::envoy::r#type::matcher::v3 as wire;
use xds_proto::envoy::r#type::v3::fractional_percent::DenominatorType;
use xds_proto::envoy::r#type::v3::{FractionalPercent, Percent};

use crate::config::Fraction;
use crate::config::matcher::{StringMatch, StringPattern};
use crate::xds::invalid::Parser;

/// A `StringMatcher`.
pub fn string(matcher: &wire::StringMatcher, parser: &mut Parser) -> Option<StringMatch> {
    use wire::string_matcher::MatchPattern;

    let pattern = match &matcher.match_pattern {
        None => return parser.refuse("one of exact, prefix, suffix, contains, safe_regex is required"),
        Some(MatchPattern::Exact(exact)) => StringPattern::Exact(exact.clone()),
        Some(MatchPattern::Prefix(prefix)) => StringPattern::Prefix(not_empty("prefix", prefix, parser)?),
        Some(MatchPattern::Suffix(suffix)) => StringPattern::Suffix(not_empty("suffix", suffix, parser)?),
        Some(MatchPattern::Contains(part)) => StringPattern::Contains(not_empty("contains", part, parser)?),
        Some(MatchPattern::SafeRegex(_)) if matcher.ignore_case => {
            return parser.refuse_at("ignore_case", "has no effect on safe_regex: write (?i) into the expression");
        }
        Some(MatchPattern::SafeRegex(matcher)) => {
            StringPattern::Regex(parser.at("safe_regex", |parser| regex::full_match(matcher, parser))?)
        }
        Some(MatchPattern::Custom(_)) => return parser.refuse_at("custom", "not supported"),
    };
    Some(StringMatch::new(pattern, matcher.ignore_case))
}

/// A text that must not be empty.
pub(super) fn not_empty(field: &'static str, text: &str, parser: &mut Parser) -> Option<String> {
    if text.is_empty() { parser.refuse_at(field, "must not be empty") } else { Some(text.to_owned()) }
}

/// A `FractionalPercent`. A numerator above the denominator is everything, as in Envoy.
pub fn fraction(share: &FractionalPercent, parser: &mut Parser) -> Option<Fraction> {
    let scale = match parser.choice::<DenominatorType>("denominator", share.denominator)? {
        DenominatorType::Hundred => 10_000,
        DenominatorType::TenThousand => 100,
        DenominatorType::Million => 1,
    };
    Some(Fraction::per_million(share.numerator.saturating_mul(scale)))
}

/// A `FractionalPercent` in a field, if it is set.
pub fn fraction_at(field: &'static str, share: Option<&FractionalPercent>, parser: &mut Parser) -> Option<Fraction> {
    share.and_then(|share| parser.at(field, |parser| fraction(share, parser)))
}

/// A `RuntimeFractionalPercent`: its default, since there is no runtime that could override it.
pub fn runtime_fraction(share: &RuntimeFractionalPercent, parser: &mut Parser) -> Option<Fraction> {
    parser.ignored("runtime_key", !share.runtime_key.is_empty(), "there is no runtime, default_value always counts");
    let value = parser.required("default_value", share.default_value.as_ref())?;
    parser.at("default_value", |parser| fraction(value, parser))
}

/// A `RuntimeFractionalPercent` in a field, if it is set.
pub fn runtime_fraction_at(field: &'static str, share: Option<&RuntimeFractionalPercent>, parser: &mut Parser) -> Option<Fraction> {
    share.and_then(|share| parser.at(field, |parser| runtime_fraction(share, parser)))
}

/// A `Percent` in a field, if it is set: 0 to 100.
pub fn percent_at(field: &'static str, percent: Option<&Percent>, parser: &mut Parser) -> Option<f64> {
    let value = percent?.value;
    // Written so that NaN is refused.
    if (0.0..=100.0).contains(&value) {
        return Some(value);
    }
    parser.at(field, |parser| parser.refuse_at("value", format_args!("{value} is not between 0 and 100")))
}

#[cfg(test)]
mod tests;
