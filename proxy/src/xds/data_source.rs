//! Bytes from a file or written in place.

use std::fs::File;
use std::io::Read as _;

use bytes::Bytes;
use xds_proto::envoy::config::core::v3 as wire;
use xds_proto::envoy::config::core::v3::data_source::Specifier;

use crate::xds::invalid::Parser;

/// Larger files than any certificate bundle in use; a device file or a log does not fill the memory.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// The bytes. Files are read now, so that a bad one is refused with the configuration.
pub fn bytes(source: &wire::DataSource, parser: &mut Parser) -> Option<Bytes> {
    parser.ignored("watched_directory", source.watched_directory.is_some(), "a file that is named here is read with what names it");
    match &source.specifier {
        Some(Specifier::Filename(path)) => parser.at("filename", |parser| file(path, parser)),
        Some(Specifier::InlineBytes(bytes)) => Some(bytes.clone()),
        Some(Specifier::InlineString(text)) => Some(Bytes::from(text.clone())),
        Some(Specifier::EnvironmentVariable(_)) => parser.refuse_at("environment_variable", "not supported"),
        None => parser.refuse("one of filename, inline_bytes, inline_string must be set"),
    }
}

/// The bytes as text.
pub fn text(source: &wire::DataSource, parser: &mut Parser) -> Option<String> {
    let bytes = bytes(source, parser)?;
    let text = String::from_utf8(bytes.to_vec()).ok();
    text.or_else(|| parser.refuse("not UTF-8"))
}

fn file(path: &str, parser: &mut Parser) -> Option<Bytes> {
    // Opening a pipe would wait for a writer.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return parser.refuse(format_args!("{path:?} is not a file"));
    }
    let mut contents = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut contents));
    match read {
        Err(error) => parser.refuse(format_args!("reading {path:?}: {error}")),
        Ok(_) if contents.is_empty() => parser.refuse(format_args!("{path:?} is empty")),
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= LARGEST_FILE) => Some(Bytes::from(contents)),
        Ok(_) => parser.refuse(format_args!("{path:?} is larger than {LARGEST_FILE} bytes")),
    }
}

#[cfg(test)]
mod tests;
