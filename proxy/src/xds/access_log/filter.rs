//! Which exchanges are logged.

use xds_proto::envoy::config::accesslog::v3 as wire;
use xds_proto::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use xds_proto::envoy::config::accesslog::v3::comparison_filter::Op;

use crate::config::access_log::{Comparison, LogFilter};
use crate::xds::invalid::Parser;
use crate::xds::matcher;

/// Envoy's response flags. Some are never set here; a filter that names them is right all the same.
const RESPONSE_FLAGS: [&str; 31] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH", "DPE", "UMSDR",
    "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO", "AC",
];

/// Parses a filter of an access log or of a local reply's mapper.
pub fn filter(wire: &wire::AccessLogFilter, parser: &mut Parser) -> Option<LogFilter> {
    use FilterSpecifier as Kind;
    match wire.filter_specifier.as_ref() {
        None => parser.refuse("a filter is required"),
        Some(Kind::StatusCodeFilter(filter)) => {
            parser.at("status_code_filter", |parser| comparison(filter.comparison.as_ref(), parser).map(LogFilter::StatusCode))
        }
        Some(Kind::DurationFilter(filter)) => {
            parser.at("duration_filter", |parser| comparison(filter.comparison.as_ref(), parser).map(LogFilter::Duration))
        }
        Some(Kind::NotHealthCheckFilter(_)) => Some(LogFilter::NotHealthCheck),
        Some(Kind::TraceableFilter(_)) => Some(LogFilter::Traceable),
        Some(Kind::RuntimeFilter(filter)) => parser.at("runtime_filter", |parser| share(filter, parser)),
        Some(Kind::AndFilter(both)) => parser.at("and_filter", |parser| several(&both.filters, parser).map(LogFilter::All)),
        Some(Kind::OrFilter(either)) => parser.at("or_filter", |parser| several(&either.filters, parser).map(LogFilter::Any)),
        Some(Kind::HeaderFilter(filter)) => parser.at("header_filter", |parser| {
            let header = parser.required("header", filter.header.as_ref())?;
            parser.at("header", |parser| matcher::field::header(header, parser)).map(LogFilter::Header)
        }),
        Some(Kind::ResponseFlagFilter(filter)) => parser.at("response_flag_filter", |parser| {
            let flags = parser.each("flags", &filter.flags, |flag, parser| {
                let known = RESPONSE_FLAGS.contains(&flag.as_str());
                if known { Some(flag.clone()) } else { parser.refuse(format_args!("there is no response flag {flag:?}")) }
            });
            Some(LogFilter::ResponseFlags(flags))
        }),
        Some(Kind::GrpcStatusFilter(filter)) => parser.at("grpc_status_filter", |parser| {
            let statuses = parser.each("statuses", &filter.statuses, |status, parser| {
                let known = wire::grpc_status_filter::Status::try_from(*status).is_ok();
                if known { Some(*status) } else { parser.refuse(format_args!("{status} is no gRPC status")) }
            });
            Some(LogFilter::GrpcStatus { statuses, exclude: filter.exclude })
        }),
        Some(Kind::MetadataFilter(_)) => parser.refuse_at("metadata_filter", "not supported: nothing here sets metadata"),
    }
}

fn several(filters: &[wire::AccessLogFilter], parser: &mut Parser) -> Option<Vec<LogFilter>> {
    if filters.len() < 2 {
        return parser.refuse_at("filters", "at least two are required");
    }
    Some(parser.each("filters", filters, filter))
}

fn share(filter: &wire::RuntimeFilter, parser: &mut Parser) -> Option<LogFilter> {
    parser.ignored("runtime_key", !filter.runtime_key.is_empty(), "percent_sampled is always used");
    parser.ignored("use_independent_randomness", filter.use_independent_randomness, "each exchange is drawn on its own");
    let percent = parser.required("percent_sampled", filter.percent_sampled.as_ref())?;
    parser.at("percent_sampled", |parser| matcher::fraction(percent, parser)).map(LogFilter::Fraction)
}

fn comparison(wire: Option<&wire::ComparisonFilter>, parser: &mut Parser) -> Option<Comparison> {
    let wire = parser.required("comparison", wire)?;
    parser.at("comparison", |parser| {
        let op = parser.choice("op", wire.op);
        let value = parser.required("value", wire.value.as_ref())?;
        parser.at("value", |parser| {
            parser.ignored("runtime_key", !value.runtime_key.is_empty(), "default_value is always used");
        });
        Some(match op? {
            Op::Eq => Comparison::Equal(value.default_value),
            Op::Ge => Comparison::AtLeast(value.default_value),
            Op::Le => Comparison::AtMost(value.default_value),
            Op::Ne => Comparison::NotEqual(value.default_value),
        })
    })
}
