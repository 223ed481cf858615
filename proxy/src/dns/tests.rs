use super::*;

use std::cell::RefCell;

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::config::names::{Host, Names, Service};

/// Far more than anything takes here.
const LIMIT: Duration = Duration::from_secs(20);

fn question(name: &str, id: u16) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = id;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    // Nobody here knows this option, and the flags are unusual.
    let opt = [0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 7, 0xfd, 0xe9, 0, 3, 1, 2, 3];
    let mut bytes = [message.to_vec().unwrap(), opt.to_vec()].concat();
    bytes[11] = 1;
    bytes[3] |= 0x30;
    bytes
}

/// As a resolver answers: with other flags, and with what nobody here understands.
fn reply(question: &[u8]) -> Vec<u8> {
    let mut reply = question.to_vec();
    reply[2] |= 0x80;
    reply[3] |= 0xa0;
    reply.extend(b"\xc0\x0cwhatever it is");
    reply
}

/// A resolver that does `act` with every datagram and the one who sent it, and answers by TCP.
async fn resolver(act: impl Fn(&UdpSocket, &[u8], SocketAddr) + 'static) -> (SocketAddr, OwnedTask, OwnedTask) {
    let (socket, address, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        // Something else may have the port of the other kind.
        if let Ok(listener) = TcpListener::bind(address).await {
            break (socket, address, listener);
        }
    };
    let udp = OwnedTask::spawn(async move {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            act(&socket, &bytes[..length], from);
        }
    });
    let tcp = OwnedTask::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&resolver::framed(&reply(&bytes))).await.unwrap();
        }
    });
    (address, udp, tcp)
}

struct Running {
    serving: Serving,
    book: Rc<Book>,
    stats: Arc<DnsStats>,
}

async fn run(resolvers: &[SocketAddr]) -> Running {
    let addresses = vec!["127.0.0.1:0".parse().unwrap()];
    let service = NameService { addresses, are_given: true, resolvers: resolvers.to_vec() };
    let (book, stats) = (Rc::new(Book::new("shop")), Arc::<DnsStats>::default());
    let serving = open(&service, Rc::clone(&book), Arc::clone(&stats)).await.unwrap();
    Running { serving, book, stats }
}

impl Running {
    fn tell(&self) {
        let service = Some(Service { name: "web".to_owned(), namespace: "shop".to_owned() });
        let host = Host { addresses: vec!["10.0.0.1".parse().unwrap()], service };
        let names = Arc::new(Names { hosts: vec![("web.shop.svc.cluster.local".to_owned(), host)], own: None });
        self.book.tell(1, [("web.shop", &names)].into_iter());
    }

    async fn by_udp(&self, question: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.serving.addresses[0]).await.unwrap();
        socket.send(question).await.unwrap();
        let mut bytes = [0; 4096];
        let length = tokio::time::timeout(LIMIT, socket.recv(&mut bytes)).await.unwrap().unwrap();
        bytes[..length].to_vec()
    }

    async fn by_tcp(&self, question: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.serving.addresses[0]).await.unwrap();
        stream.write_all(&resolver::framed(question)).await.unwrap();
        let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }
}

fn here(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async { tokio::time::timeout(LIMIT, test).await.unwrap() });
}

fn code(answer: &[u8]) -> u8 {
    answer[3] & 0x0f
}

#[test]
fn hosts_of_the_mesh_are_answered_and_all_else_is_passed_on_as_it_is() {
    here(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let seen_there = Rc::clone(&seen);
        let (address, _udp, _tcp) = resolver(move |socket, bytes, from| {
            seen_there.borrow_mut().push(bytes.to_vec());
            socket.try_send_to(&reply(bytes), from).unwrap();
        })
        .await;
        let running = run(&[address]).await;
        running.tell();
        for name in ["web.", "Web.Shop.", "web.shop.svc.cluster.local."] {
            for bytes in [running.by_udp(&question(name, 7)).await, running.by_tcp(&question(name, 7)).await] {
                let answer = Message::from_vec(&bytes).unwrap();
                assert_eq!((answer.metadata.id, answer.answers[0].data.to_string().as_str()), (7, "10.0.0.1"), "{name}");
            }
        }
        assert!(seen.borrow().is_empty());
        let asked = question("Example.com.", 0x4242);
        assert_eq!(running.by_udp(&asked).await, reply(&asked), "every byte, and the number is the client's");
        assert_eq!(running.by_tcp(&asked).await, reply(&asked));
        let sent = seen.borrow()[0].clone();
        assert_eq!(sent[2..], asked[2..]);
        assert_eq!((running.stats.answered.value(), running.stats.passed_on.value()), (6, 2));
        assert_eq!((running.stats.questions_udp.value(), running.stats.questions_tcp.value()), (4, 4));
        assert_eq!(running.stats.questions_active.value(), 0);
    });
}

