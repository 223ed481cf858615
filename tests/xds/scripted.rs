/// What becomes of connections, and of what is taken back.
mod changes;
/// What tools are told over the admin port.
mod client_status;
/// What an earlier run has left.
mod earlier;
/// Streams that end with an error.
mod failures;
/// Answers that no well-behaved server gives.
mod oddities;
/// The order of requests and answers.
mod order;
/// Servers that are gone.
mod outages;
/// Who may do what.
mod policy;
/// A network between the proxy and the server that can fail.
mod relay;
/// Scoped routes.
mod scopes;
/// Certificates.
mod secrets;
/// Times to live.
mod time;
/// Listeners that cannot serve.
mod unable;
/// What is refused here and by Envoy.
mod verdicts;
/// Unix sockets, TLS, metadata.
mod ways;
/// A proxy that follows, services behind it, and resources.
pub(crate) mod world;

/// A test over both protocols: a function of the dialect.
macro_rules! both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sotw() {
                super::$name(ninon_tests::control_plane::Dialect::Sotw).await;
            }

            #[tokio::test]
            async fn delta() {
                super::$name(ninon_tests::control_plane::Dialect::Delta).await;
            }
        }
    )*};
}
pub(crate) use both;
