use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use crate::dns::asked::{Asked, Refused, Ticket};
use crate::dns::message::{self, HEADER, Question, Way};
use crate::dns::servers::Servers;
use crate::telemetry::metrics::DnsStats;

/// One server may take this long: less than half of what the C library gives the whole question (5 s).
const TRY: Duration = Duration::from_secs(2);
/// All servers together; then the client asks again.
const WHOLE: Duration = Duration::from_secs(5);
/// How often the list of servers is gone through.
const ROUNDS: usize = 2;
/// Who sends so many answers that are none is guessing: the question is asked anew, from another port and under another number.
const MOST_GUESSES: usize = 16;
/// The largest message.
const LARGEST: usize = 65_535;

/// Asks resolvers what is not known here.
#[derive(Debug)]
pub(super) struct Resolver {
    servers: Servers,
    asked: Rc<Asked>,
    /// For the one datagram that is looked at.
    buffer: RefCell<Vec<u8>>,
    stats: Arc<DnsStats>,
}

/// A question that waits, and is counted.
#[derive(Debug)]
pub(super) struct Waiting {
    ticket: Ticket,
    stats: Arc<DnsStats>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.stats.questions_active.dec();
    }
}

impl Resolver {
    pub(super) fn new(servers: Servers, stats: Arc<DnsStats>) -> Self {
        Self { servers, asked: Rc::default(), buffer: RefCell::new(vec![0; LARGEST]), stats }
    }

    /// A place for a question, if there is one.
    pub(super) fn enter(&self, bytes: &[u8], question: &Question) -> Result<Waiting, Refused> {
        let key = message::key(bytes.get(HEADER..question.end).unwrap_or_default());
        match self.asked.enter(key, message::id(bytes)) {
            Ok(ticket) => {
                self.stats.questions_active.inc();
                Ok(Waiting { ticket, stats: Arc::clone(&self.stats) })
            }
            Err(refused) => {
                match refused {
                    Refused::Full => self.stats.overflow.inc(),
                    Refused::CameBack => self.stats.came_back.inc(),
                }
                Err(refused)
            }
        }
    }

    /// What a resolver answers, with every byte as it came but the number, which is the client's; `None` if none does.
    pub(super) async fn ask(&self, bytes: &[u8], question: &Question, way: Way, waiting: &Waiting) -> Option<Vec<u8>> {
        self.stats.passed_on.inc();
        let begun = Instant::now();
        let found = self.first_good(bytes, question, way, &waiting.ticket).await;
        let Some(mut answer) = found else {
            self.stats.passed_on_failure.inc();
            return None;
        };
        self.stats.resolver_time_ms.record(begun.elapsed());
        message::renumber(&mut answer, message::id(bytes));
        Some(message::bounded(answer, bytes, question.end, way))
    }

    /// A server that says it cannot tell is taken at its word if no other can.
    async fn first_good(&self, bytes: &[u8], question: &Question, way: Way, ticket: &Ticket) -> Option<Vec<u8>> {
        let mut failures: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        let all = async {
            let servers = self.servers.current(Instant::now());
            for server in servers.iter().cycle().take(servers.len().saturating_mul(ROUNDS)) {
                if failures.iter().any(|(failed, _)| failed == server) {
                    continue;
                }
                let id = number()?;
                let mut message = bytes.to_vec();
                message::renumber(&mut message, id);
                ticket.sent(id);
                let asked = Sent { message: &message, id, question: message.get(HEADER..question.end).unwrap_or_default() };
                match timeout(TRY, self.try_one(*server, &asked, way)).await {
                    Ok(Ok(answer)) if !message::is_failure(&answer) => return Some(answer),
                    Ok(Ok(answer)) => failures.push((*server, answer)),
                    Ok(Err(error)) => tracing::debug!(%server, %error, "a resolver cannot be asked"),
                    Err(_) => tracing::debug!(%server, "a resolver does not answer"),
                }
            }
            None
        };
        let found = timeout(WHOLE, all).await.ok().flatten();
        found.or_else(|| failures.into_iter().next().map(|(_, answer)| answer))
    }

    async fn try_one(&self, server: SocketAddr, asked: &Sent<'_>, way: Way) -> io::Result<Vec<u8>> {
        match way {
            Way::Udp => self.by_udp(server, asked).await,
            Way::Tcp => self.by_tcp(server, asked).await,
        }
    }

    /// Each question has a socket, and with it a port that the kernel chooses at random, and hears nobody but the server.
    async fn by_udp(&self, server: SocketAddr, asked: &Sent<'_>) -> io::Result<Vec<u8>> {
        let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(server).await?;
        socket.send(asked.message).await?;
        for _ in 0..MOST_GUESSES {
            loop {
                socket.readable().await?;
                let mut buffer = self.buffer.borrow_mut();
                match socket.try_recv(&mut buffer) {
                    Ok(length) => {
                        let answer = buffer.get(..length).unwrap_or_default();
                        if message::is_answer(answer, asked.id, asked.question) {
                            return Ok(answer.to_vec());
                        }
                        self.stats.unexpected_answers.inc();
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "answers to something else"))
    }

    async fn by_tcp(&self, server: SocketAddr, asked: &Sent<'_>) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&framed(asked.message)).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        if message::is_answer(&answer, asked.id, asked.question) {
            return Ok(answer);
        }
        self.stats.unexpected_answers.inc();
        Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to something else"))
    }
}

/// A question as it was sent.
struct Sent<'a> {
    message: &'a [u8],
    id: u16,
    /// The part of the message that an answer repeats.
    question: &'a [u8],
}

/// With its length before it, as TCP has it. Messages are no longer than that can say.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(message.iter().take(usize::from(length)));
    framed
}

/// One that nobody can guess.
fn number() -> Option<u16> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(u16::from_be_bytes(bytes))
}
