//! What is known of one request or connection while it passes through: data that stages share.

/// What a certificate says of its owner.
pub mod certificate;
/// Response flags, as Envoy names them.
pub mod flags;
/// Addresses, times, sizes, outcome.
pub mod info;
/// What filters have found out.
pub mod metadata;
/// A request's path and query.
pub mod path;
/// A request's head in one form for HTTP/1 and HTTP/2.
pub mod request;

pub use certificate::Certificate;
pub use flags::{ResponseFlag, ResponseFlags};
pub use info::{ConnectionInfo, StreamInfo, TlsInfo, UpstreamInfo};
pub use metadata::{Found, Metadata};
pub use path::RequestPath;
pub use request::RequestHead;
