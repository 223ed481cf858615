use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use crate::redirect::{RedirectError, document};

/// Does what a document says: all of it, or nothing.
pub(super) fn apply(document: &Json) -> Result<(), RedirectError> {
    let output = run(document)?;
    if output.status.success() { Ok(()) } else { Err(refused(&output)) }
}

/// The table; `None` where there is none of that name.
pub(super) fn list(table: &str) -> Result<Option<Json>, RedirectError> {
    let output = run(&document::listing(table))?;
    if output.status.success() {
        let listed = serde_json::from_slice(&output.stdout);
        return listed.map(Some).map_err(|error| RedirectError(format!("nft -j does not answer in JSON: {error}")));
    }
    let missing = told(&output).contains("No such file or directory");
    if missing { Ok(None) } else { Err(refused(&output)) }
}

fn run(document: &Json) -> Result<Output, RedirectError> {
    let failed = |error: io::Error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let advice = "there is no program nft here: install nftables (1.0 or newer)";
        RedirectError(if missing { advice.to_owned() } else { format!("running nft: {error}") })
    };
    let mut command = Command::new("nft");
    command.args(["-j", "-f", "-"]).env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended before it read everything says why.
        let _unread = stdin.write_all(document.to_string().as_bytes()).is_err();
    }
    child.wait_with_output().map_err(failed)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(output: &Output) -> RedirectError {
    RedirectError(reason(&told(output)))
}

/// What nft says on standard error, in a sentence that says what to do.
fn reason(told: &str) -> String {
    let line = told.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it did not say why");
    let advice = if told.contains("Operation not permitted") || told.contains("you must be root") {
        "the rules may not be changed: it needs CAP_NET_ADMIN, as root or by the capability NET_ADMIN of the container"
    } else if told.contains("Protocol not supported") || told.contains("Unable to initialize Netlink socket") {
        "this kernel has no nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)"
    } else if told.contains("No such file or directory") || told.contains("Operation not supported") {
        "this kernel lacks a part of nf_tables: nat and redirect, fib, and for the mode tproxy tproxy"
    } else {
        "nft refused the rules"
    };
    format!("{advice} (nft: {line})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nft_says_becomes_advice() {
        let advice = |told: &str| reason(told).split(" (nft: ").next().unwrap().to_owned();
        assert!(advice("netlink: Error: cache initialization failed: Operation not permitted").contains("CAP_NET_ADMIN"));
        assert!(advice("Operation not permitted (you must be root)\n").contains("CAP_NET_ADMIN"));
        assert!(advice("Error: Unable to initialize Netlink socket: Protocol not supported").contains("no nf_tables"));
        assert!(advice("internal:0:0-0: Error: Could not process rule: No such file or directory").contains("lacks a part"));
        assert_eq!(reason("\ninternal:0:0-0: Error: odd\nmore"), "nft refused the rules (nft: internal:0:0-0: Error: odd)");
        assert_eq!(reason(""), "nft refused the rules (nft: it did not say why)");
    }
}
