//! TLS: half a ClientHello, one that never ends, one in pieces, handshakes left alone, plain text where TLS is due.

use crate::arena::{Arena, Setup, arena};
use crate::raw::{LONG, end, open, stream};
use ninon_tests::bootstrap::Places;
use ninon_tests::wire::Wire;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const TLS: &str = "{listener_filters: [tls_inspector], listener: {listener_filters_timeout: 0.3s}, chain: {transport_socket_connect_timeout: 0.3s, \
                   transport_socket: {name: tls, typed_config: {\
                   '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, \
                   common_tls_context: {alpn_protocols: [h2, http/1.1], tls_certificates: [{certificate_chain: {inline_string: '{{certificate}}'}, \
                   private_key: {inline_string: '{{key}}'}}]}}}}}";

fn certified() -> Setup {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    // Line ends as JSON spells them: the places are filled into JSON.
    let spelled = |pem: String| pem.replace('\n', "\\n");
    let places =
        Places::from([("certificate".to_owned(), spelled(made.cert.pem())), ("key".to_owned(), spelled(made.signing_key.serialize_pem()))]);
    Setup { config: TLS, places, ..Setup::default() }
}

fn tls(test: impl AsyncFnOnce(&mut Arena)) {
    arena(certified(), test);
}

/// A record header that promises a ClientHello of `length` bytes, with `inner` as the handshake's own length.
fn hello(length: u16, inner: u32) -> Vec<u8> {
    let inner = inner.to_be_bytes();
    [&[22, 3, 1][..], &length.to_be_bytes(), &[1, inner[1], inner[2], inner[3], 3, 3]].concat()
}

#[test]
fn half_a_client_hello() {
    tls(async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut all: Vec<Wire> = Vec::new();
                for _ in 0..100 {
                    let mut wire = open(port).await;
                    wire.send(&hello(512, 508)).await;
                    all.push(wire);
                }
                for wire in &mut all {
                    end(wire).await;
                }
            })
            .await;
    });
}

#[test]
fn nothing_at_all() {
    tls(async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut all: Vec<Wire> = Vec::new();
                for _ in 0..200 {
                    all.push(open(port).await);
                }
                for wire in &mut all {
                    end(wire).await;
                }
            })
            .await;
    });
}

#[test]
fn client_hellos_without_end() {
    tls(async |arena| {
        let port = arena.port;
        let record = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
        let tiny = [22, 3, 1, 0, 1, 0].repeat(1000);
        let empty = [22, 3, 1, 0, 0].repeat(1000);
        arena
            .withstand(24, async || {
                for (opening, unit) in
                    [(hello(0x4000, 0x00ff_ffff), &record), (vec![22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff], &tiny), (Vec::new(), &empty)]
                {
                    let mut stream = stream(port).await;
                    let mut taken = 0;
                    let _ = stream.write_all(&opening).await;
                    let sending = async {
                        while taken < 12_000_000 && stream.write_all(unit).await.is_ok() {
                            taken += unit.len();
                        }
                    };
                    timeout(LONG, sending).await.expect("the proxy hangs");
                    assert!(taken < 12_000_000, "the proxy reads on");
                }
            })
            .await;
    });
}

#[test]
fn plain_text_and_rubbish() {
    tls(async |arena| {
        let port = arena.port;
        let rubbish =
            [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(), vec![22, 3, 1, 0xff, 0xff], vec![0x80; 64], vec![21, 3, 1, 0, 2, 2, 40]];
        arena
            .withstand(24, async || {
                for bytes in &rubbish {
                    let mut wire = open(port).await;
                    wire.send(bytes).await;
                    end(&mut wire).await;
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty());
    });
}

#[test]
fn handshakes_left_alone() {
    tls(async |arena| {
        let port = arena.port;
        arena
            .withstand(32, async || {
                let mut all = Vec::new();
                for _ in 0..50 {
                    // A whole and good ClientHello; the answer is never used.
                    let mut stream = stream(port).await;
                    stream.write_all(&client_hello()).await.expect("the proxy reads");
                    all.push(stream);
                }
                for stream in &mut all {
                    let mut bytes = Vec::new();
                    let ended = timeout(LONG, stream.read_to_end(&mut bytes)).await;
                    assert!(ended.is_ok(), "a handshake is waited for without end");
                    assert_eq!(bytes.first(), Some(&22), "a ServerHello came first");
                }
            })
            .await;
    });
}

#[test]
fn certificate_files_that_turn_to_garbage() {
    let folder = ninon_tests::process::Folder::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("the folder is writable");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("the folder is writable");
    let config = TLS
        .replace("inline_string: '{{certificate}}'", "filename: '{{certificate}}'")
        .replace("inline_string: '{{key}}'", "filename: '{{key}}'");
    let places =
        Places::from([("certificate".to_owned(), certificate.display().to_string()), ("key".to_owned(), key.display().to_string())]);
    arena(Setup { config: config.leak(), places, ..Setup::default() }, async |arena| {
        let port = arena.port;
        for garbage in ["", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "\0\0"] {
            std::fs::write(&certificate, garbage).expect("the folder is writable");
            std::fs::write(&key, garbage).expect("the folder is writable");
            arena
                .withstand(24, async || {
                    let mut stream = stream(port).await;
                    stream.write_all(&client_hello()).await.expect("the proxy reads");
                    let mut first = [0];
                    timeout(LONG, stream.read_exact(&mut first)).await.expect("no answer").expect("the handshake goes on");
                    assert_eq!(first, [22], "a ServerHello");
                })
                .await;
        }
    });
}

fn client_hello() -> Vec<u8> {
    hello_for("localhost")
}

fn hello_for(name: &'static str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(name).expect("a name");
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).expect("memory");
    }
    bytes
}

#[test]
fn a_client_hello_a_byte_at_a_time() {
    tls(async |arena| {
        let port = arena.port;
        let hello = client_hello();
        arena
            .withstand(24, async || {
                let mut stream = stream(port).await;
                for byte in &hello {
                    // The time for the whole may be over before its end.
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
                let mut first = [0];
                let answered = timeout(LONG, stream.read_exact(&mut first)).await.expect("no answer");
                assert!(answered.is_err() || first == [22], "{first:?}");
            })
            .await;
    });
}

/// SNI that the listener does not serve: no handshake, and the log says which name it was.
#[test]
fn another_servers_name() {
    let config = TLS.replacen("chain: {", "chain: {filter_chain_match: {server_names: [safe.test]}, ", 1);
    let Setup { places, .. } = certified();
    arena(Setup { config: config.leak(), places, ..Setup::default() }, async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut stream = stream(port).await;
                stream.write_all(&client_hello()).await.expect("the proxy reads");
                let mut first = [0];
                let answered = timeout(LONG, stream.read_exact(&mut first)).await.expect("it is closed");
                assert!(answered.is_err(), "no byte of an answer");
            })
            .await;
        let mut stream = stream(port).await;
        stream.write_all(&hello_for("safe.test")).await.expect("the proxy reads");
        let mut first = [0];
        timeout(LONG, stream.read_exact(&mut first)).await.expect("no answer").expect("its own name is served");
        assert_eq!(first, [22], "a ServerHello");
        let log = arena.process_log();
        let told =
            |line: &str| line.contains(" WARN ") && line.contains("no filter chain fits") && line.contains("server_name=\"localhost\"");
        assert!(log.lines().any(told), "{log}");
    });
}
