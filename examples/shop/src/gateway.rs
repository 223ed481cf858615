//! What users talk to.

use std::io;

use http::{Method, StatusCode};

use crate::Service;
use crate::answer::{answer, words};
use crate::next::Next;
use crate::serve::{Version, serve};

/// Serves `/cart/NAME`, and tells whoever asks for something else.
pub(crate) async fn run(service: Service) -> io::Result<()> {
    let Service { name, listen, sidecar } = service;
    let web = Next::http1("web.shop", sidecar);
    serve(listen, Version::Http1, move |request| {
        let (name, web) = (name.clone(), web.clone());
        async move {
            let path = request.uri().path();
            if !path.starts_with("/cart/") {
                return words(StatusCode::NOT_FOUND, "there is /cart/NAME, as in /cart/ada\n");
            }
            if request.method() != Method::GET {
                return words(StatusCode::METHOD_NOT_ALLOWED, "carts can be looked at, nothing else\n");
            }
            answer(web.get(path, request.headers()).await.map(|cart| cart.by(&name)))
        }
    })
    .await
}
