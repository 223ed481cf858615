use bytes::Bytes;
use http::StatusCode;
use xds_proto::envoy::config::route::v3 as wire;

use crate::config::route::DirectResponse;
use crate::xds::data_source;
use crate::xds::invalid::Parser;

/// A `DirectResponseAction`. A body in a file is read now, so that a missing file is refused and no request waits for a disk.
pub fn parse(action: &wire::DirectResponseAction, limit: usize, parser: &mut Parser) -> Option<DirectResponse> {
    parser.unsupported("body_format", action.body_format.is_some());
    let status = status(action.status, parser);
    let body = match &action.body {
        None => Some(Bytes::new()),
        Some(source) => parser.at("body", |parser| {
            let body = data_source::bytes(source, parser)?;
            if body.len() <= limit {
                return Some(body);
            }
            let rule = "bytes are more than max_direct_response_body_size_bytes";
            parser.refuse(format_args!("{} {rule}, {limit}", body.len()))
        }),
    };
    Some(DirectResponse { status: status?, body: body?, content_type: None })
}

fn status(status: u32, parser: &mut Parser) -> Option<StatusCode> {
    let code = u16::try_from(status).ok().filter(|code| (200..600).contains(code));
    match code.and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(code) => Some(code),
        None => parser.refuse_at("status", format_args!("{status} is not between 200 and 599")),
    }
}
