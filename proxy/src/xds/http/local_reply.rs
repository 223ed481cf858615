//! `LocalReplyConfig`: what answers of the proxy itself look like.

use http::HeaderValue;
use xds_proto::envoy::config::core::v3::SubstitutionFormatString;
use xds_proto::envoy::config::core::v3::substitution_format_string::Format;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3 as wire;

use crate::config::http::{LocalReply, ReplyFormat, ReplyMapper};
use crate::xds::invalid::Parser;
use crate::xds::{access_log, data_source, headers};

/// As Envoy, for a text.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
/// As Envoy, for a JSON object.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Parses the settings of local replies.
pub fn parse(config: &wire::LocalReplyConfig, parser: &mut Parser) -> LocalReply {
    LocalReply {
        mappers: parser.each("mappers", &config.mappers, mapper),
        body_format: format("body_format", config.body_format.as_ref(), parser),
    }
}

fn mapper(mapper: &wire::ResponseMapper, parser: &mut Parser) -> Option<ReplyMapper> {
    let filter = parser.required("filter", mapper.filter.as_ref());
    let filter = filter.and_then(|filter| parser.at("filter", |parser| access_log::filter(filter, parser)));
    let status = match mapper.status_code {
        None => None,
        Some(status) => match u16::try_from(status) {
            Ok(status @ 200..=599) => Some(status),
            _ => parser.refuse_at("status_code", format_args!("{status} is not between 200 and 599")),
        },
    };
    let body = mapper.body.as_ref().map(|body| parser.at("body", |parser| data_source::text(body, parser)));
    let headers = headers::mutations("headers_to_add", &mapper.headers_to_add, parser);
    Some(ReplyMapper {
        status,
        body: body.flatten(),
        body_format: format("body_format_override", mapper.body_format_override.as_ref(), parser),
        headers,
        filter: filter?,
    })
}

fn format(field: &'static str, wire: Option<&SubstitutionFormatString>, parser: &mut Parser) -> Option<ReplyFormat> {
    let wire = wire?;
    parser.at(field, |parser| {
        let format = access_log::format_string(wire, parser);
        let content_type = match (wire.content_type.as_str(), &wire.format) {
            ("", Some(Format::JsonFormat(_))) => Some(JSON),
            ("", _) => Some(TEXT),
            (content_type, _) => headers::value_at("content_type", content_type, parser),
        };
        Some(ReplyFormat { format: format?, content_type: content_type? })
    })
}
