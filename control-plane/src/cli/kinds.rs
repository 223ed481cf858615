//! Kinds and names as they are written on a command line.

use crate::cli::Stop;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};

pub(super) use crate::source::manifest::DEFAULT_NAMESPACE as DEFAULT;

/// Reads a kind.
pub(super) fn kind(word: &str) -> Result<Kind, Stop> {
    Kind::of_word(word).ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.into_iter().map(Kind::plural).collect();
        Stop::Usage(format!("there are no {word:?}; there are {}", known.join(", ")))
    })
}

/// Reads `svc`, `svc,httproutes`, `svc web cart`, `svc/web httproute/web`: kinds, and names of one kind or each with its own.
pub(super) fn meant(words: &[String]) -> Result<Vec<(Kind, Option<String>)>, Stop> {
    let Some((first, names)) = words.split_first() else { return Err(Stop::Usage("which kind?".to_owned())) };
    if first.contains('/') {
        let each = words.iter().map(|word| match word.split_once('/') {
            Some((kind, name)) => Ok((self::kind(kind)?, Some(name.to_owned()))),
            None => Err(Stop::Usage(format!("every one must be KIND/NAME, got {word:?}"))),
        });
        return each.collect();
    }
    let kinds = first.split(',').map(kind).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Ok(kinds.into_iter().map(|kind| (kind, None)).collect());
    }
    Ok(kinds.iter().flat_map(|kind| names.iter().map(|name| (*kind, Some(name.clone())))).collect())
}

/// Which object is meant by a name.
pub(super) fn key(kind: Kind, name: &str, namespace: Option<&str>) -> Key {
    let namespace = if kind.is_namespaced() { namespace.unwrap_or(DEFAULT) } else { "" };
    Key { kind, name: Name::new(namespace, name) }
}

/// As kubectl names an object: `service/web`.
pub(super) fn short(kind: Kind, name: &str) -> String {
    format!("{}/{name}", kind.nicknames().next().unwrap_or_default())
}

/// Where the API has an object.
pub(super) fn path(key: &Key) -> String {
    match &*key.name.namespace {
        "" => format!("/api/v1/{}/{}", key.kind.plural(), encoded(&key.name.name)),
        namespace => format!("/api/v1/{}/{}/{}", key.kind.plural(), encoded(namespace), encoded(&key.name.name)),
    }
}

/// Text within a URL.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |url, byte| match plain(byte) {
        true => url + &char::from(byte).to_string(),
        false => format!("{url}%{byte:02X}"),
    })
}
