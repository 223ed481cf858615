//! Packets that the mode `tproxy` gives to the proxy are for addresses of others: those with its mark are routed to this machine.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::redirect::RedirectError;
use crate::settings::redirect::Redirect;

/// An entry for each run that did not come to its end; more are not ours.
const MOST_RULES: usize = 16;

/// Makes the rule and the route, in place of those that are there.
pub(super) fn add(settings: &Redirect) -> Result<(), RedirectError> {
    let (mark, table) = (settings.tproxy_mark.to_string(), settings.tproxy_route_table.to_string());
    for family in families() {
        forget_rules(family, &mark, &table)?;
        needed(family, &["route", "replace", "local", "default", "dev", "lo", "table", &table])?;
        needed(family, &["rule", "add", "fwmark", &mark, "lookup", &table])?;
    }
    Ok(())
}

/// Removes both, where they are there.
pub(super) fn remove(settings: &Redirect) -> Result<(), RedirectError> {
    let (mark, table) = (settings.tproxy_mark.to_string(), settings.tproxy_route_table.to_string());
    for family in families() {
        forget_rules(family, &mark, &table)?;
        let _was_there = ip(family, &["route", "del", "local", "default", "dev", "lo", "table", &table])?.is_ok();
    }
    Ok(())
}

fn families() -> impl Iterator<Item = &'static str> {
    let has_v6 = Path::new("/proc/net/if_inet6").exists();
    std::iter::once("-4").chain(has_v6.then_some("-6"))
}

fn forget_rules(family: &str, mark: &str, table: &str) -> Result<(), RedirectError> {
    for _ in 0..MOST_RULES {
        if ip(family, &["rule", "del", "fwmark", mark, "lookup", table])?.is_err() {
            break;
        }
    }
    Ok(())
}

fn needed(family: &str, words: &[&str]) -> Result<(), RedirectError> {
    ip(family, words)?.map_err(|told| RedirectError(format!("ip {family} {}: {told}", words.join(" "))))
}

/// What `ip` says where it fails.
fn ip(family: &str, words: &[&str]) -> Result<Result<(), String>, RedirectError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => RedirectError("there is no program ip here, which the mode tproxy needs: install iproute2".to_owned()),
        _ => RedirectError(format!("running ip: {error}")),
    };
    let mut command = Command::new("ip");
    let output = command.arg(family).args(words).env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(failed)?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(if output.status.success() { Ok(()) } else { Err(told) })
}
