//! What filters decide about connections and requests: decisions without I/O. Which filters run, and in which order, is told by
//! whoever calls.

/// Who may do what.
pub mod access;

use crate::config::filter::{FilterKind, FilterOverride, FilterOverrides, HttpFilter};

/// What a filter does with a request; `None`: nothing. `levels` are the settings of the request's route, virtual host and table: the
/// most specific one that speaks of the filter counts.
pub fn kind<'a>(filter: &'a HttpFilter, mut levels: impl Iterator<Item = &'a FilterOverrides>) -> Option<&'a FilterKind> {
    match levels.find_map(|overrides| overrides.of(&filter.name)) {
        None => (!filter.disabled).then_some(&filter.kind),
        Some(FilterOverride::Disabled) => None,
        Some(FilterOverride::Enabled) => Some(&filter.kind),
        Some(FilterOverride::Kind(kind)) => Some(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::access::HttpAccess;

    fn access(stat_prefix: &str) -> FilterKind {
        FilterKind::Access(HttpAccess { stat_prefix: stat_prefix.to_owned(), ..HttpAccess::default() })
    }

    fn runs(disabled: bool, levels: &[Option<FilterOverride>]) -> Option<String> {
        let filter = HttpFilter { name: "a".to_owned(), disabled, kind: access("own") };
        let overrides = |said: &Option<FilterOverride>| {
            let other = ("b".to_owned(), FilterOverride::Disabled);
            FilterOverrides::new(said.clone().map(|said| ("a".to_owned(), said)).into_iter().chain([other]).collect())
        };
        let levels: Vec<FilterOverrides> = levels.iter().map(overrides).collect();
        kind(&filter, levels.iter()).map(|FilterKind::Access(access)| access.stat_prefix.clone())
    }

    #[test]
    fn the_most_specific_level_that_speaks_of_a_filter_counts() {
        let own = Some("own".to_owned());
        assert_eq!(runs(false, &[None, None]), own);
        assert_eq!(runs(true, &[None, None]), None);
        assert_eq!(runs(false, &[None, Some(FilterOverride::Disabled)]), None);
        assert_eq!(runs(false, &[Some(FilterOverride::Enabled), Some(FilterOverride::Disabled)]), own);
        assert_eq!(runs(true, &[Some(FilterOverride::Enabled)]), own);
        assert_eq!(runs(true, &[Some(FilterOverride::Kind(access("of route")))]), Some("of route".to_owned()));
        assert_eq!(runs(false, &[None, Some(FilterOverride::Kind(access("of host")))]), Some("of host".to_owned()));
    }
}
