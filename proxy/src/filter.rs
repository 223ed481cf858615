//! What filters decide about connections and requests: decisions without I/O. Which filters run, and in which order, is told by
//! whoever calls.

/// Who may do what.
pub mod access;
/// Tokens.
pub mod jwt;

use crate::config::filter::{FilterKind, FilterOverride, FilterOverrides, HttpFilter};

/// What a filter does with a request, and what a route says of it beside that; `None`: nothing. `levels` are the settings of the
/// request's route, virtual host and table: the most specific one that speaks of the filter counts.
pub fn kind<'a>(
    filter: &'a HttpFilter,
    mut levels: impl Iterator<Item = &'a FilterOverrides>,
) -> Option<(&'a FilterKind, Option<&'a FilterOverride>)> {
    match levels.find_map(|overrides| overrides.of(&filter.name)) {
        None => (!filter.disabled).then_some((&filter.kind, None)),
        Some(FilterOverride::Disabled) => None,
        Some(FilterOverride::Enabled) => Some((&filter.kind, None)),
        Some(said @ (FilterOverride::Jwt(_) | FilterOverride::External(_))) => Some((&filter.kind, Some(said))),
        // Settings of another kind of filter say nothing about this one.
        Some(FilterOverride::Kind(kind)) if std::mem::discriminant(kind) != std::mem::discriminant(&filter.kind) => {
            Some((&filter.kind, None))
        }
        Some(FilterOverride::Kind(kind)) => Some((kind, None)),
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
        kind(&filter, levels.iter()).map(|(kind, _)| match kind {
            FilterKind::Access(access) => access.stat_prefix.clone(),
            FilterKind::Jwt(_) | FilterKind::External(_) => String::new(),
        })
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
