//! Only the header and the question of a message are looked at here, unless the answer is made here: the rest is passed on as it came.

use hickory_resolver::proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable as _, BinDecoder};

use crate::dns::book::Entry;

/// Length of a header (RFC 1035, section 4.1.1).
pub(super) const HEADER: usize = 12;
/// What everybody takes by UDP (RFC 1035, section 4.2.1).
const SMALLEST_LIMIT: usize = 512;
/// By TCP, whose messages begin with their length in two bytes.
const LARGEST: usize = 65_535;
/// What we say that we take by UDP: it passes everywhere unfragmented (RFC 9715).
const OUR_LIMIT: u16 = 1232;
/// As Istio: whoever keeps an answer has a change soon.
const TTL: u32 = 30;
/// More of one host are in no answer.
const MOST_ADDRESSES: usize = 1000;

/// How a message came, and how its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Udp,
    Tcp,
}

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    /// There is no answer to that: too short, or an answer itself.
    Nothing,
    /// This is the answer to it.
    Refused(Vec<u8>),
    Question(Question),
}

/// A question that can be answered.
#[derive(Debug)]
pub(super) struct Question {
    /// In lower case, without a dot at the end; `None` for one that no host has.
    pub(super) name: Option<String>,
    kind: RecordType,
    /// Where in the message it ends.
    pub(super) end: usize,
}

impl Question {
    /// For a host's addresses, or for what would say where a host is instead of them.
    pub(super) fn is_for_addresses(&self) -> bool {
        [RecordType::A, RecordType::AAAA, RecordType::ANY, RecordType::HTTPS, RecordType::SVCB].contains(&self.kind)
    }
}

/// Reads what a client sent.
pub(super) fn read(bytes: &[u8]) -> Received {
    let mut decoder = BinDecoder::new(bytes);
    let Ok(header) = Header::read(&mut decoder) else { return Received::Nothing };
    if header.metadata.message_type == MessageType::Response {
        return Received::Nothing;
    }
    let refuse = |code| Received::Refused(error(bytes, HEADER, code));
    if header.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    if header.counts.queries != 1 {
        return refuse(ResponseCode::FormErr);
    }
    let Ok(query) = Query::read(&mut decoder) else { return refuse(ResponseCode::FormErr) };
    let kind = query.query_type();
    // The answer would be many messages.
    if [RecordType::AXFR, RecordType::IXFR].contains(&kind) {
        return refuse(ResponseCode::NotImp);
    }
    let is_internet = [DNSClass::IN, DNSClass::ANY].contains(&query.query_class());
    let name = Some(query.name()).filter(|_| is_internet).and_then(host);
    Received::Question(Question { name, kind, end: decoder.index() })
}

fn host(name: &Name) -> Option<String> {
    let mut text = String::new();
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        let label = std::str::from_utf8(label).ok().filter(|label| label.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.'))?;
        text.push_str(&label.to_ascii_lowercase());
    }
    Some(text)
}

/// An answer that says only what is wrong, with the question up to `end`.
pub(super) fn error(question: &[u8], end: usize, code: ResponseCode) -> Vec<u8> {
    let byte = |at: usize| question.get(at).copied().unwrap_or_default();
    let count = u8::from(end > HEADER);
    // A response with the same operation and the same wish for recursion, which there is; CD as it came.
    let flags = [0x80 | (byte(2) & 0x79), 0x80 | (byte(3) & 0x10) | code.low()];
    let mut answer = vec![byte(0), byte(1)];
    answer.extend(flags);
    answer.extend([0, count, 0, 0, 0, 0, 0, 0]);
    answer.extend(question.get(HEADER..end).unwrap_or_default());
    answer
}

/// The answer to a question for a host that is known. It has no address of a kind that the host has none of, and still exists.
pub(super) fn answer(question: &[u8], host: &Entry, way: Way) -> Vec<u8> {
    let Ok(asked) = Message::from_vec(question) else { return error(question, HEADER, ResponseCode::FormErr) };
    let mut reply = Message::response(asked.metadata.id, OpCode::Query);
    reply.metadata = Metadata::response_from_request(&asked.metadata);
    reply.metadata.authoritative = true;
    reply.metadata.recursion_available = true;
    if let Some(asked) = &asked.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(OUR_LIMIT).set_dnssec_ok(asked.flags().dnssec_ok);
        reply.edns = Some(edns);
    }
    if asked.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        reply.metadata.response_code = ResponseCode::BADVERS;
    } else if let Some(query) = asked.queries.first() {
        let mut records = records(host, query);
        // Whoever takes the first takes another one each time.
        fastrand::shuffle(&mut records);
        records.truncate(MOST_ADDRESSES);
        reply.answers = records;
    }
    let limit = if way == Way::Tcp { LARGEST } else { limit_of(&asked) };
    reply.queries = asked.queries;
    fitted(reply, limit).unwrap_or_else(|| error(question, HEADER, ResponseCode::ServFail))
}

