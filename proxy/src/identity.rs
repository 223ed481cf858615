//! The proxy's own identity: a key that never leaves this process, and a certificate that an authority makes of it.
//!
//! Pure: whoever keeps it current asks the authority. A certificate is renewed in the middle of its life, so that an authority may
//! be away for half of it.

/// What an authority answers.
pub mod answer;
/// When to ask again.
pub mod renewal;
/// A key, and what is to be signed of it.
pub mod request;
/// What the Workload API gives.
pub mod svid;
/// What a token says.
pub mod token;

pub use answer::{AnswerError, Identity, control_plane};
pub use renewal::Renewal;
pub use request::{Key, KeyError};
pub use svid::Given;
