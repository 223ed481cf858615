//! `examples/tls-termination`, tried with curl, which checks the certificate.

use ninon_tests::example::{Answer, Example};
use ninon_tests::process::Folder;
use std::fs;

struct Shop {
    example: Example,
    folder: Folder,
}

impl Shop {
    async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed(["shop.localhost".to_owned()]).expect("a certificate can be made");
        let folder = Folder::new();
        fs::write(folder.path().join("certificate.pem"), certified.cert.pem()).expect("the temporary folder is writable");
        let example = Example::new("tls-termination")
            .file("certificate.pem", certified.cert.pem())
            .file("key.pem", certified.signing_key.serialize_pem());
        Self { example: example.services(&[("shop", 9001)]).await.start().await, folder }
    }

    fn curl(&self, words: &[&str]) -> Answer {
        let port = self.example.port(8443);
        let certificate = self.folder.path().join("certificate.pem").display().to_string();
        let (resolve, url) = (format!("shop.localhost:{port}:127.0.0.1"), format!("https://shop.localhost:{port}/cart"));
        self.example.curl(&[&[url.as_str(), "--cacert", &certificate, "--resolve", &resolve], words].concat())
    }
}

#[tokio::test]
async fn https_is_served_by_http2_or_http1_as_the_client_likes() {
    let shop = Shop::start().await;
    let answer = shop.curl(&[]);
    assert!(answer.head.starts_with("HTTP/2 200"), "{answer:?}");
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!((answer.seen()["path"].as_str(), answer.seen()["x-forwarded-proto"].as_str()), (Some("/cart"), Some("https")));
    let answer = shop.curl(&["--http1.1", "--tlsv1.2", "--tls-max", "1.2"]);
    assert!(answer.head.starts_with("HTTP/1.1 200"), "{answer:?}");
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let shop = Shop::start().await;
    let answer = shop.example.curl(&["/cart", "-H", "host: shop.localhost"]);
    let location = format!("https://shop.localhost:{}/cart", shop.example.port(8443));
    assert_eq!((answer.status(), answer.header("location")), (301, Some(location.as_str())));
}