fn records(host: &Entry, query: &Query) -> Vec<Record> {
    let kind = query.query_type();
    let wants = |one| kind == one || kind == RecordType::ANY;
    let v4 = host.v4.iter().filter(|_| wants(RecordType::A)).map(|address| RData::A(A(*address)));
    let v6 = host.v6.iter().filter(|_| wants(RecordType::AAAA)).map(|address| RData::AAAA(AAAA(*address)));
    v4.chain(v6).map(|data| Record::from_rdata(query.name().clone(), TTL, data)).collect()
}

/// As many addresses as the client takes, and a note if there are more.
fn fitted(mut reply: Message, limit: usize) -> Option<Vec<u8>> {
    let whole = reply.to_vec().ok()?;
    if whole.len() <= limit {
        return Some(whole);
    }
    reply.metadata.truncation = true;
    let mut records = std::mem::take(&mut reply.answers);
    let bare = reply.to_vec().ok()?.len();
    // On average: addresses of both families differ in length.
    let each = whole.len().saturating_sub(bare).div_ceil(records.len().max(1)).max(1);
    records.truncate(limit.saturating_sub(bare) / each);
    reply.answers = records;
    loop {
        let cut = reply.to_vec().ok()?;
        if cut.len() <= limit || reply.answers.pop().is_none() {
            return Some(cut);
        }
    }
}

fn limit_of(question: &Message) -> usize {
    question.edns.as_ref().map_or(SMALLEST_LIMIT, |edns| usize::from(edns.max_payload()).max(SMALLEST_LIMIT))
}

/// Whether it answers the question that was sent with this number.
pub(super) fn is_answer(answer: &[u8], id: u16, question: &[u8]) -> bool {
    let Ok(Header { metadata, counts }) = Header::read(&mut BinDecoder::new(answer)) else { return false };
    if metadata.id != id || metadata.message_type != MessageType::Response || metadata.op_code != OpCode::Query {
        return false;
    }
    if counts.queries == 0 {
        // Servers that do not understand a question do not repeat it.
        return metadata.response_code != ResponseCode::NoError && counts.answers == 0 && counts.authorities == 0;
    }
    let repeated = answer.get(HEADER..).and_then(|rest| rest.get(..question.len()));
    counts.queries == 1 && repeated.is_some_and(|repeated| is_same(repeated, question))
}

/// Names are the same in upper and lower case; the last four bytes are type and class.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let split = |bytes: &[u8]| bytes.len().saturating_sub(4);
    match (one.split_at_checked(split(one)), other.split_at_checked(split(other))) {
        (Some((name, kind)), Some((other_name, other_kind))) => name.eq_ignore_ascii_case(other_name) && kind == other_kind,
        _ => false,
    }
}

/// What is the same for all who ask the same.
pub(super) fn key(question: &[u8]) -> Vec<u8> {
    let mut key = question.to_vec();
    let name = key.len().saturating_sub(4);
    if let Some(name) = key.get_mut(..name) {
        name.make_ascii_lowercase();
    }
    key
}

/// Whether another server may know better: this one did not say anything about the name.
pub(super) fn is_failure(answer: &[u8]) -> bool {
    // SERVFAIL, NOTIMP, REFUSED: the C library goes on to the next server, too.
    answer.get(3).is_some_and(|byte| [2, 4, 5].contains(&(byte & 0x0f)))
}

/// An answer as the client takes it: one that is too long for it only says so.
pub(super) fn bounded(answer: Vec<u8>, question: &[u8], end: usize, way: Way) -> Vec<u8> {
    if way == Way::Tcp || answer.len() <= SMALLEST_LIMIT {
        return answer;
    }
    let limit = Message::from_vec(question).map_or(SMALLEST_LIMIT, |asked| limit_of(&asked));
    if answer.len() <= limit {
        return answer;
    }
    let byte = |at: usize| answer.get(at).copied().unwrap_or_default();
    let mut cut = vec![byte(0), byte(1), byte(2) | 0x02, byte(3), 0, 1, 0, 0, 0, 0, 0, 0];
    cut.extend(question.get(HEADER..end).unwrap_or_default());
    cut
}

/// With another number.
pub(super) fn renumber(message: &mut [u8], id: u16) {
    if let Some(first) = message.first_chunk_mut::<2>() {
        *first = id.to_be_bytes();
    }
}

/// Its number.
pub(super) fn id(message: &[u8]) -> u16 {
    message.first_chunk::<2>().copied().map_or(0, u16::from_be_bytes)
}

#[cfg(test)]
mod tests;
