//! Packets that the mode `tproxy` gives to the proxy are for addresses of others: those with its mark are routed to this machine.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

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

/// What is not there of both.
pub(super) fn missing(settings: &Redirect) -> Result<Vec<String>, RedirectError> {
    let (mark, table) = (format!("{:#x}", settings.tproxy_mark), settings.tproxy_route_table.to_string());
    let mut missing = Vec::new();
    for family in families() {
        let rules = listed(family, &["rule", "show"])?;
        if !rules.iter().any(|rule| is(rule, "fwmark", &mark) && is(rule, "table", &table)) {
            missing.push(format!("there is no rule for mark {mark} and table {table} (ip {family} rule)"));
        }
        let routes = listed(family, &["route", "show", "table", &table])?;
        if !routes.iter().any(|route| is(route, "type", "local") && is(route, "dst", "default")) {
            missing.push(format!("table {table} has no local default route (ip {family} route show table {table})"));
        }
    }
    Ok(missing)
}

fn is(object: &Json, field: &str, value: &str) -> bool {
    object.get(field).is_some_and(|there| there == value)
}

/// What `ip` lists; nothing where it fails, as it does for a table without routes.
fn listed(family: &str, words: &[&str]) -> Result<Vec<Json>, RedirectError> {
    let words: Vec<&str> = ["-j"].into_iter().chain(words.iter().copied()).collect();
    let text = ip(family, &words)?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
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
    ip(family, words)?.map(drop).map_err(|told| RedirectError(format!("ip {family} {}: {told}", words.join(" "))))
}

/// What `ip` prints, or says where it fails.
fn ip(family: &str, words: &[&str]) -> Result<Result<String, String>, RedirectError> {
    let failed = |error: io::Error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let advice = "there is no program ip here, which the mode tproxy needs: install iproute2";
        RedirectError(if missing { advice.to_owned() } else { format!("running ip: {error}") })
    };
    let mut command = Command::new("ip");
    let output = command.arg(family).args(words).env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}
