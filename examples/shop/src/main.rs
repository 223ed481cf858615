//! The example shop: a gateway, a web front, carts and prices, each a small service of its own, and a load on them.
//!
//! A user's request goes `gateway -> web -> cart -> prices`, by HTTP/1, HTTP/1, HTTP/2 and gRPC. Every service calls the next one
//! by its name in the mesh, through the sidecar beside it: it knows no address but its sidecar's.

mod answer;
mod cart;
mod gateway;
mod load;
mod next;
mod prices;
mod serve;
mod sidecar;
mod web;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// What the program was asked to be.
#[derive(Debug, Parser)]
#[command(name = "shop", version, about = "The example shop: its services, and a load on them", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// A service, or the load.
#[derive(Debug, Subcommand)]
enum Command {
    /// What users talk to: asks the web front
    Gateway(Service),
    /// The web front: asks a cart
    Web(Service),
    /// Carts: ask for prices
    Cart(Service),
    /// Prices, by gRPC
    Prices(prices::Prices),
    /// A steady load on the gateway; exit code 1 if a request failed
    Load(load::Load),
}

/// What a service is told that asks another one.
#[derive(Args, Clone, Debug)]
struct Service {
    /// What it calls itself in answers
    #[arg(long)]
    name: String,
    /// Address and port where it listens
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where its sidecar takes what is to go out
    #[arg(long, value_name = "ADDRESS")]
    sidecar: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Gateway(service) => gateway::run(service).await.map(|()| ExitCode::SUCCESS),
        Command::Web(service) => web::run(service).await.map(|()| ExitCode::SUCCESS),
        Command::Cart(service) => cart::run(service).await.map(|()| ExitCode::SUCCESS),
        Command::Prices(prices) => prices.run().await.map(|()| ExitCode::SUCCESS),
        Command::Load(load) => load.run().await,
    };
    done.unwrap_or_else(|error| {
        // There is nowhere else to say it.
        let _unheard = writeln!(std::io::stderr(), "shop: {error}").is_err();
        ExitCode::FAILURE
    })
}
