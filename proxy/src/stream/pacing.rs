//! Connections that never leave this machine need no pacing: BBR, where it is the host's choice, sends by timers, which costs up to
//! a third of what a long transfer over loopback takes, and there is no queue on the way that it could spare.

use std::net::IpAddr;
use std::sync::OnceLock;

use libc::{IPPROTO_TCP, TCP_CONGESTION};
use socket2::SockRef;

use crate::config::address::SocketOption;

/// Every Linux has it and lets everybody choose it (tcp(7), `TCP_CONGESTION`).
const UNPACED: &[u8] = b"reno";

/// Chooses a congestion control without pacing for a socket that will listen at or connect to `address`, if that is loopback's, unless
/// the operator's `options` choose one. Later is too late: a socket that BBR has begun with is paced whatever follows.
pub fn spare(socket: &SockRef<'_>, address: IpAddr, options: &[SocketOption]) {
    static HOST_PACES: OnceLock<bool> = OnceLock::new();
    let ours = address.to_canonical().is_loopback() && !chosen(options);
    if ours && *HOST_PACES.get_or_init(|| socket.tcp_congestion().is_ok_and(|name| paces(&name))) {
        unpace(socket);
    }
}

fn chosen(options: &[SocketOption]) -> bool {
    options.iter().any(|option| (option.level, option.name) == (IPPROTO_TCP, TCP_CONGESTION))
}

fn paces(name: &[u8]) -> bool {
    name.starts_with(b"bbr")
}

fn unpace(socket: &SockRef<'_>) {
    if let Err(error) = socket.set_tcp_congestion(UNPACED) {
        tracing::debug!(%error, "connections of this machine stay paced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::address::{SocketOptionValue, SocketState};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    fn control(stream: &TcpStream) -> String {
        let name = SockRef::from(stream).tcp_congestion().expect("the name of the control");
        String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()
    }

    #[tokio::test]
    async fn both_ends_of_a_connection_of_this_machine_begin_unpaced() {
        let socket = TcpSocket::new_v4().expect("a socket");
        unpace(&SockRef::from(&socket));
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let listener: TcpListener = socket.listen(1).expect("listening");
        let socket = TcpSocket::new_v4().expect("a socket");
        unpace(&SockRef::from(&socket));
        let stream = socket.connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (accepted, _) = listener.accept().await.expect("accepted");
        assert_eq!([control(&stream), control(&accepted)], ["reno", "reno"]);
    }

    #[test]
    fn the_operators_choice_is_seen() {
        let option = |level, name| {
            let value = SocketOptionValue::Bytes(b"bbr".to_vec());
            SocketOption { level, name, value, state: SocketState::Prebind }
        };
        assert!(chosen(&[option(1, 9), option(IPPROTO_TCP, TCP_CONGESTION)]));
        assert!(!chosen(&[option(1, 13), option(IPPROTO_TCP, 1)]));
    }

    #[test]
    fn only_bbr_paces() {
        assert!(paces(b"bbr\0\0") && paces(b"bbr2\0"));
        assert!(!paces(b"cubic") && !paces(b"reno") && !paces(b""));
    }

    #[test]
    fn other_machines_are_left_to_the_host() {
        let socket = TcpSocket::new_v4().expect("a socket");
        let before = SockRef::from(&socket).tcp_congestion().expect("the name of the control");
        spare(&SockRef::from(&socket), [10, 0, 0, 7].into(), &[]);
        assert_eq!(SockRef::from(&socket).tcp_congestion().expect("the name of the control"), before);
    }
}
