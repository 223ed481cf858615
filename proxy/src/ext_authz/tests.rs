use prost::Message as _;
use serde_json::{Value, json};
use xds_proto::envoy::service::auth::v3::CheckResponse;

use super::*;

fn framed(response: &Value) -> Bytes {
    let pool = xds_proto::descriptor_pool().unwrap();
    let (message, _) = xds_proto::json::from_json::<CheckResponse>(&pool, response).unwrap();
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), &bytes].concat().into()
}

fn grpc_answer(response: &Value) -> Result<Answer, Fault> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    grpc::read(&Response::new(()), &framed(response), Some(&trailers))
}

fn ok_with(header: &Value) -> Result<Answer, Fault> {
    grpc_answer(&json!({"ok_response": {"headers": [{"header": header}]}}))
}

fn request(path: &str) -> RequestHead {
    RequestHead::of_path(path, HeaderMap::new())
}

#[test]
fn an_answer_cannot_frame_or_redirect_a_request() {
    for name in [
        ":path",
        ":method",
        ":authority",
        "host",
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "te",
        "upgrade",
        "x-envoy-internal",
    ] {
        assert!(matches!(ok_with(&json!({"key": name, "value": "1"})), Err(Fault::Invalid(_))), "{name}");
        let removed = grpc_answer(&json!({"ok_response": {"headers_to_remove": [name]}}));
        assert!(matches!(removed, Err(Fault::Invalid(_))), "{name} is removed");
        let told = json!({"status": {"code": 7}, "denied_response": {"headers": [{"header": {"key": name, "value": "1"}}]}});
        assert!(matches!(grpc_answer(&told), Err(Fault::Invalid(_))), "{name} is told");
        let added = json!({"ok_response": {"response_headers_to_add": [{"header": {"key": name, "value": "1"}}]}});
        assert!(matches!(grpc_answer(&added), Err(Fault::Invalid(_))), "{name} is added");
    }
    for (name, value) in [("a b", "1"), ("", "1"), ("x", "a\r\ny: b"), ("x", "\u{0}"), ("x\n", "1")] {
        assert!(matches!(ok_with(&json!({"key": name, "value": value})), Err(Fault::Invalid(_))), "{name:?}: {value:?}");
    }
    assert!(matches!(ok_with(&json!({"key": "x", "value": "a"})), Ok(Answer::Allowed(_))));
}

#[test]
fn parameters_of_an_answer_cannot_leave_the_query() {
    let answer = grpc_answer(&json!({"ok_response": {"query_parameters_to_set": [{"key": "a", "value": "1&b=2#c d\r\n"}]}}));
    let Ok(Answer::Allowed(allowed)) = answer else { panic!("it is allowed") };
    let mut request = request("/p?a=0&z=1");
    assert_eq!(allowed.apply(&mut request), Ok(true));
    assert_eq!(request.path.unwrap().as_str(), "/p?a=1%26b%3D2%23c%20d%0D%0A&z=1");
}

#[test]
fn only_a_whole_message_with_its_status_is_an_answer() {
    let good = framed(&json!({}));
    let with = |status: Option<&'static str>, body: &[u8]| {
        let trailers = status.map(|status| HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]));
        grpc::read(&Response::new(()), &Bytes::copy_from_slice(body), trailers.as_ref())
    };
    assert!(matches!(with(Some("0"), &good), Ok(Answer::Allowed(_))));
    let twice = [&good[..], &good].concat();
    for (status, body) in [
        (None, &good[..]),
        (Some("13"), &good),
        (Some("00"), &good),
        (Some("0"), b""),
        (Some("0"), b"\0\0\0\0"),
        (Some("0"), b"\x01\0\0\0\0"),
        (Some("0"), b"\0\0\0\0\x01"),
        (Some("0"), &twice),
        (Some("0"), b"\0\0\0\0\x03abc"),
    ] {
        assert!(matches!(with(status, body), Err(Fault::NoAnswer(_))), "{status:?} {body:?}");
    }
}

#[test]
fn a_status_that_is_none_is_no_denial() {
    assert!(matches!(grpc_answer(&json!({"status": {"code": 7}, "denied_response": {"status": {"code": 100}}})), Err(Fault::Invalid(_))));
    for code in [-1, 0, 99, 101, 199, 600, 99_999] {
        assert!(matches!(answer::status(code), Err(Fault::Invalid(_))), "{code}");
    }
    assert_eq!(answer::status(200).map(|status| status.as_u16()), Ok(200));
    assert!(matches!(grpc_answer(&json!({"status": {"code": 7}})), Ok(Answer::Denied(denied)) if denied.status == 403));
    let error = grpc_answer(&json!({"error_response": {"body": "later"}}));
    assert!(matches!(error, Err(Fault::Error { status: None, told }) if told.body == "later"));
}
