//! The proxy's DNS, on the control thread: answers questions for hosts of the mesh from what the control plane says, and passes all
//! others on to the machine's resolvers, with every byte as it came.
//!
//! It listens on loopback addresses, where `ninon-proxy redirect --dns` brings every question of the machine. It keeps no answers
//! and looks for no names itself: whoever asks has a resolver for that.

/// What was asked of resolvers and waits.
mod asked;
/// What is known of hosts.
mod book;
/// Questions and answers as bytes.
mod message;
/// Asks resolvers.
mod resolver;
/// Sockets.
mod server;
/// Who the resolvers are.
mod servers;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use tokio::time::Instant;

use crate::config::names::NameService;
use crate::task::OwnedTask;
use crate::telemetry::metrics::DnsStats;

pub use book::Book;

use message::{Question, Received, Way};
use resolver::{Resolver, Waiting};
use servers::Servers;

/// How long after the start questions wait for the control plane's first word: until then nobody knows which names are the mesh's, and
/// a resolver would say that they do not exist.
const PATIENCE: Duration = Duration::from_secs(5);

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct OpenError {
    address: SocketAddr,
    cause: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the DNS (--dns) cannot listen on {}: {}", self.address, self.cause)?;
        if self.cause.kind() == io::ErrorKind::AddrInUse {
            f.write_str("; another process has it, see `ss -lntup`")?;
        }
        Ok(())
    }
}

/// Serves until this is dropped.
#[derive(Debug)]
#[must_use = "questions are answered until this is dropped"]
pub struct Serving {
    /// Where.
    pub addresses: Vec<SocketAddr>,
    _tasks: Vec<OwnedTask>,
}

/// Everything that an answer is made of.
struct Dns {
    book: Rc<Book>,
    resolver: Resolver,
    stats: Arc<DnsStats>,
    patient_until: Instant,
    connections: Cell<usize>,
}

/// What became of a message at once.
enum AtOnce {
    /// There is no answer to it.
    Nothing,
    /// This is the answer.
    Answer(Vec<u8>),
    /// Something has to be waited for, and there is room for that.
    Later(Waiting),
}

/// Opens the sockets and serves.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn open(service: &NameService, book: Rc<Book>, stats: Arc<DnsStats>) -> Result<Serving, OpenError> {
    let mut sockets = Vec::new();
    for address in &service.addresses {
        match server::open(*address).await {
            Ok(opened) => sockets.push(opened),
            Err(error) if !service.are_given && server::is_missing(&error) => {
                tracing::info!(%address, %error, "the DNS does not listen there");
            }
            Err(cause) => return Err(OpenError { address: *address, cause }),
        }
    }
    let addresses: Vec<SocketAddr> = sockets.iter().map(|opened| opened.address).collect();
    let servers = Servers::new(&service.resolvers, addresses.clone());
    let resolver = Resolver::new(servers, Arc::clone(&stats));
    let patient_until = Instant::now().checked_add(PATIENCE).unwrap_or_else(Instant::now);
    let dns = Rc::new(Dns { book, resolver, stats, patient_until, connections: Cell::new(0) });
    let tasks = sockets.into_iter().flat_map(|opened| server::serve(opened, &dns)).collect();
    for address in &addresses {
        tracing::info!(%address, "DNS");
    }
    Ok(Serving { addresses, _tasks: tasks })
}

impl Dns {
    /// What needs no waiting.
    fn at_once(&self, bytes: &[u8], way: Way) -> AtOnce {
        let question = match message::read(bytes) {
            Received::Nothing => {
                self.stats.malformed.inc();
                return AtOnce::Nothing;
            }
            Received::Refused(answer) => {
                self.stats.malformed.inc();
                return AtOnce::Answer(answer);
            }
            Received::Question(question) => question,
        };
        let is_told = self.book.is_told() || Instant::now() >= self.patient_until;
        if let Some(answer) = is_told.then(|| self.known(bytes, &question, way)).flatten() {
            return AtOnce::Answer(answer);
        }
        match self.resolver.enter(bytes, &question) {
            Ok(waiting) => AtOnce::Later(waiting),
            Err(_) => AtOnce::Answer(message::error(bytes, question.end, ResponseCode::ServFail)),
        }
    }

    /// What may be waited for, within the limits of the resolver.
    async fn later(&self, bytes: &[u8], way: Way, waiting: &Waiting) -> Option<Vec<u8>> {
        let Received::Question(question) = message::read(bytes) else { return None };
        let refuse = || message::error(bytes, question.end, ResponseCode::ServFail);
        if !self.book.is_told() {
            // When the time is over, all is passed on.
            let _is_over = tokio::time::timeout_at(self.patient_until, self.book.told()).await.is_err();
        }
        if let Some(answer) = self.known(bytes, &question, way) {
            return Some(answer);
        }
        Some(self.resolver.ask(bytes, &question, way, waiting).await.unwrap_or_else(refuse))
    }

    fn known(&self, bytes: &[u8], question: &Question, way: Way) -> Option<Vec<u8>> {
        let entry = self.book.find(question.name.as_deref()?)?;
        if !question.is_for_addresses() && !entry.is_of_mesh {
            return None;
        }
        self.stats.answered.inc();
        Some(message::answer(bytes, &entry, way))
    }
}

#[cfg(test)]
mod tests;
