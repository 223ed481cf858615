use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections at a time.
const CONNECTIONS: usize = 4;
/// Between two requests of a connection.
const PACE: Duration = Duration::from_millis(4);
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers by what they were, and failures by their words.
pub type Tally = BTreeMap<String, usize>;

/// Requests for one path, until it is dropped or asked for what it saw.
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    enough: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    pub fn start(port: u16, host: &str, path: &str) -> Self {
        let (tally, enough) = (Arc::new(Mutex::new(Tally::new())), watch::Sender::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            clients.spawn(client(port, host.to_owned(), path.to_owned(), Arc::clone(&tally), enough.subscribe()));
        }
        Self { tally, enough, clients }
    }

    /// What was seen since the last time.
    pub fn seen(&self) -> Tally {
        std::mem::take(&mut self.tally.lock().unwrap())
    }

    /// Waits for as many answers.
    pub async fn answers(&self, count: usize) {
        let look = || async { (self.tally.lock().unwrap().values().sum::<usize>() >= count).then_some(()) };
        ninon_tests::eventually::eventually(Duration::from_secs(60), look).await.expect("answers come");
    }

    /// Ends, and says what was seen since the last time.
    pub async fn end(mut self) -> Tally {
        self.enough.send_replace(true);
        while self.clients.join_next().await.is_some() {}
        self.seen()
    }
}

async fn client(port: u16, host: String, path: String, tally: Arc<Mutex<Tally>>, mut enough: watch::Receiver<bool>) {
    let mut connection = None;
    let mut driver = JoinSet::new();
    while !*enough.borrow() {
        let outcome = match timeout(PATIENCE, request(&mut connection, &mut driver, port, &host, &path)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => problem,
            Err(_) => "no answer in time".to_owned(),
        };
        *tally.lock().unwrap().entry(outcome).or_default() += 1;
        let _told = timeout(PACE, enough.changed()).await;
    }
}

async fn request(
    connection: &mut Option<SendRequest<Empty<Bytes>>>,
    driver: &mut JoinSet<()>,
    port: u16,
    host: &str,
    path: &str,
) -> Result<String, String> {
    let mut kept = connection.take();
    if let Some(sender) = &mut kept
        && sender.ready().await.is_err()
    {
        // It was closed since the last answer.
        kept = None;
    }
    let mut sender = match kept {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| format!("connecting: {error}"))?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| format!("connecting: {error}"))?;
            driver.spawn(async move { drop(connection.await) });
            sender
        }
    };
    let request = Request::get(path).header("host", host).body(Empty::new()).unwrap();
    let response = sender.send_request(request).await.map_err(|error| format!("asking: {error}"))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| format!("reading: {error}"))?.to_bytes();
    *connection = Some(sender);
    Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
}
