//! Prices, by gRPC, in two versions.

use std::io;
use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::answer::TRACEPARENT;
use crate::next::told;
use crate::serve::asked_to_end;
use wire::prices_server::PricesServer;
use wire::{Price, QuoteReply, QuoteRequest};

/// The messages, and gRPC's client and server.
#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::too_many_lines,
    reason = "generated code; its documentation is proto/shop.proto"
)]
pub(crate) mod wire {
    tonic::include_proto!("shop");
}

/// What the prices are told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Prices {
    /// What it calls itself in answers
    #[arg(long)]
    name: String,
    /// Address and port where it listens
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Which prices
    #[arg(long, value_enum)]
    version: Version,
}

/// A version of the prices.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Version {
    /// As always.
    V1,
    /// A tenth less.
    V2,
}

impl Version {
    const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    const fn of(self, cents: u32) -> u32 {
        match self {
            Self::V1 => cents,
            Self::V2 => cents - cents / 10,
        }
    }
}

impl Prices {
    /// Serves until SIGTERM.
    pub(crate) async fn run(self) -> io::Result<()> {
        let listen = self.listen;
        let served = Server::builder().add_service(PricesServer::new(self)).serve_with_shutdown(listen, asked_to_end()).await;
        served.map_err(|error| io::Error::other(told(&error)))
    }
}

#[tonic::async_trait]
impl wire::prices_server::Prices for Prices {
    async fn quote(&self, request: Request<QuoteRequest>) -> Result<Response<QuoteReply>, Status> {
        let trace = request.metadata().get(TRACEPARENT).and_then(|trace| trace.to_str().ok());
        let traceparent = trace.unwrap_or_default().to_owned();
        let items = request.into_inner().items.into_iter();
        let prices = items.map(|item| Price { cents: self.version.of(list_price(&item)), item });
        Ok(Response::new(QuoteReply {
            answered_by: self.name.clone(),
            version: self.version.name().to_owned(),
            traceparent,
            prices: prices.collect(),
        }))
    }
}

fn list_price(item: &str) -> u32 {
    match item {
        "tea" => 490,
        "teapot" => 2990,
        "biscuits" => 350,
        _ => 100,
    }
}
