//! `ninon ca`.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::api::ca::Ca;
use crate::cli::client::Client;
use crate::cli::revoke::{Restore, Revoke, Revoked};
use crate::cli::table::{harmless, since, table, until};
use crate::cli::{Ending, Output, Server, Stop, Terminal};
use crate::source::print::yaml;

/// What `ca` is told.
#[derive(Args, Debug)]
pub struct CaCommand {
    #[command(subcommand)]
    verb: Verb,
}

/// What is to be done with the authority.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Show who signs, who is trusted, and how far a rotation is
    Status(Told),
    /// Print the roots that are trusted, as PEM
    Roots(Told),
    /// Begin to replace the root: the new one is made known, then signs, and the old one is forgotten when nothing of it holds any more
    Rotate(Told),
    /// Revoke certificates before they expire: one by its number, or all that an account has at this moment
    Revoke(Revoke),
    /// Show what is revoked and could still hold
    Revoked(Revoked),
    /// Take a revocation back that was a mistake
    Restore(Restore),
}

/// What each of them is told.
#[derive(Args, Debug)]
struct Told {
    /// How it is shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

impl CaCommand {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let told = match &self.verb {
            Verb::Status(told) | Verb::Roots(told) | Verb::Rotate(told) => told,
            Verb::Revoke(revoke) => return revoke.run(terminal),
            Verb::Revoked(revoked) => return revoked.run(terminal),
            Verb::Restore(restore) => return restore.run(terminal),
        };
        let client = Client::new(&told.server)?;
        let answer = match &self.verb {
            Verb::Rotate(_) => client.post("/api/v1/ca/rotate", &Value::Null)?,
            Verb::Status(_) | Verb::Roots(_) | Verb::Revoke(_) | Verb::Revoked(_) | Verb::Restore(_) => client.get("/api/v1/ca")?,
        };
        let ca: Ca = answer.read()?;
        let text = match (told.output, &self.verb) {
            (Output::Json, _) => serde_json::to_string_pretty(&ca).unwrap_or_default() + "\n",
            (Output::Yaml, _) => yaml(&serde_json::to_value(&ca).unwrap_or(Value::Null)),
            (Output::Name, _) => ca.roots.iter().map(|root| format!("{}\n", root.fingerprint)).collect(),
            (_, Verb::Roots(_)) => ca.roots.iter().map(|root| root.certificate.as_str()).collect(),
            (output, _) => shown(&ca, output == Output::Wide),
        };
        terminal.out.write_all(text.as_bytes())?;
        if let Some(fault) = &ca.fault {
            writeln!(terminal.err, "warning: what is newest is not in use: {fault}")?;
        }
        Ok(Ending::Done)
    }
}

fn shown(ca: &Ca, wide: bool) -> String {
    let mut head = vec!["ROOT", "SIGNS", "AGE", "EXPIRES"];
    head.extend(wide.then_some("PIN"));
    let rows = ca.roots.iter().map(|root| {
        let name = if wide { root.fingerprint.clone() } else { root.fingerprint.chars().take(16).collect() };
        let signs = if root.signs { "yes" } else { "no" }.to_owned();
        let mut row = vec![name, signs, since(&root.not_before), until(&root.not_after)];
        row.extend(wide.then(|| root.pin.clone()));
        row
    });
    let rotation = &ca.rotation;
    let waits = match (rotation.step.as_str(), rotation.waits_for.as_slice()) {
        ("distributing", []) => " for all proxies to know the new root".to_owned(),
        (_, [_, ..]) => format!(" for {}", harmless(&rotation.waits_for.join(", "))),
        _ => String::new(),
    };
    let left = rotation.until.as_deref().map(until).filter(|left| left != "-");
    let holds = left.map(|left| format!(" for {left}: what the old root has signed holds until then"));
    let waits = [waits, holds.unwrap_or_default()];
    let waits: String = waits.iter().filter(|text| !text.is_empty()).map(|text| format!(", waits{text}")).collect();
    let step = format!("rotation: {} since {}{waits}\n", rotation.step, since(&rotation.since));
    format!("trust domain: {}\n{step}{}", ca.trust_domain, table(&head, &rows.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ca::{ShownRoot, ShownRotation};

    #[test]
    fn it_is_said_how_far_a_rotation_is_and_for_whom_it_waits() {
        let root = |name: &str, signs| ShownRoot { fingerprint: name.repeat(32), pin: "pin".to_owned(), signs, ..ShownRoot::default() };
        let roots = vec![root("a1", true), root("b2", false)];
        let rotation = ShownRotation { step: "distributing".to_owned(), waits_for: vec!["cart-1".to_owned()], ..ShownRotation::default() };
        let ca = Ca { trust_domain: "a.b".to_owned(), roots, rotation, ..Ca::default() };
        let text = shown(&ca, false);
        assert!(text.starts_with("trust domain: a.b\nrotation: distributing since -, waits for cart-1\n"), "{text}");
        assert!(text.contains("a1a1a1a1a1a1a1a1") && !text.contains("pin"), "{text}");
        assert!(shown(&ca, true).contains("pin"));
        let rotation = ShownRotation { step: "issuing".to_owned(), until: Some("2999-01-01T00:00:00Z".to_owned()), ..ca.rotation.clone() };
        let text = shown(&Ca { rotation, ..ca.clone() }, false);
        assert!(
            text.contains("issuing since -, waits for cart-1, waits for ") && text.contains("d: what the old root has signed"),
            "{text}"
        );
        let rotation = ShownRotation { step: "steady".to_owned(), ..ShownRotation::default() };
        assert!(shown(&Ca { rotation, ..ca }, false).contains("rotation: steady since -\n"));
    }
}
