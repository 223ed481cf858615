//! `ninon-proxy redirect`: rules of the kernel that bring a machine's, or a pod's, TCP connections to the proxy.
//!
//! ```text
//! flags -> Table (plain rules) -> JSON document of libnftables -> nft -j -f -, one transaction
//! ```
//! The table is deleted and made anew in the same transaction, so that a second run replaces the first without a moment in between.

/// Whether connections are redirected.
mod check;
/// Rules as nft takes them.
mod document;
/// The program `nft`.
mod nft;
/// Flags to rules.
mod plan;
/// Ports and networks without overlap.
mod ranges;
/// Routing for the mode `tproxy`.
mod routes;
/// Rules as plain data.
mod rules;

use std::fmt;

use serde_json::Value as Json;

use crate::settings::redirect::{InboundMode, Redirect};

/// Why nothing was done, or what a check found; a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectError(String);

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RedirectError {}

/// Does what the flags say; returns what to print.
///
/// # Errors
/// What could not be done, or is not as it should be.
pub fn run(settings: &Redirect) -> Result<String, RedirectError> {
    if settings.check {
        return check::run(settings);
    }
    if settings.remove {
        return remove(settings);
    }
    let table = plan::table(settings);
    let document = document::replacing(&table);
    if settings.dry_run {
        return Ok(format!("{document:#}\n"));
    }
    let before = ours(settings)?;
    if settings.inbound_mode == InboundMode::Tproxy {
        routes::add(settings)?;
    }
    nft::apply(&document)?;
    if settings.inbound_mode == InboundMode::Redirect && before.had_routes {
        routes::remove(settings)?;
    }
    let ports = format!("outbound to port {}, inbound to port {}", settings.outbound_port, settings.inbound_port);
    let done = if before.exists { "replaced" } else { "made" };
    Ok(format!("table inet {} {done}: {ports}, all but what user {} sends\n", settings.table, settings.proxy_uid))
}

fn remove(settings: &Redirect) -> Result<String, RedirectError> {
    let before = ours(settings)?;
    nft::apply(&document::removing(&settings.table))?;
    if before.had_routes {
        routes::remove(settings)?;
    }
    let done = if before.exists { "removed" } else { "is not there" };
    Ok(format!("table inet {} {done}\n", settings.table))
}

/// What an earlier run left.
struct Before {
    exists: bool,
    /// It was of the mode `tproxy`.
    had_routes: bool,
}

/// A table of that name that somebody else made is not touched.
fn ours(settings: &Redirect) -> Result<Before, RedirectError> {
    let Some(listed) = nft::list(&settings.table)? else { return Ok(Before { exists: false, had_routes: false }) };
    let chains = names(&listed, "chain");
    let foreign = chains.iter().find(|chain| !plan::CHAINS.contains(&chain.as_str())).or(names(&listed, "set").first()).cloned();
    if let Some(foreign) = foreign {
        let table = &settings.table;
        return Err(RedirectError(format!(
            "table inet {table} has {foreign:?}, which this command does not make: --table names another one"
        )));
    }
    Ok(Before { exists: true, had_routes: chains.iter().any(|chain| chain == plan::REPLIES) })
}

/// Names of the listed objects of one kind.
fn names(listed: &Json, kind: &str) -> Vec<String> {
    let objects = listed.get("nftables").and_then(Json::as_array).into_iter().flatten();
    objects.filter_map(|object| object.get(kind)?.get("name")?.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
