use http::{HeaderMap, HeaderValue, Method, Version};
use ninon_proxy::config::http::{EscapedSlashes, PathSettings};
use ninon_proxy::exchange::{RequestHead, RequestPath};
use ninon_proxy::normalize::path::normalize;

/// A normalised path is normal: doing it again changes nothing, no dot segment is left, and the query is not touched.
pub(super) fn path(data: &[u8]) {
    let Some((flags, data)) = data.split_first() else { return };
    let escaped_slashes = match flags >> 2 & 3 {
        0 => EscapedSlashes::Keep,
        1 => EscapedSlashes::Reject,
        2 => EscapedSlashes::UnescapeAndRedirect,
        _ => EscapedSlashes::UnescapeAndForward,
    };
    let settings = PathSettings { normalize: flags & 1 != 0, merge_slashes: flags & 2 != 0, escaped_slashes };
    let Ok(target) = RequestPath::from_bytes(data) else { return };
    if !target.path().starts_with('/') {
        return;
    }
    let mut head = head(target.clone());
    if normalize(settings, &mut head).is_err() {
        return;
    }
    let once = head.path.clone().expect("it had one");
    assert_eq!(once.query(), target.query());
    assert!(once.path().starts_with('/'), "{target:?} became {once:?}");
    if settings.normalize {
        assert!(once.path().split('/').all(|segment| !is_dots(segment)), "{target:?} became {once:?}");
    }
    if settings.merge_slashes {
        // Envoy leaves two of nothing but slashes.
        assert!(!once.path().contains("//") || once.path() == "//", "{target:?} became {once:?}");
    }
    normalize(settings, &mut head).unwrap_or_else(|error| panic!("{target:?} became {once:?}: {error}"));
    assert_eq!(head.path.as_ref(), Some(&once), "{target:?} became {once:?} and then something else");
}

fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn head(target: RequestPath) -> RequestHead {
    RequestHead {
        method: Method::GET,
        scheme: HeaderValue::from_static("http"),
        authority: HeaderValue::from_static("a"),
        path: Some(target),
        version: Version::HTTP_11,
        upgrade: None,
        headers: HeaderMap::new(),
    }
}
