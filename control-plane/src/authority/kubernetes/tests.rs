use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::store::embedded::tests::Folder;
use crate::task::OwnedTask;

/// The header and claims of a token, and what stands for a signature.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";

type Heard = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server that gives this answer; what it heard, and what keeps it.
struct Answering {
    accounts: ServiceAccounts,
    heard: Heard,
    folder: Folder,
    _task: OwnedTask,
}

async fn cluster(status: StatusCode, answer: Value) -> Answering {
    let (folder, heard) = (Folder::new(), Heard::default());
    std::fs::create_dir_all(folder.path()).unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.path().join("ca.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("token"), "ours\n").unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hears = Arc::clone(&heard);
    let serves = async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let service = service_fn(|request: Request<Incoming>| {
                let (hears, answer) = (Arc::clone(&hears), answer.to_string());
                async move {
                    let (head, body) = request.into_parts();
                    let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
                    let bearer = head.headers["authorization"].to_str().unwrap().to_owned();
                    hears.lock().unwrap().push((format!("{} {} {bearer}", head.method, head.uri), body));
                    Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::from(answer))).unwrap())
                }
            });
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        }
    };
    let at = Cluster { host: "127.0.0.1".to_owned(), port, credentials: folder.path().to_owned() };
    Answering { accounts: ServiceAccounts::new(at, "ninon"), heard, folder, _task: OwnedTask::spawn(serves) }
}

fn review(status: &Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status})
}

fn good() -> Value {
    json!({
        "authenticated": true, "audiences": ["ninon"],
        "user": {"username": "system:serviceaccount:shop:cart", "uid": "1", "groups": ["system:serviceaccounts"]},
    })
}

