//! Who may do what: a token for operators who change things, and one for those who look.
//!
//! Each is a file in the state directory, made at the first start. Here only their digests are kept, so that no log, dump or
//! error can show them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{constant_time, rand};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::Api;
use crate::api::problem::Problem;

/// The token of those who change things.
pub const ADMIN_FILE: &str = "admin-token";
/// The token of those who look.
pub const READ_FILE: &str = "read-token";

/// Shorter ones can be guessed.
const SHORTEST: usize = 32;
/// No token is longer, whatever the file.
const LONGEST: u64 = 4096;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Look.
    Read,
}

impl Role {
    /// In one word, as the author of a revision.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read-only",
        }
    }
}

/// The tokens' digests.
#[derive(Clone)]
pub struct Tokens {
    admin: [u8; 32],
    read: [u8; 32],
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the tokens of a state directory, and makes what is missing.
    pub fn open(directory: &Path) -> io::Result<Self> {
        if !directory.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(Self { admin: hashed(&token(&directory.join(ADMIN_FILE))?), read: hashed(&token(&directory.join(READ_FILE))?) })
    }

    /// What the bearer of a token may do.
    pub fn role(&self, presented: &str) -> Option<Role> {
        let presented = hashed(presented);
        // Both are compared, in constant time each: how long it takes tells nothing.
        let is_admin = constant_time::verify_slices_are_equal(&self.admin, &presented).is_ok();
        let is_read = constant_time::verify_slices_are_equal(&self.read, &presented).is_ok();
        match (is_admin, is_read) {
            (true, _) => Some(Role::Admin),
            (false, true) => Some(Role::Read),
            (false, false) => None,
        }
    }
}

/// Lets those through who may; they are known to handlers by their [`Role`].
pub(super) async fn check(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Result<Response, Problem> {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return Ok(next.run(request).await);
    }
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(header) = header else {
        let detail = format!("a bearer token is needed; the server wrote one to the file {ADMIN_FILE} in its state directory");
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
    };
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let Some(role) = token.and_then(|token| api.tokens.role(token)) else {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is not valid here"));
    };
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    if role == Role::Read && !looks {
        return Err(Problem::new(StatusCode::FORBIDDEN, "this token may look and not change; the admin token may"));
    }
    request.extensions_mut().insert(role);
    Ok(next.run(request).await)
}

fn hashed(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().unwrap_or_default()
}

/// The token in a file, which is made if it is missing.
fn token(path: &Path) -> io::Result<String> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path)?;
            read(path)
        }
        read => read,
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < SHORTEST {
        let problem = format!("{}: a token must have {SHORTEST} characters at least; delete the file to have one made", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(token.to_owned())
}

/// Writes a new token: beside its place first, so that nobody ever sees half of it.
fn make(path: &Path) -> io::Result<()> {
    let mut random = [0_u8; 32];
    rand::fill(&mut random).map_err(|_| io::Error::other("there is no randomness"))?;
    let token = random.iter().fold(String::from("ninon-"), |token, byte| format!("{token}{byte:02x}"));
    let beside: PathBuf = path.with_extension("new");
    let _left_by_a_crash = std::fs::remove_file(&beside).is_ok();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn tokens_are_made_once_for_their_owner_only_and_shown_nowhere() {
        let folder = std::env::temp_dir().join(format!("ninon-tokens-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let first = Tokens::open(&folder).unwrap();
        let of = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap().trim().to_owned();
        let (admin, read) = (of(ADMIN_FILE), of(READ_FILE));
        assert_eq!(std::fs::metadata(folder.join(ADMIN_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(admin, read);
        assert!(!format!("{first:?}").contains(&admin[6..20]));
        let second = Tokens::open(&folder).unwrap();
        for tokens in [first, second] {
            assert_eq!(tokens.role(&admin), Some(Role::Admin));
            assert_eq!(tokens.role(&read), Some(Role::Read));
            assert_eq!(tokens.role(""), None);
            assert_eq!(tokens.role(&admin[..admin.len() - 1]), None);
        }
        std::fs::write(folder.join(READ_FILE), "short\n").unwrap();
        let error = Tokens::open(&folder).unwrap_err().to_string();
        assert!(error.contains("a token must have 32 characters at least"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
