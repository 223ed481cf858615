mod answers;
mod bodies;
mod limits;
mod requests;
mod upgrades;

use super::*;

use std::cell::Cell;

use http::HeaderMap;
use http_body::Frame;
use tokio::sync::watch;

use crate::codec::{BodyError, Fragment, Spelling};

fn refused(answer: &str, status: u16, text: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with(&format!("{text}<end>")), "{answer}");
}

/// Serves one request with this answer.
async fn answered(request: &str, make: impl Fn() -> Response<Body> + 'static) -> String {
    let service = Handler(move |_| std::future::ready(Ok(make().into())));
    local(async {
        let (mut client, _task) = start(options(), service);
        client.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut client).await
    })
    .await
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
