use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How often it is looked at, and only if somebody asks.
const LOOK: Duration = Duration::from_secs(1);
/// As in the C library (`MAXNS`).
const MOST: usize = 3;
/// A few lines.
const LARGEST_FILE: u64 = 64 * 1024;
const NAME_SERVICE: u16 = 53;

/// Whom to ask for names that are not known here.
#[derive(Debug)]
pub(super) struct Servers {
    file: Option<Watched>,
    known: RefCell<Rc<[SocketAddr]>>,
    /// This proxy's own addresses are none of them.
    own: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// Its state when it was read.
    seen: Cell<Option<Seen>>,
    next: Cell<Option<Instant>>,
}

/// When it was changed, how long it is, which one it is.
type Seen = (i64, i64, u64, u64);

impl Servers {
    /// These; without any, those of the machine.
    pub(super) fn new(given: &[SocketAddr], own: Vec<SocketAddr>) -> Self {
        if given.is_empty() {
            return Self::of_file(RESOLV_CONF.into(), own);
        }
        let known = given.iter().copied().filter(|server| !own.contains(server)).collect();
        Self { file: None, known: RefCell::new(known), own }
    }

    fn of_file(path: PathBuf, own: Vec<SocketAddr>) -> Self {
        let file = Watched { path, seen: Cell::new(None), next: Cell::new(None) };
        let servers = Self { file: Some(file), known: RefCell::new(Rc::from([])), own };
        servers.set(Vec::new());
        servers
    }

    /// In the order in which to ask them.
    pub(super) fn current(&self, now: Instant) -> Rc<[SocketAddr]> {
        if let Some(file) = self.file.as_ref().filter(|file| file.next.get().is_none_or(|next| next <= now)) {
            file.next.set(now.checked_add(LOOK));
            match file.changed() {
                Ok(Some(text)) => self.set(servers(&text)),
                Ok(None) => {}
                // Those before stay.
                Err(error) => tracing::debug!(path = %file.path.display(), %error, "cannot be read"),
            }
        }
        Rc::clone(&self.known.borrow())
    }

    fn set(&self, mut found: Vec<IpAddr>) {
        if found.is_empty() {
            // As the C library (resolv.conf(5)).
            found.push(Ipv4Addr::LOCALHOST.into());
        }
        let servers = found.into_iter().map(|server| SocketAddr::new(server, NAME_SERVICE));
        *self.known.borrow_mut() = servers.filter(|server| !self.own.contains(server)).take(MOST).collect();
    }
}

impl Watched {
    fn changed(&self) -> io::Result<Option<String>> {
        let metadata = fs::metadata(&self.path)?;
        let now = Some((metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino()));
        if self.seen.get() == now {
            return Ok(None);
        }
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file"));
        }
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(LARGEST_FILE).read_to_end(&mut bytes)?;
        self.seen.set(now);
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Addresses of `nameserver` lines; what is none is left out.
fn servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    lines.filter_map(|address| address.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(servers: &Servers, now: Instant) -> Vec<String> {
        servers.current(now).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn name_servers_are_read_as_the_c_library_does() {
        let text = "# a comment\n; another\nsearch shop.svc cluster.local\nnameserver 10.0.0.1\n nameserver\t::1 x\nnameserver no\noptions ndots:5\nnameserver";
        assert_eq!(servers(text).iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "::1"]);
    }

    #[test]
    fn a_file_is_read_again_when_it_changes_and_what_was_there_stays_when_it_goes() {
        let path = std::env::temp_dir().join(format!("ninon-resolv-{}", std::process::id()));
        let own = vec!["10.0.0.9:53".parse().unwrap()];
        let servers = Servers::of_file(path.clone(), own);
        let mut now = Instant::now();
        assert_eq!(addresses(&servers, now), ["127.0.0.1:53"], "there is none");
        fs::write(&path, "nameserver 10.0.0.1\nnameserver 10.0.0.9\nnameserver fd00::1\n").unwrap();
        assert_eq!(addresses(&servers, now), ["127.0.0.1:53"], "it was just looked at");
        now += LOOK;
        assert_eq!(addresses(&servers, now), ["10.0.0.1:53", "[fd00::1]:53"]);
        fs::write(&path, "nameserver 10.0.0.2").unwrap();
        now += LOOK;
        assert_eq!(addresses(&servers, now), ["10.0.0.2:53"]);
        fs::remove_file(&path).unwrap();
        now += LOOK;
        assert_eq!(addresses(&servers, now), ["10.0.0.2:53"]);
    }

    #[test]
    fn given_servers_are_asked_and_the_proxy_itself_is_not() {
        let [one, own] = ["10.0.0.1:5353", "127.0.0.1:15053"].map(|address| address.parse().unwrap());
        let servers = Servers::new(&[own, one], vec![own]);
        assert_eq!(addresses(&servers, Instant::now()), ["10.0.0.1:5353"]);
    }
}
