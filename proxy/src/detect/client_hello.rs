use rustls::server::Acceptor;

use crate::detect::Verdict;

/// What a ClientHello says in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// Server name, lower case.
    pub server_name: Option<String>,
    /// ALPN protocols offered.
    pub alpn: Vec<String>,
}

/// Reads a ClientHello piece by piece, however it is split into records and packets.
#[derive(Default)]
pub struct Parser {
    acceptor: Acceptor,
    fed: usize,
}

impl Parser {
    /// `bytes` is everything so far; only what is new is looked at.
    pub fn feed(&mut self, bytes: &[u8]) -> Verdict<ClientHello> {
        if !could_be_tls(bytes) {
            return Verdict::Not;
        }
        let mut new = bytes.get(self.fed..).unwrap_or_default();
        while !new.is_empty() {
            match self.acceptor.read_tls(&mut new) {
                Ok(0) | Err(_) => return Verdict::Not,
                Ok(read) => self.fed = self.fed.saturating_add(read),
            }
            match self.acceptor.accept() {
                Ok(Some(accepted)) => return Verdict::Is(describe(&accepted.client_hello())),
                Ok(None) => {}
                Err(_) => return Verdict::Not,
            }
        }
        Verdict::NeedMore
    }
}

/// RFC 8446, section 5.1: a handshake record, legacy version 3.x.
fn could_be_tls(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [kind] => *kind == 0x16,
        [kind, major, ..] => *kind == 0x16 && *major == 3,
    }
}

fn describe(hello: &rustls::server::ClientHello<'_>) -> ClientHello {
    let alpn = hello.alpn().into_iter().flatten().map(|name| String::from_utf8_lossy(name).into_owned());
    ClientHello { server_name: hello.server_name().map(str::to_ascii_lowercase), alpn: alpn.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn hello(name: &str, alpn: &[&str]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn server_name_and_alpn_are_read() {
        let verdict = Parser::default().feed(&hello("Shop.example.com", &["h2", "http/1.1"]));
        let wanted = ClientHello { server_name: Some("shop.example.com".into()), alpn: vec!["h2".into(), "http/1.1".into()] };
        assert_eq!(verdict, Verdict::Is(wanted));
    }

    #[test]
    fn a_hello_that_arrives_byte_by_byte_is_read() {
        let bytes = hello("a.test", &[]);
        let mut parser = Parser::default();
        for end in 0..bytes.len() {
            assert_eq!(parser.feed(&bytes[..end]), Verdict::NeedMore, "after {end} bytes");
        }
        assert!(matches!(parser.feed(&bytes), Verdict::Is(_)));
    }

    #[test]
    fn a_hello_fragmented_over_records_is_read() {
        let bytes = hello("a.test", &[]);
        let mut fragmented = Vec::new();
        for piece in bytes[5..].chunks(40) {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            fragmented.extend_from_slice(&[0x16, 3, 1, length[0], length[1]]);
            fragmented.extend_from_slice(piece);
        }
        assert!(matches!(Parser::default().feed(&fragmented), Verdict::Is(_)));
    }

    #[test]
    fn other_bytes_are_not_tls() {
        assert_eq!(Parser::default().feed(b"GET / HTTP/1.1\r\n"), Verdict::Not);
        assert_eq!(Parser::default().feed(&[0x16, 3, 1, 0xff, 0xff, 0, 0, 0]), Verdict::Not);
        assert_eq!(Parser::default().feed(&[0x16]), Verdict::NeedMore);
    }
}
