use http::header::HeaderValue;

use crate::config::address::Address;
use crate::config::http::{HostSettings, StripPort};
use crate::exchange::{ConnectionInfo, RequestHead};

/// Removes the port and the trailing dot as the listener's settings say.
pub(super) fn normalize(settings: HostSettings, connection: &ConnectionInfo, head: &mut RequestHead) {
    if settings.strip_port == StripPort::Never && !settings.strip_trailing_dot {
        return;
    }
    let Ok(authority) = head.authority.to_str() else { return };
    let (host, port) = split_port(authority);
    let host_kept = if settings.strip_trailing_dot { host.strip_suffix('.').unwrap_or(host) } else { host };
    let strip = match (settings.strip_port, &connection.local) {
        (StripPort::Never, _) => false,
        (StripPort::Any, _) => true,
        (StripPort::Matching, Address::Ip(local)) => port.and_then(|port| port.parse().ok()) == Some(local.port()),
        (StripPort::Matching, Address::Unix(_)) => false,
    };
    let kept = match port {
        Some(port) if !strip => format!("{host_kept}:{port}"),
        _ => host_kept.to_owned(),
    };
    if kept != authority
        && let Ok(value) = HeaderValue::try_from(kept)
    {
        head.authority = value;
    }
}

/// Host and port of an authority; brackets of IPv6 stay with the host.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // More than one colon outside brackets is a bare IPv6 address.
        Some((host, port)) if is_number(port) && (!host.contains(':') || host.ends_with(']')) => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::split_port;

    #[test]
    fn ports_are_told_from_hosts() {
        assert_eq!(split_port("shop:80"), ("shop", Some("80")));
        assert_eq!(split_port("[::1]:80"), ("[::1]", Some("80")));
        assert_eq!(split_port("[::1]"), ("[::1]", None));
        assert_eq!(split_port("::1"), ("::1", None));
        assert_eq!(split_port("shop:"), ("shop:", None));
    }
}
