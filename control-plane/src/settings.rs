//! Flags and environment to settings of `ninon serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::authority::{LONGEST, SHORTEST};
use crate::model::identity::is_trust_domain;

/// What `ninon serve` is told.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// Folder of YAML or JSON files with objects, watched, with the folders below it; may be given more than once
    #[arg(long, value_name = "DIR", env = "NINON_CONFIG_DIR", value_delimiter = ':')]
    pub config_dir: Vec<PathBuf>,
    /// Folder for objects that come by the API, their history, and the API's tokens; made if it is not there
    #[arg(long, value_name = "DIR", env = "NINON_STATE_DIR", default_value = "ninon-data")]
    pub state_dir: PathBuf,
    /// Where objects that come by the API live: `embedded`, a file in the state directory, or `etcd://HOST:PORT,HOST:PORT`, which
    /// several control planes may share
    #[arg(long, value_name = "PLACE", env = "NINON_STORE", default_value = "embedded")]
    pub store: Place,
    /// Address and port where proxies are served xDS without TLS: whoever reaches it is believed who it says it is
    #[arg(long, value_name = "ADDRESS", env = "NINON_XDS_LISTEN", default_value = "127.0.0.1:15010")]
    pub xds_address: SocketAddr,
    /// Address and port where proxies are served xDS, and workloads get certificates, with TLS 1.3: who shows a certificate of this
    /// mesh is served what its identity may see
    #[arg(long, value_name = "ADDRESS", env = "NINON_SECURE_XDS_LISTEN", default_value = "0.0.0.0:15012")]
    pub secure_xds_address: SocketAddr,
    /// Further DNS name or address by which the secure port is reached, for its certificate; may be given more than once
    #[arg(long, value_name = "NAME", env = "NINON_SECURE_XDS_NAME", value_delimiter = ',')]
    pub secure_xds_name: Vec<String>,
    /// Trust domain of all identities: spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT
    #[arg(long, value_name = "DOMAIN", env = "NINON_TRUST_DOMAIN", default_value = "cluster.local", value_parser = trust_domain)]
    pub trust_domain: String,
    /// File with the key that encrypts the authority's keys in the store; made at the first start. Control planes that share a store
    /// need the same [default: ca.key in the state directory]
    #[arg(long, value_name = "FILE", env = "NINON_CA_KEY_FILE", conflicts_with_all = ["ca_certificate", "ca_key", "ca_root"])]
    pub ca_key_file: Option<PathBuf>,
    /// File with the key that signs what the store keeps of join tokens; made at the first start. Control planes that share a store
    /// need the same [default: that of --ca-key-file; with --ca-certificate and the embedded store, token.key in the
    /// state directory]
    #[arg(long, value_name = "FILE", env = "NINON_TOKEN_KEY_FILE")]
    pub token_key_file: Option<PathBuf>,
    /// Certificate of an authority that is to sign instead of one that is made here, PEM, with what lies between it and its root; watched
    #[arg(long, value_name = "FILE", env = "NINON_CA_CERTIFICATE", requires_all = ["ca_key", "ca_root"])]
    pub ca_certificate: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", env = "NINON_CA_KEY", requires_all = ["ca_certificate", "ca_root"])]
    pub ca_key: Option<PathBuf>,
    /// The roots that are trusted then
    #[arg(long, value_name = "FILE", env = "NINON_CA_ROOT", requires_all = ["ca_certificate", "ca_key"])]
    pub ca_root: Option<PathBuf>,
    /// Takes tokens of Kubernetes service accounts, if they are for this audience, as proof of who asks for a certificate [default: takes
    /// none]
    #[arg(long, value_name = "AUDIENCE", env = "NINON_KUBERNETES_AUDIENCE")]
    pub kubernetes_audience: Option<String>,
    /// Name or address of the Kubernetes API server that is asked about them; pods are told it
    #[arg(long, value_name = "HOST", env = "KUBERNETES_SERVICE_HOST")]
    pub kubernetes_host: Option<String>,
    /// Its port
    #[arg(long, value_name = "PORT", env = "KUBERNETES_SERVICE_PORT", default_value_t = 443)]
    pub kubernetes_port: u16,
    /// Folder of the token by which it knows this control plane, `token`, and of whom to trust that it is it, `ca.crt`
    #[arg(long, value_name = "DIR", env = "NINON_KUBERNETES_CREDENTIALS", default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    pub kubernetes_credentials: PathBuf,
    /// How long certificates of workloads hold that do not say how long they want to, from 10s
    #[arg(long, value_name = "DURATION", env = "NINON_CERTIFICATE_TTL", default_value = "24h", value_parser = certificate_ttl)]
    pub certificate_ttl: Duration,
    /// How long they hold at most; an old root is trusted for so long after a new one has taken over
    #[arg(long, value_name = "DURATION", env = "NINON_MAX_CERTIFICATE_TTL", default_value = "24h", value_parser = certificate_ttl)]
    pub max_certificate_ttl: Duration,
    /// Address and port of the API
    #[arg(long, value_name = "ADDRESS", env = "NINON_API_LISTEN", default_value = "127.0.0.1:15014")]
    pub api_address: SocketAddr,
    /// Changes are told to proxies when none has come for so long, such as 20ms ...
    #[arg(long, value_name = "DURATION", env = "NINON_PUSH_QUIET", default_value = "20ms", value_parser = humantime::parse_duration)]
    pub push_quiet: Duration,
    /// ... or when the first has waited so long
    #[arg(long, value_name = "DURATION", env = "NINON_PUSH_WAIT", default_value = "200ms", value_parser = humantime::parse_duration)]
    pub push_wait: Duration,
    /// Proxies that may be connected at a time, and workloads that may be registered
    #[arg(long, value_name = "N", env = "NINON_MAX_PROXIES", default_value_t = 10_000)]
    pub max_proxies: usize,
    /// How long the endpoint of a sidecar that registered itself and whose connection is gone stays as it is: one that comes back in
    /// time changes nothing
    #[arg(long, value_name = "DURATION", env = "NINON_REGISTRATION_GRACE", default_value = "10s", value_parser = humantime::parse_duration)]
    pub registration_grace: Duration,
    /// How long nobody is sent to it any more before it is taken away: requests that it has may end
    #[arg(long, value_name = "DURATION", env = "NINON_REGISTRATION_DRAIN", default_value = "5s", value_parser = humantime::parse_duration)]
    pub registration_drain: Duration,
    /// Instead of the first, after a restart of the control plane, or the death of another one that had it: proxies come back within 30 s
    #[arg(long, value_name = "DURATION", env = "NINON_REGISTRATION_ORPHAN_GRACE", default_value = "45s", value_parser = humantime::parse_duration)]
    pub registration_orphan_grace: Duration,
    /// How often proxies and gRPC clients that report load do so, 100ms to 30s
    #[arg(long, value_name = "DURATION", env = "NINON_LOAD_INTERVAL", default_value = "10s", value_parser = load_interval)]
    pub load_interval: Duration,
    /// How much is told on standard error: trace, debug, info, warn, error, off
    #[arg(short, long, value_name = "LEVEL", env = "NINON_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// How it is told
    #[arg(long, value_name = "FORMAT", env = "NINON_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What is older than a minute is not shown: some reports are to come in that time.
