//! Where and when access-log lines are written.

use std::path::PathBuf;

use crate::config::Fraction;
use crate::config::format::Format;
use crate::config::matcher::HeaderMatch;

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where lines go.
    pub sink: LogSink,
    /// What a line holds.
    pub format: LogFormat,
    /// Which exchanges are logged; `None` logs all.
    pub filter: Option<LogFilter>,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogSink {
    /// A file, opened for append, opened again on SIGHUP.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a line holds.
#[derive(Clone, Debug)]
pub enum LogFormat {
    /// Text; a line end is part of the format.
    Text {
        /// The format.
        format: Format,
        /// Write nothing, rather than `-`, for what is not known.
        omit_empty: bool,
    },
    /// A JSON object a line, fields in the order written (Envoy sorts them by name; so do we).
    Json {
        /// Field name and value.
        fields: Vec<(String, JsonValue)>,
        /// Leave out fields that are not known, rather than `null`.
        omit_empty: bool,
    },
}

/// A value in a JSON log line.
#[derive(Clone, Debug)]
pub enum JsonValue {
    /// A format: a number where it is a single numeric command, else text.
    Format(Format),
    /// A nested object.
    Object(Vec<(String, Self)>),
    /// A nested list.
    List(Vec<Self>),
    /// As it is.
    Number(f64),
    /// As it is.
    Bool(bool),
    /// `null`.
    Null,
}

/// Which exchanges are logged (`envoy.config.accesslog.v3.AccessLogFilter`).
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// By response code.
    StatusCode(Comparison),
    /// By duration in milliseconds.
    Duration(Comparison),
    /// Not a health check.
    NotHealthCheck,
    /// Traced.
    Traceable,
    /// A share.
    Fraction(Fraction),
    /// All of these.
    All(Vec<Self>),
    /// Any of these.
    Any(Vec<Self>),
    /// By a request header.
    Header(HeaderMatch),
    /// Has one of these response flags; empty: has any.
    ResponseFlags(Vec<String>),
    /// gRPC status is one of these (or, excluded, none).
    GrpcStatus {
        /// Status codes.
        statuses: Vec<i32>,
        /// Log those that are not in the list.
        exclude: bool,
    },
}

/// Compares with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal to.
    Equal(u32),
    /// Greater than, or equal to.
    AtLeast(u32),
    /// Less than, or equal to.
    AtMost(u32),
    /// Different from.
    NotEqual(u32),
}

impl Comparison {
    /// Whether `value` fits.
    pub fn holds(self, value: u64) -> bool {
        match self {
            Self::Equal(other) => value == u64::from(other),
            Self::AtLeast(other) => value >= u64::from(other),
            Self::AtMost(other) => value <= u64::from(other),
            Self::NotEqual(other) => value != u64::from(other),
        }
    }
}
