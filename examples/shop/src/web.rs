//! The web front.

use std::io;

use crate::Service;
use crate::answer::answer;
use crate::next::Next;
use crate::serve::{Version, serve};

/// Serves what a cart says.
pub(crate) async fn run(service: Service) -> io::Result<()> {
    let Service { name, listen, sidecar } = service;
    let cart = Next::http2("cart.shop", sidecar);
    serve(listen, Version::Http1, move |request| {
        let (name, cart) = (name.clone(), cart.clone());
        async move { answer(cart.get(request.uri().path(), request.headers()).await.map(|cart| cart.by(&name))) }
    })
    .await
}
