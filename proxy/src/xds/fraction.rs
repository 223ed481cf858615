//! Shares of requests, in the several forms that Envoy writes them.

use xds_proto::envoy::r#type::v3 as wire;
use xds_proto::envoy::r#type::v3::fractional_percent::DenominatorType;

use crate::config::Fraction;
use crate::xds::invalid::Parser;

/// A percentage from 0 to 100.
pub fn percent(percent: &wire::Percent, parser: &mut Parser) -> Option<Fraction> {
    let share = Fraction::percent(percent.value);
    share.or_else(|| parser.refuse(format_args!("{} is not between 0 and 100", percent.value)))
}

/// So many of a hundred, ten thousand or a million. More than all is all, as in Envoy.
pub fn fraction(fraction: &wire::FractionalPercent, parser: &mut Parser) -> Option<Fraction> {
    let scale = match parser.choice("denominator", fraction.denominator)? {
        DenominatorType::Hundred => 10_000,
        DenominatorType::TenThousand => 100,
        DenominatorType::Million => 1,
    };
    Some(Fraction::per_million(fraction.numerator.saturating_mul(scale)))
}
