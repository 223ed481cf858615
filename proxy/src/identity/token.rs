use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::identity::Token;

/// Bytes of a token. A service account's is a JWT of some KiB.
const LONGEST: u64 = 64 * 1024;
/// What tokens that say whom to trust begin with.
const PREFIX: &str = "ninon-join-";

/// The token of this moment.
///
/// # Errors
/// Its file cannot be read, or holds none.
pub fn read(token: &Token) -> io::Result<String> {
    let text = match token {
        Token::Given(text) => text.to_string(),
        Token::File(path) => from_file(path)?,
    };
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "holds no token"));
    }
    Ok(text.to_owned())
}

fn from_file(path: &Path) -> io::Result<String> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(named)?;
    if !file.metadata().map_err(named)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a file", path.display())));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(named)?;
    Ok(text)
}

/// The digest (SHA-256) of the key of the authority that whoever made the token trusts; `ninon-join-ID.SECRET.PIN` has one.
pub fn pin(token: &str) -> Option<[u8; 32]> {
    let mut parts = token.strip_prefix(PREFIX)?.split('.');
    let (_id, _secret, pin) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    URL_SAFE_NO_PAD.decode(pin).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_the_third_part() {
        let zeros = "A".repeat(43);
        assert_eq!(pin(&format!("ninon-join-ab.cd.{zeros}")), Some([0; 32]));
        let ones = format!("{}8", "_".repeat(42));
        assert_eq!(pin(&format!("ninon-join-ab.cd.{ones}")), Some([255; 32]));
        let wrong = format!("{}9", "_".repeat(42));
        for none in [
            "ninon-join-ab.cd".to_owned(),
            "ninon-join-ab.cd.".to_owned(),
            format!("ninon-join-ab.cd.{wrong}"),
            format!("ninon-join-ab.cd.{zeros}.x"),
            format!("eyJhbGciOi.eyJz.{zeros}"),
        ] {
            assert_eq!(pin(&none), None, "{none}");
        }
    }

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(read(&Token::Given(" abc\n".into())).unwrap(), "abc");
        assert!(read(&Token::Given("a b".into())).is_err());
        assert!(read(&Token::Given(" ".into())).is_err());
        assert!(read(&Token::File("/nowhere/token".into())).unwrap_err().to_string().starts_with("/nowhere/token: "));
        assert!(read(&Token::File("/dev/zero".into())).unwrap_err().to_string().ends_with("is not a file"));
    }
}
