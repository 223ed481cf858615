//! SPIFFE's Workload API for tests: a small server in Go, on the protocol types of go-spiffe, and what it is to say. SPIRE itself is not
//! to be had from the module proxy that builds it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};

use crate::go;

static BUILT: LazyLock<PathBuf> = LazyLock::new(|| go::built("scenarios/workload-api", "workload-api"));

/// The authority of a trust domain.
pub struct Domain {
    name: &'static str,
    root: Vec<u8>,
    /// The root, in PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Issued {
    id: String,
    certificate: Vec<u8>,
    pub key: KeyPair,
}

impl Domain {
    /// A root, and its key.
    pub fn new(name: &'static str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        // go-spiffe takes the trust domain of a bundle from where it is, and not from here.
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{name}").as_str().try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        Self { name, root: made.der().to_vec(), pem: made.pem(), issuer: Issuer::new(params, key) }
    }

    /// A workload's certificate.
    pub fn issue(&self, id: &str) -> Issued {
        let mut params = CertificateParams::default();
        // As SPIRE: nobody is named there.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, "SPIRE");
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        Issued { id: id.to_owned(), certificate: params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), key }
    }

    /// What the Workload API says of somebody of this trust domain who knows the others.
    pub fn says(&self, issued: &Issued, others: &[&Self]) -> Value {
        let svid = json!({
            "id": issued.id, "chain": hex(&issued.certificate), "key": hex(&issued.key.serialize_der()), "bundle": hex(&self.root),
        });
        let federated: BTreeMap<String, String> =
            others.iter().map(|other| (format!("spiffe://{}", other.name), hex(&other.root))).collect();
        json!({"svids": [svid], "federated": federated})
    }
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A program of `scenarios/workload-api/`.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Program {
    /// `serve` or `peer`, at a socket.
    pub fn start(mode: &str, socket: &Path) -> Self {
        let mut command = Command::new(BUILT.as_path());
        command.arg(mode).arg(socket).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, lines) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, lines }
    }

    /// A server; nobody has an identity yet.
    pub fn server(socket: &Path) -> Self {
        let _gone = std::fs::remove_file(socket);
        let mut server = Self::start("serve", socket);
        assert_eq!(server.line(), "listens");
        server
    }

    /// A line for it.
    pub fn says(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Its next line.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
