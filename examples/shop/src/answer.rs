//! What the services tell one another, and the user.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

/// The header that ties the parts of a trace together: every service passes it on.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// A cart with prices, and who had a part in it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cart {
    /// From the gateway to the prices.
    pub(crate) answered_by: Vec<String>,
    /// Which version of the prices it was.
    pub(crate) prices: String,
    /// The `traceparent` that came with the request to the prices, if one did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) traceparent: String,
    /// What is in the cart.
    pub(crate) items: Vec<Item>,
    /// What that costs.
    pub(crate) total_cents: u32,
}

/// A thing with its price.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    /// What it is.
    pub(crate) name: String,
    /// What it costs.
    pub(crate) cents: u32,
}

impl Cart {
    /// The same, handed on by another service.
    pub(crate) fn by(mut self, name: &str) -> Self {
        self.answered_by.insert(0, name.to_owned());
        self
    }
}

/// A cart as an answer, or 502 with what went wrong further on.
pub(crate) fn answer(cart: Result<Cart, String>) -> Response<Full<Bytes>> {
    let body = cart.and_then(|cart| serde_json::to_vec(&cart).map_err(|error| error.to_string()));
    let (status, kind, body) = match body {
        Ok(body) => (StatusCode::OK, "application/json", body),
        Err(problem) => (StatusCode::BAD_GATEWAY, "text/plain", problem.into_bytes()),
    };
    with(status, kind, body.into())
}

/// Short words as an answer.
pub(crate) fn words(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    with(status, "text/plain", words.into())
}

fn with(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
