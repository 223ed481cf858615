use super::*;

use hickory_resolver::proto::rr::rdata::opt::EdnsOption;
use proptest::prelude::*;

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 0x1234;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn with_edns(mut message: Message, version: u8, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_version(version).set_max_payload(payload).set_dnssec_ok(true);
    edns.options_mut().insert(EdnsOption::Unknown(65001, vec![1, 2, 3]));
    message.set_edns(edns);
    message
}

fn host(v4: u8, v6: u8) -> Entry {
    let v4 = (0..v4).map(|at| [10, 0, 0, at].into()).collect();
    let v6 = (0..v6).map(|at| [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(at)].into()).collect();
    Entry { v4, v6, is_of_mesh: true }
}

fn answered(question: &Message, host: &Entry, way: Way) -> (Message, usize) {
    let bytes = answer(&question.to_vec().unwrap(), host, way);
    (Message::from_vec(&bytes).unwrap(), bytes.len())
}

fn question(bytes: &[u8]) -> Question {
    match read(bytes) {
        Received::Question(question) => question,
        other @ (Received::Nothing | Received::Refused(_)) => panic!("{other:?}"),
    }
}

fn refused(bytes: &[u8]) -> ResponseCode {
    match read(bytes) {
        Received::Refused(answer) => {
            assert_eq!((answer.len(), &answer[..2]), (HEADER, &bytes[..2]));
            Message::from_vec(&answer).unwrap().metadata.response_code
        }
        other @ (Received::Nothing | Received::Question(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_question_is_read_and_its_name_is_in_lower_case() {
    let bytes = query("Web.SHOP.", RecordType::A).to_vec().unwrap();
    let read = question(&bytes);
    assert_eq!((read.name.as_deref(), read.end, read.is_for_addresses()), (Some("web.shop"), bytes.len(), true));
    let other = query("web.shop.", RecordType::TXT).to_vec().unwrap();
    assert!(!question(&other).is_for_addresses());
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(question(&chaos.to_vec().unwrap()).name, None);
}

#[test]
fn what_is_no_question_is_refused_or_dropped() {
    let good = query("web.shop.", RecordType::A).to_vec().unwrap();
    for length in 0..HEADER {
        assert!(matches!(read(&good[..length]), Received::Nothing), "{length}");
    }
    for length in HEADER..good.len() {
        assert_eq!(refused(&good[..length]), ResponseCode::FormErr, "{length}");
    }
    let change = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    assert!(matches!(read(&change(2, 0x80)), Received::Nothing), "an answer");
    assert_eq!(refused(&change(2, 5 << 3)), ResponseCode::NotImp, "an update");
    assert_eq!(refused(&change(5, 0)), ResponseCode::FormErr, "no question");
    assert_eq!(refused(&change(5, 2)), ResponseCode::FormErr, "two");
    // A name that refers to itself.
    assert_eq!(refused(&[&good[..HEADER], &[0xc0, 12, 0, 1, 0, 1]].concat()), ResponseCode::FormErr);
    assert_eq!(refused(&query("shop.", RecordType::AXFR).to_vec().unwrap()), ResponseCode::NotImp);
}

#[test]
fn a_host_answers_with_its_addresses_and_exists_without_any() {
    let (reply, _) = answered(&query("Web.shop.", RecordType::A), &host(2, 1), Way::Udp);
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (0x1234, ResponseCode::NoError));
    assert!(reply.metadata.authoritative && reply.metadata.recursion_desired && reply.metadata.recursion_available);
    assert!(!reply.metadata.truncation && reply.edns.is_none());
    let mut addresses: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
    addresses.sort();
    assert_eq!(addresses, ["10.0.0.0", "10.0.0.1"]);
    assert!(reply.answers.iter().all(|record| record.ttl == 30 && record.name.to_ascii() == "Web.shop."));
    let counts = |kind, v4, v6| answered(&query("web.shop.", kind), &host(v4, v6), Way::Udp).0.answers.len();
    assert_eq!(counts(RecordType::AAAA, 2, 1), 1);
    assert_eq!(counts(RecordType::ANY, 2, 1), 3);
    for (kind, v4, v6) in [(RecordType::AAAA, 2, 0), (RecordType::A, 0, 1), (RecordType::TXT, 1, 1), (RecordType::HTTPS, 1, 1)] {
        let (reply, _) = answered(&query("web.shop.", kind), &host(v4, v6), Way::Udp);
        assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0), "{kind}");
    }
}

#[test]
fn an_answer_has_edns_where_the_question_has_it() {
    let (reply, _) = answered(&with_edns(query("web.shop.", RecordType::A), 0, 1400), &host(1, 0), Way::Udp);
    let edns = reply.edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload(), edns.flags().dnssec_ok), (0, OUR_LIMIT, true));
    let (reply, _) = answered(&with_edns(query("web.shop.", RecordType::A), 1, 1400), &host(1, 0), Way::Udp);
    // By number: two codes share it.
    assert_eq!((u16::from(reply.metadata.response_code), reply.answers.len()), (16, 0));
}

