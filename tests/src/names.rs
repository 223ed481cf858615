//! A name server whose answers a case changes while the proxy asks.

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::eventually::eventually;

/// How long a proxy may take to ask again.
const ASKED_LIMIT: Duration = Duration::from_secs(5);

/// IPv4 addresses by name; a name without addresses does not exist.
pub type Answers = BTreeMap<String, Vec<Ipv4Addr>>;

/// Answers over UDP until dropped.
pub struct Names {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

struct State {
    answers: Answers,
    /// Questions for IPv4 addresses since the last change, by name.
    asked: BTreeMap<String, usize>,
}

impl Names {
    /// Starts with these answers.
    pub async fn start(answers: Answers) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let port = socket.local_addr()?.port();
        let state = Arc::new(Mutex::new(State { answers, asked: BTreeMap::new() }));
        let mut serving = JoinSet::new();
        serving.spawn(serve(socket, Arc::clone(&state)));
        Ok(Self { port, state, _serving: serving })
    }

    /// From now on answers so. Returns when the proxy has asked twice for each name since: it has used the first answer by then.
    pub async fn change(&self, answers: &Answers) -> Result<(), String> {
        let lock = || self.state.lock().expect("no panic while locked");
        *lock() = State { answers: answers.clone(), asked: BTreeMap::new() };
        let all_asked = |state: &State| state.answers.keys().all(|name| state.asked.get(name).is_some_and(|times| *times > 1));
        let asked = eventually(ASKED_LIMIT, || async { all_asked(&lock()).then_some(()) }).await;
        asked.ok_or_else(|| "the proxy does not ask for its names again".to_owned())
    }
}

async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut bytes = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
        let Some(reply) = bytes.get(..length).and_then(|question| reply(question, &state)) else { continue };
        let _ = socket.send_to(&reply, from).await;
    }
}

fn reply(question: &[u8], state: &Mutex<State>) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?;
    let name = query.name().to_utf8().trim_end_matches('.').to_ascii_lowercase();
    let mut state = state.lock().expect("no panic while locked");
    let addresses = state.answers.get(&name).cloned().unwrap_or_default();
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    if addresses.is_empty() {
        reply.metadata.response_code = ResponseCode::NXDomain;
    } else if query.query_type() == RecordType::A {
        // Without a time to live: a resolver that keeps answers would not see the change.
        reply.add_answers(addresses.iter().map(|address| Record::from_rdata(query.name().clone(), 0, RData::A(A(*address)))));
    }
    if query.query_type() == RecordType::A {
        *state.asked.entry(name).or_default() += 1;
    }
    reply.to_vec().ok()
}