#[test]
fn answers_to_something_else_are_not_taken() {
    here(async {
        let (address, _udp, _tcp) = resolver(|socket, bytes, from| {
            let good = reply(bytes);
            let (mut other_id, mut other_name) = (good.clone(), good.clone());
            other_id[1] ^= 1;
            other_name[13] ^= 1;
            for answer in [&other_id, &other_name, &bytes.to_vec(), &b"x".to_vec(), &good] {
                socket.try_send_to(answer, from).unwrap();
            }
        })
        .await;
        let running = run(&[address]).await;
        running.tell();
        let asked = question("example.com.", 1);
        assert_eq!(running.by_udp(&asked).await, reply(&asked));
        assert_eq!(running.stats.unexpected_answers.value(), 4);
    });
}

#[test]
fn who_guesses_does_not_get_many_tries() {
    here(async {
        let ports = Rc::new(RefCell::new(std::collections::BTreeSet::new()));
        let ports_there = Rc::clone(&ports);
        let (address, _udp, _tcp) = resolver(move |socket, bytes, from| {
            ports_there.borrow_mut().insert(from.port());
            for guess in 1..=100 {
                let mut answer = reply(bytes);
                answer[1] = answer[1].wrapping_add(guess);
                socket.try_send_to(&answer, from).unwrap();
            }
        })
        .await;
        let running = run(&[address]).await;
        running.tell();
        assert_eq!(code(&running.by_udp(&question("example.com.", 1)).await), 2);
        assert_eq!((ports.borrow().len(), running.stats.unexpected_answers.value()), (2, 32));
        assert_eq!(running.stats.passed_on_failure.value(), 1);
    });
}

#[test]
fn the_next_resolver_is_asked_when_one_fails() {
    here(async {
        let refuses = |socket: &UdpSocket, bytes: &[u8], from| {
            let mut answer = reply(bytes);
            answer[3] |= 5;
            socket.try_send_to(&answer, from).unwrap();
        };
        let (refusing, _udp, _tcp) = resolver(refuses).await;
        let (good, _udp2, _tcp2) = resolver(|socket, bytes, from| drop(socket.try_send_to(&reply(bytes), from))).await;
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let asked = question("example.com.", 1);
        let running = run(&[closed, refusing, good]).await;
        running.tell();
        assert_eq!(running.by_udp(&asked).await, reply(&asked));
        assert_eq!(running.by_tcp(&asked).await, reply(&asked));
        let alone = run(&[refusing, closed]).await;
        alone.tell();
        assert_eq!(code(&alone.by_udp(&asked).await), 5, "as it was said");
        let nobody = run(&[closed]).await;
        nobody.tell();
        assert_eq!((code(&nobody.by_udp(&asked).await), code(&nobody.by_tcp(&asked).await)), (2, 2));
        assert_eq!(nobody.stats.passed_on_failure.value(), 2);
    });
}

#[test]
fn a_question_that_comes_back_goes_no_further() {
    here(async {
        let to: Rc<Cell<Option<SocketAddr>>> = Rc::default();
        let back = Rc::clone(&to);
        // As a rule of the kernel would, it sends back what comes.
        let (address, _udp, _tcp) = resolver(move |socket, bytes, from| {
            let Some(own) = back.get() else { return };
            if from != own {
                socket.try_send_to(bytes, own).unwrap();
            }
        })
        .await;
        let running = run(&[address]).await;
        running.tell();
        to.set(Some(running.serving.addresses[0]));
        let asked = question("example.com.", 1);
        let mut asking = std::pin::pin!(running.by_udp(&asked));
        while running.stats.came_back.value() == 0 {
            tokio::select! {
                biased;
                _ = &mut asking => panic!("nobody answers"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!((running.stats.came_back.value(), running.stats.questions_active.value()), (1, 1));
    });
}

#[test]
fn questions_wait_for_the_control_planes_first_word() {
    here(async {
        let running = run(&[]).await;
        let question = question("web.", 1);
        let asking = async { tokio::join!(running.by_udp(&question), running.by_tcp(&question)) };
        let telling = async {
            while running.stats.questions_active.value() < 2 {
                tokio::task::yield_now().await;
            }
            running.tell();
        };
        let ((udp, tcp), ()) = tokio::join!(asking, telling);
        for answer in [udp, tcp] {
            assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 1);
        }
    });
}

#[test]
fn nothing_that_is_sent_keeps_it_from_serving() {
    here(async {
        let running = run(&[]).await;
        running.tell();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let good = question("web.", 1);
        for length in 0..good.len() {
            socket.send_to(&good[..length], running.serving.addresses[0]).await.unwrap();
        }
        // Connections that say nothing, half of something, and what is no question.
        let mut open = Vec::new();
        for bytes in [b"".as_slice(), b"\x00", b"\xff\xffx", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00"] {
            let mut stream = TcpStream::connect(running.serving.addresses[0]).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            open.push(stream);
        }
        for _ in 0..200 {
            open.push(TcpStream::connect(running.serving.addresses[0]).await.unwrap());
        }
        while running.stats.connections_overflow.value() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(Message::from_vec(&running.by_udp(&good).await).unwrap().answers.len(), 1);
        drop(open);
        while running.stats.connections_active.value() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(Message::from_vec(&running.by_tcp(&good).await).unwrap().answers.len(), 1);
        assert!(running.stats.malformed.value() >= 20);
    });
}
