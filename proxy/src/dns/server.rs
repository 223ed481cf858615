use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::dns::message::Way;
use crate::dns::resolver::framed;
use crate::dns::{AtOnce, Dns};
use crate::task::{OwnedTask, spawn_bounded_by_connection};

/// A connection on which nothing is asked for so long is closed, and so is one whose client does not take its answer (RFC 7766: some
/// seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Connections that may be open.
const MOST_CONNECTIONS: usize = 128;
/// After an error that would come again at once.
const BREATH: Duration = Duration::from_millis(10);
/// The largest message.
const LARGEST: usize = 65_535;
/// Ports that the system may choose in vain.
const MOST_CHOSEN: u8 = 16;

/// Both sockets of an address.
pub(super) struct Opened {
    pub(super) address: SocketAddr,
    datagrams: UdpSocket,
    connections: TcpListener,
}

pub(super) async fn open(wanted: SocketAddr) -> io::Result<Opened> {
    let mut chosen = 0_u8;
    loop {
        let datagrams = UdpSocket::bind(wanted).await?;
        let address = datagrams.local_addr()?;
        match TcpListener::bind(address).await {
            Ok(connections) => return Ok(Opened { address, datagrams, connections }),
            // Port 0 is for tests: both have the one that the system chose, unless something else has it for connections.
            Err(error) if wanted.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && chosen < MOST_CHOSEN => {
                chosen = chosen.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether this machine does not have the address, or not even its family.
pub(super) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

pub(super) fn serve(opened: Opened, dns: &Rc<Dns>) -> [OwnedTask; 2] {
    let (for_udp, for_tcp) = (Rc::clone(dns), Rc::clone(dns));
    [OwnedTask::spawn(udp(Rc::new(opened.datagrams), for_udp)), OwnedTask::spawn(tcp(opened.connections, for_tcp))]
}

async fn udp(socket: Rc<UdpSocket>, dns: Rc<Dns>) {
    let mut buffer = vec![0; LARGEST];
    loop {
        // Gives way to others now and then, however many questions there are: this call is counted, a look at what is readable is not.
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                dns.stats.questions_udp.inc();
                datagram(&socket, &dns, buffer.get(..length).unwrap_or_default(), from);
            }
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be read");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn datagram(socket: &Rc<UdpSocket>, dns: &Rc<Dns>, bytes: &[u8], from: SocketAddr) {
    match dns.at_once(bytes, Way::Udp) {
        AtOnce::Nothing => {}
        AtOnce::Answer(answer) => send(socket, &answer, from),
        AtOnce::Later(waiting) => {
            let (socket, dns, bytes) = (Rc::clone(socket), Rc::clone(dns), bytes.to_vec());
            // Bounded by the resolver: it has its place already, for so long.
            spawn_bounded_by_connection(async move {
                if let Some(answer) = dns.later(&bytes, Way::Udp, &waiting).await {
                    send(&socket, &answer, from);
                }
            });
        }
    }
}

/// A datagram that does not fit into the queue is lost as others are on their way.
fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(answer, to) {
        tracing::debug!(%to, %error, "an answer could not be sent");
    }
}

async fn tcp(listener: TcpListener, dns: Rc<Dns>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let Some(open) = Open::enter(&dns) else {
            dns.stats.connections_overflow.inc();
            continue;
        };
        spawn_bounded_by_connection(async move {
            if let Err(error) = connection(stream, &open.0).await {
                tracing::debug!(%error, "a connection with questions ended");
            }
        });
    }
}

/// A connection, counted.
struct Open(Rc<Dns>);

impl Open {
    fn enter(dns: &Rc<Dns>) -> Option<Self> {
        let count = dns.connections.get();
        if count >= MOST_CONNECTIONS {
            return None;
        }
        dns.connections.set(count.saturating_add(1));
        dns.stats.connections_active.inc();
        Some(Self(Rc::clone(dns)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get().saturating_sub(1));
        self.0.stats.connections_active.dec();
    }
}

/// One question after the other: answers come in the order of the questions, which clients may count on.
async fn connection(mut stream: TcpStream, dns: &Dns) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let bytes = timeout(IDLE, read(&mut stream)).await??;
        dns.stats.questions_tcp.inc();
        let answer = match dns.at_once(&bytes, Way::Tcp) {
            AtOnce::Nothing => None,
            AtOnce::Answer(answer) => Some(answer),
            AtOnce::Later(waiting) => dns.later(&bytes, Way::Tcp, &waiting).await,
        };
        // What is no question at all is not spoken with.
        let Some(answer) = answer else { return Ok(()) };
        timeout(IDLE, stream.write_all(&framed(&answer))).await??;
    }
}

/// It grows as it comes: a length is only what somebody says.
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = Vec::new();
    stream.take(length.into()).read_to_end(&mut bytes).await?;
    if bytes.len() < usize::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}
