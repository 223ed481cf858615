//! Hosts made of network namespaces, wired together by veth pairs: two nodes, with a router between, and what is attached to each.
//!
//! ```text
//! client (10.77.1.2) --+-- node 1 (10.77.1.1) == node 2 (10.77.2.1) --+-- server (10.77.2.2)
//!                                                                     +-- attacker (10.77.2.3)
//! ```
//! Addresses of a network are the same in each: it is cut off from everything else. It needs root and the program `ip`.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The number in `ninon-proxy redirect --proxy-uid` unless another is given.
pub const PROXY: u32 = 1337;

/// Questions for the state of a device, each of which takes a millisecond or more; it is up within one second.
const ROUNDS: u32 = 20_000;

/// Two nodes; hosts are attached to them. Gone when dropped.
pub struct Network {
    id: String,
    nodes: [Host; 2],
    attached: AtomicU32,
}

/// A node, or what is attached to one: an own network stack.
#[derive(Debug)]
pub struct Host {
    namespace: String,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl Network {
    /// Two nodes that reach each other.
    ///
    /// # Panics
    /// Where there are no namespaces: in one line that says what is missing.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "these tests make network namespaces: run them as root");
        assert!(found("ip"), "these tests need the program ip: apt-get install iproute2");
        assert!(found("nft"), "these tests need the program nft: apt-get install nftables");
        forget_dead();
        let id = format!("ninon-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let nodes = [1, 2].map(|node| Host::new(&format!("{id}-node{node}"), node, 1));
        let network = Self { id, nodes, attached: AtomicU32::new(2) };
        for node in &network.nodes {
            // Every packet passes from the first one on.
            node.ip("link add br0 type bridge forward_delay 0 mcast_snooping 0");
            node.up("br0");
            node.inside(|| {
                for switch in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
                    fs::write(switch, "1").expect("a namespace has its own switches");
                }
            });
        }
        let [first, second] = &network.nodes;
        first.ip(&format!("link add wire type veth peer name wire netns {}", second.namespace));
        for (node, own, other) in [(first, 1, 2), (second, 2, 1)] {
            node.ip(&format!("addr add 10.77.0.{own}/24 dev wire"));
            node.ip(&format!("addr add fd77::{own}/64 dev wire nodad"));
            node.ip("link set wire up");
            node.ip(&format!("route add 10.77.{other}.0/24 via 10.77.0.{other}"));
            node.ip(&format!("route add fd77:{other}::/64 via fd77::{other}"));
        }
        network
    }

    /// Attaches a host to node 1 or 2.
    pub fn host(&self, name: &str, node: u8) -> Host {
        let number = u8::try_from(self.attached.fetch_add(1, Ordering::Relaxed)).expect("a few hosts");
        let host = Host::new(&format!("{}-{name}", self.id), node, number);
        let router = &self.nodes[usize::from(node - 1)];
        let port = format!("port{number}");
        host.ip(&format!("link add eth0 type veth peer name {port} netns {}", router.namespace));
        host.up("eth0");
        router.ip(&format!("link set {port} master br0 up"));
        host.ip(&format!("route add default via {}", router.v4));
        host.ip(&format!("route add default via {}", router.v6));
        self.nodes.iter().for_each(|node| node.is_wired("wire"));
        router.is_wired("br0");
        host.is_wired("eth0");
        host
    }

    /// A node: everything between hosts of different nodes passes it, and it has no sidecar.
    pub fn node(&self, node: u8) -> &Host {
        &self.nodes[usize::from(node - 1)]
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    fn new(namespace: &str, node: u8, number: u8) -> Self {
        ip(&["netns", "add", namespace]);
        let v6 = Ipv6Addr::new(0xfd77, u16::from(node), 0, 0, 0, 0, 0, u16::from(number));
        let host = Self { namespace: namespace.to_owned(), v4: Ipv4Addr::new(10, 77, node, number), v6 };
        // No address is tried out before it is used.
        host.inside(|| {
            ["all", "default"].map(|of| fs::write(format!("/proc/sys/net/ipv6/conf/{of}/accept_dad"), "0").expect("own switches"))
        });
        host.ip("link set lo up");
        host
    }

    fn up(&self, device: &str) {
        self.ip(&format!("addr add {}/24 dev {device}", self.v4));
        self.ip(&format!("addr add {}/64 dev {device} nodad", self.v6));
        self.ip(&format!("link set {device} up"));
    }

    /// Waits until the kernel has seen that both ends of a wire are up: until then it drops what is sent.
    fn is_wired(&self, device: &str) {
        for _ in 0..ROUNDS {
            let shown = Command::new("ip").args(["-n", &self.namespace, "-o", "link", "show", device]).output().expect("ip starts");
            if String::from_utf8_lossy(&shown.stdout).contains("state UP") {
                return;
            }
        }
        panic!("{device} of {} is not up", self.namespace);
    }

    /// `ip` with these words, here.
    pub fn ip(&self, words: &str) {
        let all: Vec<&str> = ["-n", &self.namespace].into_iter().chain(words.split(' ')).collect();
        ip(&all);
    }

    /// Both addresses.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// A program here, as root.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program.as_ref());
        command
    }

    /// A program here, as another user, without any privilege.
    pub fn command_as(&self, user: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.command("setpriv");
        let user = user.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
        command.arg(program.as_ref());
        command
    }

    /// The same with the capabilities that TPROXY asks for.
    pub fn command_with_net_admin(&self, user: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.command("setpriv");
        let user = user.to_string();
        command.args([
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--inh-caps=-all,+net_admin",
            "--ambient-caps=-all,+net_admin",
        ]);
        command.arg("--bounding-set=-all,+net_admin").arg(program.as_ref());
        command
    }

    /// What a program here says until it ends.
    pub fn output(&self, words: &[&str]) -> Output {
        self.command(words[0]).args(&words[1..]).stdin(Stdio::null()).output().expect("ip netns exec starts it")
    }

    /// Whom programs here ask for names, from now on.
    pub fn resolvers(&self, addresses: &[IpAddr]) {
        let folder = PathBuf::from("/etc/netns").join(&self.namespace);
        fs::create_dir_all(&folder).expect("root may make it");
        let text: String = addresses.iter().map(|address| format!("nameserver {address}\n")).collect();
        // `ip netns exec` shows this file in the place of the machine's: it stays the same one.
        fs::write(folder.join("resolv.conf"), text).expect("root may write it");
    }

    /// Does something on a thread of this host: sockets that it opens are the host's, wherever they are used.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let done = scope.spawn(|| {
                let namespace = File::open(PathBuf::from("/run/netns").join(&self.namespace)).expect("the namespace is there");
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
                act()
            });
            match done.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What is still in it keeps it without a name, and ends with its own owner.
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(PathBuf::from("/etc/netns").join(&self.namespace));
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).stdin(Stdio::null()).output().expect("ip starts");
    assert!(output.status.success(), "ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
}

fn found(program: &str) -> bool {
    crate::settings::is_on_path(program)
}

/// Namespaces of runs that were killed before they could clean up.
fn forget_dead() {
    let Ok(known) = fs::read_dir("/run/netns") else { return };
    for name in known.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let run = name.strip_prefix("ninon-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if run.is_some_and(|run| !PathBuf::from(format!("/proc/{run}")).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        }
    }
}
