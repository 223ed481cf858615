//! Carts.

use std::io;

use http::{HeaderMap, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::metadata::MetadataValue;

use crate::Service;
use crate::answer::{Cart, Item, TRACEPARENT, answer};
use crate::next::told;
use crate::prices::wire::QuoteRequest;
use crate::prices::wire::prices_client::PricesClient;
use crate::serve::{Version, serve};
use crate::sidecar::Sidecar;

/// The prices' name in the mesh.
const PRICES: &str = "http://prices.shop:50051";
/// Everybody has the same things in the cart.
const ITEMS: [&str; 3] = ["tea", "teapot", "biscuits"];

/// Serves the cart of whomever.
pub(crate) async fn run(service: Service) -> io::Result<()> {
    let Service { name, listen, sidecar } = service;
    // Not tonic's own channel: that fails a call when its server says goodbye at the moment of sending. This client sends it again
    // on another connection, as nothing of it has been sent.
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build(Sidecar(sidecar));
    let prices = PricesClient::with_origin(client, Uri::from_static(PRICES));
    serve(listen, Version::Http2, move |request| {
        let (name, prices) = (name.clone(), prices.clone());
        async move { answer(priced(prices, request.headers()).await.map(|cart| cart.by(&name))) }
    })
    .await
}

async fn priced(mut prices: PricesClient<Client<Sidecar, Body>>, headers: &HeaderMap) -> Result<Cart, String> {
    let mut request = tonic::Request::new(QuoteRequest { items: ITEMS.map(str::to_owned).to_vec() });
    let trace = headers.get(TRACEPARENT).and_then(|trace| MetadataValue::try_from(trace.as_bytes()).ok());
    if let Some(trace) = trace {
        request.metadata_mut().insert(TRACEPARENT, trace);
    }
    let quote = prices.quote(request).await.map_err(|status| format!("prices.shop: {}", told(&status)))?.into_inner();
    let items: Vec<Item> = quote.prices.into_iter().map(|price| Item { name: price.item, cents: price.cents }).collect();
    Ok(Cart {
        answered_by: vec![quote.answered_by],
        prices: quote.version,
        traceparent: quote.traceparent,
        total_cents: items.iter().map(|item| item.cents).sum(),
        items,
    })
}