#[test]
fn nobody_is_sent_more_than_they_take() {
    let many = host(200, 200);
    for (asked, limit) in [
        (query("web.shop.", RecordType::A), 512),
        (query("web.shop.", RecordType::ANY), 512),
        (with_edns(query("web.shop.", RecordType::AAAA), 0, 1232), 1232),
        (with_edns(query("web.shop.", RecordType::A), 0, 5), 512),
    ] {
        let (reply, length) = answered(&asked, &many, Way::Udp);
        assert!(reply.metadata.truncation && length <= limit && reply.answers.len() > 5, "{length} of {limit}");
        let (reply, _) = answered(&asked, &many, Way::Tcp);
        assert!(!reply.metadata.truncation && reply.answers.len() >= 200);
    }
}

#[test]
fn only_the_answer_to_the_question_is_one() {
    let asked = query("web.shop.", RecordType::A);
    let bytes = asked.to_vec().unwrap();
    let part = &bytes[HEADER..];
    let good = answer(&bytes, &host(1, 0), Way::Udp);
    assert!(is_answer(&good, 0x1234, part));
    assert!(!is_answer(&good, 0x1235, part) && !is_answer(&bytes, 0x1234, part) && !is_answer(&good[..HEADER - 1], 0x1234, part));
    let to = |name, kind| answer(&query(name, kind).to_vec().unwrap(), &host(1, 0), Way::Udp);
    assert!(is_answer(&to("WEB.shop.", RecordType::A), 0x1234, part), "in another case");
    assert!(!is_answer(&to("web.shoq.", RecordType::A), 0x1234, part) && !is_answer(&to("web.shop.", RecordType::AAAA), 0x1234, part));
    // Type 65 and type 97 are not the same letter.
    let https = query("web.shop.", RecordType::HTTPS).to_vec().unwrap();
    assert!(!is_answer(&to("web.shop.", RecordType::Unknown(97)), 0x1234, &https[HEADER..]));
    assert!(is_answer(&error(&bytes, HEADER, ResponseCode::FormErr), 0x1234, part), "who does not understand does not repeat");
    assert!(!is_answer(&error(&bytes, HEADER, ResponseCode::NoError), 0x1234, part));
    assert!(is_failure(&error(&bytes, bytes.len(), ResponseCode::ServFail)) && !is_failure(&good));
}

#[test]
fn an_answer_that_is_too_long_for_its_client_says_only_that() {
    let many = host(200, 0);
    let plain = query("web.shop.", RecordType::A).to_vec().unwrap();
    let long = answer(&plain, &many, Way::Tcp);
    let end = question(&plain).end;
    assert_eq!(bounded(long.clone(), &plain, end, Way::Tcp), long);
    let cut = Message::from_vec(&bounded(long.clone(), &plain, end, Way::Udp)).unwrap();
    assert!(cut.metadata.truncation && cut.answers.is_empty() && cut.queries.len() == 1 && cut.metadata.id == 0x1234);
    let large = with_edns(query("web.shop.", RecordType::A), 0, 4096).to_vec().unwrap();
    assert_eq!(bounded(long.clone(), &large, question(&large).end, Way::Udp), long);
}

#[test]
fn the_same_question_has_the_same_key() {
    let of = |name, kind| {
        let bytes = query(name, kind).to_vec().unwrap();
        key(&bytes[HEADER..])
    };
    assert_eq!(of("Web.Shop.", RecordType::A), of("web.shop.", RecordType::A));
    assert_ne!(of("web.shop.", RecordType::HTTPS), of("web.shop.", RecordType::Unknown(97)));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(start in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let good = with_edns(query("web.shop.", RecordType::A), 0, 1232).to_vec().unwrap();
        let start = [0, HEADER, good.len()][start];
        let bytes = [&good[..start], &bytes].concat();
        if let Received::Question(question) = read(&bytes) {
            let reply = answer(&bytes, &host(3, 3), Way::Udp);
            prop_assert!(reply.len() >= HEADER && reply[..2] == bytes[..2]);
            prop_assert!(question.end <= bytes.len());
            bounded(reply, &bytes, question.end, Way::Udp);
        }
        is_answer(&bytes, 0x1234, &good[HEADER..]);
        bounded(vec![0; 600], &bytes, bytes.len(), Way::Udp);
    }
}
