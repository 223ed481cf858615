use std::fmt::Write as _;
use std::time::SystemTime;

/// What a certificate says of its owner; all of it is empty where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// URI names.
    pub uris: Vec<String>,
    /// DNS names.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<String>,
    /// Mail addresses.
    pub mails: Vec<String>,
    /// The owner, as RFC 2253 writes it.
    pub subject: String,
    /// Who issued it, likewise.
    pub issuer: String,
    /// Its number in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of its DER form, in hexadecimal digits.
    pub fingerprint_256: String,
    /// SHA-1 likewise.
    pub fingerprint_1: String,
    /// It is not valid before.
    pub valid_from: Option<SystemTime>,
    /// It is not valid after.
    pub expires: Option<SystemTime>,
}

impl Certificate {
    /// Whose it is: its first URI, else its first DNS name, else its owner.
    pub fn principal(&self) -> &str {
        self.uris.first().or(self.hosts.first()).unwrap_or(&self.subject)
    }
}

/// Certificates as PEM, percent-encoded.
pub fn encoded_pem<'a>(certificates: impl Iterator<Item = &'a Vec<u8>>) -> String {
    let mut out = String::new();
    for der in certificates {
        let text = pem::encode_config(
            &pem::Pem::new("CERTIFICATE", der.as_slice()),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        );
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' {
                out.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
