//! `ninon ca revoke`, `ninon ca revoked` and `ninon ca restore`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use crate::api::revocations::{Reason, ShownRevocation, ShownRevocations, serial};
use crate::cli::client::Client;
use crate::cli::kinds::encoded;
use crate::cli::table::{since, table, until};
use crate::cli::{Ending, Output, Server, Stop, Terminal};
use crate::source::print::yaml;

/// What `ca revoke` is told.
#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// The number of a certificate, as `openssl x509 -serial` and the audit log have it
    #[arg(value_name = "SERIAL", required_unless_present = "service_account", conflicts_with = "service_account", value_parser = serial)]
    serial: Option<String>,
    /// Namespace of the account whose certificates are all to be revoked
    #[arg(short, long, env = "NINON_NAMESPACE", default_value = "default")]
    namespace: String,
    /// The account: what it was given until now is revoked, and what it is given from now on, by a token, is good
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Why
    #[arg(long, default_value = Reason::Unspecified.as_str(), value_parser = PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)))]
    reason: String,
    #[command(flatten)]
    server: Server,
}

/// What `ca revoked` is told.
#[derive(Args, Debug)]
pub(super) struct Revoked {
    /// How they are shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// What `ca restore` is told.
#[derive(Args, Debug)]
pub(super) struct Restore {
    /// What is to be taken back, as `ca revoked` names it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    server: Server,
}

impl Revoke {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let wish = match (&self.serial, &self.service_account) {
            (None, Some(account)) => json!({"namespace": self.namespace, "serviceAccount": account, "reason": self.reason}),
            (serial, _) => json!({"serial": serial, "reason": self.reason}),
        };
        let revoked: ShownRevocation = Client::new(&self.server)?.post("/api/v1/ca/revocations", &wish)?.read()?;
        match (&revoked.serial, &revoked.identity) {
            (Some(serial), Some(identity)) => writeln!(terminal.out, "certificate {serial} of {identity} revoked")?,
            (Some(serial), None) => {
                writeln!(terminal.out, "certificate {serial} revoked")?;
                writeln!(terminal.err, "warning: no certificate that holds is known by this number; it is refused all the same")?;
            }
            (None, identity) => writeln!(terminal.out, "certificates of {} revoked", identity.as_deref().unwrap_or_default())?,
        }
        Ok(Ending::Done)
    }
}

impl Revoked {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let all: ShownRevocations = Client::new(&self.server)?.get("/api/v1/ca/revocations")?.read()?;
        let text = match self.output {
            Output::Json => serde_json::to_string_pretty(&all).unwrap_or_default() + "\n",
            Output::Yaml => yaml(&serde_json::to_value(&all).unwrap_or(Value::Null)),
            Output::Name => all.items.iter().map(|one| format!("{}\n", one.id)).collect(),
            _ if all.items.is_empty() => {
                writeln!(terminal.err, "nothing is revoked")?;
                String::new()
            }
            Output::Table | Output::Wide => shown(&all.items),
        };
        terminal.out.write_all(text.as_bytes())?;
        Ok(Ending::Done)
    }
}

impl Restore {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        Client::new(&self.server)?.delete(&format!("/api/v1/ca/revocations/{}", encoded(&self.id)))?.read::<Value>()?;
        writeln!(terminal.out, "revocation \"{}\" taken back", self.id)?;
        Ok(Ending::Done)
    }
}

fn shown(all: &[ShownRevocation]) -> String {
    let row = |one: &ShownRevocation| {
        let what = if one.serial.is_some() { "certificate" } else { "account" };
        let identity = one.identity.clone().unwrap_or_else(|| "-".to_owned());
        vec![one.id.clone(), what.to_owned(), identity, one.reason.as_str().to_owned(), since(&one.since), until(&one.until)]
    };
    table(&["ID", "REVOKES", "IDENTITY", "REASON", "AGE", "KEPT"], &all.iter().map(row).collect::<Vec<_>>())
}