#[tokio::test]
async fn the_api_server_says_whose_a_token_is() {
    let answering = cluster(StatusCode::CREATED, review(&good())).await;
    let accounts = &answering.accounts;
    let caller = accounts.authenticate(TOKEN, "cluster.local").await.unwrap();
    assert_eq!(caller.identity.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!((caller.workload.clone(), caller.by.to_string()), (None, "service account shop/cart".to_owned()));
    accounts.take(&caller, "0a").await.unwrap();
    let asked = answering.heard.lock().unwrap();
    let [(line, body)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(line, "POST /apis/authentication.k8s.io/v1/tokenreviews Bearer ours");
    assert_eq!(body["spec"], json!({"token": TOKEN, "audiences": ["ninon"]}));
}

#[tokio::test]
async fn what_the_api_server_does_not_say_is_not_taken_for_said() {
    let with = |field: &str, value: Value| {
        let mut status = good();
        status[field] = value;
        status
    };
    let of = |name: &str| with("user", json!({"username": name}));
    let long = format!("system:serviceaccount:a:{}\n", "b".repeat(100_000));
    let unknown = [
        (with("authenticated", json!(false)), "Kubernetes does not take the token for good"),
        (with("authenticated", Value::Null), "Kubernetes does not take the token for good"),
        (json!({"authenticated": false, "error": "of our own"}), "Kubernetes does not take the token for good"),
        (with("audiences", Value::Null), "the token is not for the audience \"ninon\""),
        (with("audiences", json!(["https://kubernetes.default.svc"])), "the token is not for the audience \"ninon\""),
    ];
    let others = [
        (with("user", Value::Null), "the token is of \"\", which is no service account"),
        (of("admin"), "the token is of \"admin\", which is no service account"),
        (of("system:serviceaccount:shop"), "which is no service account"),
        (of("system:serviceaccount:shop:cart:x"), "which is no service account"),
        (of("system:serviceaccount:ninon-system:ninon"), "ninon-system/ninon is the control plane, and nobody else"),
        (of("system:serviceaccount:shop:ca/rt"), "the service account \"system:serviceaccount:shop:ca/rt\" is nobody here"),
        (of("system:serviceaccount::cart"), "the service account \"system:serviceaccount::cart\" is nobody here"),
        (of(&long), "is nobody here"),
    ];
    let refused = async |status: &Value| {
        let answering = cluster(StatusCode::CREATED, review(status)).await;
        answering.accounts.authenticate(TOKEN, "cluster.local").await.unwrap_err()
    };
    for (status, why) in unknown {
        assert_eq!(refused(&status).await, Refused::Unauthenticated(why.to_owned()), "{status}");
    }
    for (status, why) in others {
        let told = refused(&status).await;
        assert!(matches!(&told, Refused::Denied(told) if told.contains(why) && told.len() < 600), "{status}: {told:?}");
    }
}

#[tokio::test]
async fn without_an_answer_nobody_is_let_in_and_nobody_is_told_that_he_lies() {
    let denied = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no tokenreviews"});
    for (status, answer, why) in [
        (StatusCode::FORBIDDEN, denied, "no tokenreviews"),
        (StatusCode::INTERNAL_SERVER_ERROR, json!("x"), "it answers 500"),
        (
            StatusCode::CREATED,
            json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": {}}),
            "says nothing",
        ),
        (StatusCode::CREATED, json!([]), "makes no sense"),
        (StatusCode::CREATED, json!("x".repeat(100_000)), "makes no sense"),
    ] {
        let answering = cluster(status, answer).await;
        let told = answering.accounts.review(TOKEN).await.unwrap_err();
        assert!(told.contains(why) && told.len() < 400, "{told:?}");
        assert_eq!(answering.accounts.authenticate(TOKEN, "cluster.local").await, Err(in_vain()));
    }
}

/// What strangers are told of it.
fn in_vain() -> Refused {
    Refused::Unavailable("the Kubernetes API server was asked about the token in vain; try again later".to_owned())
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    for name in ["ca.crt", "token"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let at = Cluster { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port(), credentials: folder.path().to_owned() };
    let accounts = ServiceAccounts::new(at, "ninon");
    assert_eq!(accounts.review(TOKEN).await.unwrap_err(), "no answer within 5s");
    // Nor are those waited for who ask before.
    let _turns = accounts.turns.acquire_many(64).await.unwrap();
    assert_eq!(accounts.review(TOKEN).await.unwrap_err(), "too many others are being asked about");
    assert_eq!(accounts.authenticate(TOKEN, "cluster.local").await, Err(in_vain()));
}

#[tokio::test]
async fn an_address_of_ipv6_is_told_from_its_port() {
    let at = |host: &str| Cluster { host: host.to_owned(), port: 443, credentials: PathBuf::new() }.authority();
    assert_eq!((at("fd00::1"), at("kubernetes.default.svc")), ("[fd00::1]:443".to_owned(), "kubernetes.default.svc:443".to_owned()));
}

#[tokio::test]
async fn who_cannot_be_asked_lets_nobody_in() {
    let answering = cluster(StatusCode::CREATED, review(&good())).await;
    let refused = async |why: &str| {
        let told = answering.accounts.review(TOKEN).await.unwrap_err();
        assert!(told.contains(why), "{why}: {told:?}");
        assert_eq!(answering.accounts.authenticate(TOKEN, "cluster.local").await, Err(in_vain()));
    };
    let (token, ca) = (answering.folder.path().join("token"), answering.folder.path().join("ca.crt"));
    std::fs::write(&token, "a\nb").unwrap();
    refused("the token of this pod is none").await;
    std::fs::remove_file(&token).unwrap();
    refused("/token: No such file").await;
    std::fs::write(&token, "ours").unwrap();
    // Another one in its place.
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&ca, other.cert.pem()).unwrap();
    refused("TLS with 127.0.0.1:").await;
    std::fs::write(&ca, "nothing").unwrap();
    refused("TLS with 127.0.0.1:").await;
    assert_eq!(answering.heard.lock().unwrap().len(), 0, "the token is shown to nobody else");
    let nowhere = Cluster { host: "127.0.0.1".to_owned(), port: 1, credentials: answering.folder.path().to_owned() };
    let told = ServiceAccounts::new(nowhere, "ninon").review(TOKEN).await.unwrap_err();
    assert!(told.contains("connecting to 127.0.0.1:1: "), "{told}");
}

#[tokio::test]
async fn a_token_is_known_by_its_form() {
    let answering = cluster(StatusCode::CREATED, review(&good())).await;
    let accounts = &answering.accounts;
    assert!(accounts.knows(TOKEN));
    for other in
        ["", "eyJ", "eyJ.a", "eyJ.a.b.c", "eyJ..b", "eyJ.a.b=", "ninon-join-00.11", &TOKEN[1..], &format!("{TOKEN}{}", "a".repeat(LONGEST))]
    {
        assert!(!accounts.knows(other), "{other}");
    }
}
