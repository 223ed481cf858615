use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;

use crate::authority::text::{hex, unhex};

const BYTES: usize = 32;
/// The file has a line of digits, and nothing is longer.
const LONGEST: u64 = 4096;

/// Encrypts what the store is not to know. The key is in a file beside it.
pub(super) struct Seal(RandomizedNonceKey);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// With the key of a file.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others than its owner may read or write the key of the authority");
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text)?;
        let wrong = || {
            let problem = format!("{}: this is no key; one is {} hexadecimal digits", path.display(), BYTES * 2);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        };
        let key = unhex(text.trim()).filter(|key| key.len() == BYTES).ok_or_else(wrong)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).map(Self).map_err(|_| wrong())
    }

    /// Makes a file with a new key, unless it is there already: beside its place first, so that nobody ever sees half of it.
    pub(super) fn make(path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut key = [0_u8; BYTES];
        rand::fill(&mut key).map_err(|_| io::Error::other("there is no randomness"))?;
        let mut random = [0_u8; 8];
        rand::fill(&mut random).map_err(|_| io::Error::other("there is no randomness"))?;
        let beside = path.with_extension(format!("{}.new", hex(&random)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(format!("{}\n", hex(&key)).as_bytes())?;
        file.sync_all()?;
        // Of two control planes that begin at the same time, the first makes the key.
        let made = std::fs::hard_link(&beside, path);
        std::fs::remove_file(&beside)?;
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            made => made?,
        }
        match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Encrypts. `about` is no secret, and has to be the same when it is opened.
    pub(super) fn seal(&self, about: &str, secret: &[u8]) -> Option<String> {
        let mut text = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(about), &mut text).ok()?;
        Some(hex(nonce.as_ref()) + &hex(&text))
    }

    /// What was encrypted with the same key.
    pub(super) fn open(&self, about: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = unhex(sealed)?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        self.0.open_in_place(nonce, Aad::from(about), &mut text).ok().map(|secret| secret.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::tests::Folder;

    #[test]
    fn only_the_same_key_opens_what_was_sealed_and_only_for_the_same_thing() {
        let folder = Folder::new();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        Seal::make(&one).unwrap();
        let first = std::fs::read(&one).unwrap();
        Seal::make(&one).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), first, "who comes second takes the first one's");
        Seal::make(&other).unwrap();
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension().is_some()).count(),
            0
        );
        assert_eq!(std::fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o600);
        let sealed = Seal::read(&one).unwrap().seal("root 1", b"secret").unwrap();
        assert!(!sealed.contains(&hex(b"secret")));
        assert_eq!(Seal::read(&one).unwrap().open("root 1", &sealed).as_deref(), Some(b"secret".as_slice()));
        assert_eq!(Seal::read(&one).unwrap().open("root 2", &sealed), None);
        assert_eq!(Seal::read(&other).unwrap().open("root 1", &sealed), None);
        assert!(["", "00", &sealed[..40]].iter().all(|wrong| Seal::read(&one).unwrap().open("root 1", wrong).is_none()));
        std::fs::write(&one, "00ff\n").unwrap();
        assert!(Seal::read(&one).unwrap_err().to_string().ends_with("this is no key; one is 64 hexadecimal digits"));
    }
}
