use std::cell::RefCell;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::*;
use crate::config::trace::Tracing;
use crate::config::{ClusterName, Fraction};
use crate::task::{OwnedTask, spawn_bounded_by_connection};
use crate::telemetry::trace::{Context, Incoming};

fn span(name: &str) -> Box<Span> {
    let tracing = Tracing {
        client_sampling: Fraction::ALL,
        random_sampling: Fraction::ALL,
        overall_sampling: Fraction::ALL,
        max_path_tag_length: 256,
        spawn_upstream_span: false,
        tags: vec![],
        provider: Some(OpenTelemetry { cluster: ClusterName::from("collector"), service_name: "shop".into() }),
    };
    let now = SystemTime::now();
    Box::new(Span {
        tracing: Arc::new(tracing),
        context: Context::start(Incoming::default(), true),
        side: Side::Server,
        name: name.to_owned(),
        start: now,
        end: now,
        error: Some("upstream_reset".into()),
        attributes: vec![("url.path".into(), Attribute::Text("/cart".into())), ("request_size".into(), Attribute::Number(7))],
    })
}

/// A collector that keeps what it was sent.
#[derive(Clone, Default)]
struct Collected(Rc<RefCell<Vec<(String, Bytes)>>>);

/// Runs futures of HTTP/2 on this thread.
#[derive(Clone)]
struct Here;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        spawn_bounded_by_connection(future);
    }
}

impl Collected {
    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let collected = self.clone();
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let collected = collected.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    collected.0.borrow_mut().push((path, body));
                    let trailers = async { Some(Ok(http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]))) };
                    let answer = Full::new(Bytes::from_static(&[0; 5])).with_trailers(trailers);
                    Ok::<_, Infallible>(http::Response::builder().header("content-type", "application/grpc").body(answer).unwrap())
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(Here).serve_connection(TokioIo::new(stream), service);
            spawn_bounded_by_connection(async move { drop(connection.await) });
        }
    }
}

fn to(endpoint: &str) -> Channel {
    tonic::transport::Endpoint::from_shared(endpoint.to_owned()).unwrap().connect_lazy()
}

fn holds(message: &[u8], text: &str) -> bool {
    message.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn spans_reach_the_collector_in_one_message() {
    let test = async {
        let (collected, stats) = (Collected::default(), Arc::new(NinonStats::default()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let _server = OwnedTask::spawn(collected.clone().serve(listener));
        let (exporter, task) = channel(Arc::clone(&stats));
        ["GET cart", "GET till"].into_iter().for_each(|name| exporter.send(span(name)));
        drop(exporter);
        task.run(|_| to(&endpoint), std::future::pending()).await;
        assert_eq!((stats.trace_spans_exported.value(), stats.trace_spans_dropped.value()), (2, 0));
        let messages = collected.0.borrow();
        let [(path, message)] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        for text in ["service.name", "shop", "GET cart", "GET till", "url.path", "/cart", "upstream_reset"] {
            assert!(holds(message, text), "{text}");
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_absent_collector_costs_spans_and_is_left_alone_for_a_while() {
    let stats = Arc::new(NinonStats::default());
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (exporter, task) = channel(Arc::clone(&stats));
    (0..MAX_BATCH + 1).for_each(|_| exporter.send(span("GET")));
    drop(exporter);
    let run = task.run(|_| to(&format!("http://{free}")), std::future::pending());
    LocalSet::new().run_until(run).await;
    let lost = u64::try_from(MAX_BATCH + 1).unwrap();
    assert_eq!((stats.trace_spans_dropped.value(), stats.trace_export_failed.value()), (lost, 1));
}

#[tokio::test]
async fn a_queue_that_is_full_drops() {
    let stats = Arc::new(NinonStats::default());
    let (exporter, task) = channel(Arc::clone(&stats));
    (0..MAX_WAITING + 3).for_each(|_| exporter.send(span("GET")));
    assert_eq!(stats.trace_spans_dropped.value(), 3);
    drop(exporter);
    LocalSet::new().run_until(task.run(|_| to("http://127.0.0.1:9"), std::future::pending())).await;
    assert_eq!(stats.trace_spans_dropped.value(), u64::try_from(MAX_WAITING + 3).unwrap());
}