fn load_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_sensible = (Duration::from_millis(100)..=Duration::from_secs(30)).contains(&interval);
    is_sensible.then_some(interval).ok_or_else(|| "must be 100ms to 30s".to_owned())
}

fn trust_domain(text: &str) -> Result<String, String> {
    let rule = "must be a DNS name: lower case letters, digits, '-' and '.', at most 253";
    is_trust_domain(text).then(|| text.to_owned()).ok_or_else(|| rule.to_owned())
}

fn certificate_ttl(text: &str) -> Result<Duration, String> {
    let ttl = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    (SHORTEST..=LONGEST).contains(&ttl).then_some(ttl).ok_or_else(|| "must be 10s to 366days".to_owned())
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}
/// Where objects live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    Embedded,
    /// In etcd, at some of its members.
    Etcd(Vec<String>),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        let members = text.strip_prefix("etcd://").map(|members| members.split(',').map(ToOwned::to_owned).collect::<Vec<_>>());
        let is_member =
            |member: &String| member.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        match members {
            Some(members) if members.iter().all(is_member) => Ok(Self::Etcd(members)),
            _ => Err("must be `embedded` or `etcd://HOST:PORT,HOST:PORT`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_in_the_documentation() {
        let page = include_str!("../../docs/control-plane.md");
        let command = Serve::augment_args(clap::Command::new("serve"));
        let flags = command.get_arguments().map(|flag| {
            let (name, variable) = (flag.get_long().unwrap_or_default(), flag.get_env().unwrap_or_default().display().to_string());
            let value = flag.get_value_names().unwrap_or_default().first().map(ToString::to_string).unwrap_or_default();
            format!("| `--{name} {value}` | `{variable}` |")
        });
        let missing: Vec<_> = flags.filter(|row| !page.contains(row)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn certificates_hold_long_enough_to_be_renewed() {
        assert_eq!(certificate_ttl("10s"), Ok(Duration::from_secs(10)));
        assert!(["9s", "367days", "x"].iter().all(|wrong| certificate_ttl(wrong).is_err()));
        assert!(trust_domain("mesh.example").is_ok() && trust_domain("Mesh").is_err());
    }

    #[test]
    fn load_is_reported_often_enough_to_be_shown() {
        assert_eq!(load_interval("1s"), Ok(Duration::from_secs(1)));
        assert!(["99ms", "31s", "", "1"].iter().all(|wrong| load_interval(wrong).is_err()));
    }

    #[test]
    fn objects_live_in_a_file_or_in_etcd() {
        assert_eq!("embedded".parse(), Ok(Place::Embedded));
        assert_eq!("etcd://a:2379,[::1]:2380".parse(), Ok(Place::Etcd(vec!["a:2379".to_owned(), "[::1]:2380".to_owned()])));
        for wrong in ["", "etcd://", "etcd://a", "etcd://a:b", "http://a:1", "etcd://a:1,"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
