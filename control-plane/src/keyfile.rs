//! Keys of the control plane that are not in the store that they guard, but in files beside it.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::rand;

use crate::hex;

const BYTES: usize = 32;
/// The file has a line of digits, and nothing is longer.
const LONGEST: u64 = 4096;

/// A key of 256 bits. It has no way into a text.
#[derive(Clone)]
pub struct Key([u8; BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// From its bytes.
    pub const fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// That of a file.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it holds something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others than its owner may read or write a key of the control plane");
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text)?;
        let key = hex::decode(text.trim()).and_then(|key| key.try_into().ok()).map(Self);
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("this is no key; one is {} hexadecimal digits", BYTES * 2));
        key.ok_or_else(wrong)
    }

    /// That of a file, which is made if it is not there.
    ///
    /// # Errors
    /// As those of [`Self::read`], or it cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        match Self::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path)?;
                Self::read(path)
            }
            read => read,
        }
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

/// Makes a file with a new key, unless it is there already: beside its place first, so that nobody ever sees half of it.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let (key, name) = (random::<BYTES>()?, random::<8>()?);
    let beside = path.with_extension(format!("{}.new", hex::encode(&name)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(format!("{}\n", hex::encode(&key)).as_bytes()).and_then(|()| file.sync_all());
    // Of two control planes that begin at the same time, the first makes the key.
    let made = written.and_then(|()| std::fs::hard_link(&beside, path));
    // Half of a key is not left there; that a whole one is, is no reason not to begin.
    if let Err(error) = std::fs::remove_file(&beside) {
        tracing::warn!(file = %beside.display(), %error, "a copy of a key of the control plane cannot be removed");
    }
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    tracing::info!(file = %path.display(), "a new key of the control plane was made");
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn random<const LENGTH: usize>() -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0_u8; LENGTH];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("there is no randomness"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::tests::Folder;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = Folder::new();
        let path = folder.path().join("deep/key");
        let first = Key::open(&path).unwrap();
        assert_eq!(Key::open(&path).unwrap().bytes(), first.bytes());
        make(&path).unwrap();
        assert_eq!(Key::read(&path).unwrap().bytes(), first.bytes(), "who comes second takes the first one's");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(&hex::encode(first.bytes())[..8]));
    }

    #[test]
    fn what_is_no_key_is_neither_taken_nor_replaced() {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path()).unwrap();
        let path = folder.path().join("key");
        for wrong in ["", "00ff\n", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64)] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Key::open(&path).unwrap_err().to_string().ends_with("this is no key; one is 64 hexadecimal digits"), "{wrong}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        }
    }
}
