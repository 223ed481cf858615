//! Every example of the repository, started before real servers and tried with real clients.

mod api_gateway;
mod documents;
mod files;
mod grpc;
mod reverse_proxy;
mod shop;
mod tcp_weighted;
mod tls_termination;
mod websocket;
