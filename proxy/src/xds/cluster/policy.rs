use std::ops::RangeInclusive;

use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::cluster::v3 as wire;
use xds_proto::envoy::config::cluster::v3::cluster::common_lb_config::LocalityConfigSpecifier;
use xds_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, LbConfig, LbPolicy, LeastRequestLbConfig,
};
use xds_proto::envoy::config::core::v3::RuntimeDouble;
use xds_proto::envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest;
use xds_proto::envoy::extensions::load_balancing_policies::least_request::v3::least_request::SelectionMethod;
use xds_proto::envoy::extensions::load_balancing_policies::random::v3::Random;
use xds_proto::envoy::extensions::load_balancing_policies::round_robin::v3::RoundRobin;

use crate::config::cluster::BalancingPolicy;
use crate::xds::invalid::Parser;
use crate::xds::matcher::percent_at;

/// Envoy's default for `choice_count`, and the least: two draws are enough to avoid the busiest.
const CHOICE_COUNT: u32 = 2;

/// Envoy's default for `active_request_bias`.
const ACTIVE_REQUEST_BIAS: f64 = 1.0;

/// Written as a range so that NaN lies outside. (Envoy takes a negative bias and counts it as 0.)
const RANGE_OF_BIAS: RangeInclusive<f64> = 0.0..=f64::MAX;

/// Envoy's default for `healthy_panic_threshold`, percent.
const PANIC_THRESHOLD: u8 = 50;

/// Why slow start is ignored.
const NO_SLOW_START: &str = "a new endpoint takes its full share at once";

/// Why the choice of a locality is ignored.
const NO_LOCALITIES: &str = "endpoints of a priority are chosen without regard to locality";

/// Why a full scan is ignored.
const NO_FULL_SCAN: &str = "the least busy of choice_count endpoints is taken";

/// `load_balancing_policy`, or else `lb_policy` and its settings.
pub fn parse(cluster: &wire::Cluster, parser: &mut Parser) -> Option<BalancingPolicy> {
    let is_original_dst = match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(*kind) == Ok(DiscoveryType::OriginalDst),
        Some(ClusterDiscoveryType::ClusterType(_)) | None => false,
    };
    if let Some(policy) = &cluster.load_balancing_policy {
        return parser.at("load_balancing_policy", |parser| match is_original_dst {
            true => parser.refuse("a cluster of type ORIGINAL_DST takes lb_policy CLUSTER_PROVIDED"),
            false => first_available(policy, parser),
        });
    }
    let policy = parser.choice::<LbPolicy>("lb_policy", cluster.lb_policy)?;
    if is_original_dst != (policy == LbPolicy::ClusterProvided) {
        return parser.refuse_at("lb_policy", "CLUSTER_PROVIDED goes with clusters of type ORIGINAL_DST, and only with them");
    }
    match policy {
        LbPolicy::ClusterProvided => Some(BalancingPolicy::ClusterProvided),
        LbPolicy::Random => Some(BalancingPolicy::Random),
        LbPolicy::RoundRobin => {
            if let Some(LbConfig::RoundRobinLbConfig(config)) = &cluster.lb_config {
                let slow = config.slow_start_config.is_some();
                parser.at("round_robin_lb_config", |parser| parser.ignored("slow_start_config", slow, NO_SLOW_START));
            }
            Some(BalancingPolicy::RoundRobin)
        }
        LbPolicy::LeastRequest => match &cluster.lb_config {
            Some(LbConfig::LeastRequestLbConfig(config)) => older_least_request(config, parser),
            _ => older_least_request(&LeastRequestLbConfig::default(), parser),
        },
        LbPolicy::RingHash => parser.refuse_at("lb_policy", "RING_HASH is not supported yet"),
        LbPolicy::Maglev => parser.refuse_at("lb_policy", "MAGLEV is not supported yet"),
        LbPolicy::LoadBalancingPolicyConfig => parser.refuse_at("load_balancing_policy", "required by lb_policy"),
    }
}

fn older_least_request(config: &LeastRequestLbConfig, parser: &mut Parser) -> Option<BalancingPolicy> {
    parser.at("least_request_lb_config", |parser| {
        parser.ignored("slow_start_config", config.slow_start_config.is_some(), NO_SLOW_START);
        least_request(config.choice_count, config.active_request_bias.as_ref(), parser)
    })
}

/// The rule of the API: the first policy of the list that is there counts.
fn first_available(policy: &wire::LoadBalancingPolicy, parser: &mut Parser) -> Option<BalancingPolicy> {
    let configs = policy.policies.iter().map(|policy| policy.typed_extension_config.as_ref()?.typed_config.as_ref());
    let known = configs.enumerate().find_map(|(index, config)| Some((index, config.filter(|config| is_known(config))?)));
    let Some((index, config)) = known else {
        let problem = "none of these is supported; there are: RoundRobin, LeastRequest, Random";
        return parser.refuse_at("policies", problem);
    };
    parser.at("policies", |parser| {
        for skipped in 0..index {
            parser.at_index(skipped, |parser| parser.warn("skipped: not supported, and a later one is"));
        }
        parser.at_index(index, |parser| {
            parser.at("typed_extension_config", |parser| parser.at("typed_config", |parser| typed(config, parser)))
        })
    })
}

fn is_known(config: &Any) -> bool {
    any::is::<RoundRobin>(config) || any::is::<LeastRequest>(config) || any::is::<Random>(config)
}

fn typed(config: &Any, parser: &mut Parser) -> Option<BalancingPolicy> {
    if any::is::<Random>(config) {
        let random = parser.unpack::<Random>(config)?;
        parser.ignored("locality_lb_config", random.locality_lb_config.is_some(), NO_LOCALITIES);
        return Some(BalancingPolicy::Random);
    }
    if any::is::<RoundRobin>(config) {
        let round_robin = parser.unpack::<RoundRobin>(config)?;
        parser.ignored("slow_start_config", round_robin.slow_start_config.is_some(), NO_SLOW_START);
        parser.ignored("locality_lb_config", round_robin.locality_lb_config.is_some(), NO_LOCALITIES);
        return Some(BalancingPolicy::RoundRobin);
    }
    let wire = parser.unpack::<LeastRequest>(config)?;
    parser.ignored("slow_start_config", wire.slow_start_config.is_some(), NO_SLOW_START);
    parser.ignored("locality_lb_config", wire.locality_lb_config.is_some(), NO_LOCALITIES);
    let full = parser.choice("selection_method", wire.selection_method) == Some(SelectionMethod::FullScan);
    parser.ignored("selection_method", full, NO_FULL_SCAN);
    parser.ignored("enable_full_scan", wire.enable_full_scan == Some(true), NO_FULL_SCAN);
    least_request(wire.choice_count, wire.active_request_bias.as_ref(), parser)
}

fn least_request(choices: Option<u32>, bias: Option<&RuntimeDouble>, parser: &mut Parser) -> Option<BalancingPolicy> {
    let choice_count = choices.unwrap_or(CHOICE_COUNT);
    if choice_count < CHOICE_COUNT {
        return parser.refuse_at("choice_count", format_args!("{choice_count} is below {CHOICE_COUNT}"));
    }
    let active_request_bias = bias.map_or(ACTIVE_REQUEST_BIAS, |bias| bias.default_value);
    if !RANGE_OF_BIAS.contains(&active_request_bias) {
        return parser.at("active_request_bias", |parser| {
            parser.refuse_at("default_value", format_args!("{active_request_bias} is not a number from 0"))
        });
    }
    Some(BalancingPolicy::LeastRequest { choice_count, active_request_bias })
}

/// `common_lb_config`: of it, only the panic threshold has an effect.
pub fn panic_threshold(config: Option<&CommonLbConfig>, parser: &mut Parser) -> u8 {
    let Some(config) = config else { return PANIC_THRESHOLD };
    parser.at("common_lb_config", |parser| {
        let specifier = config.locality_config_specifier.as_ref();
        let zone = matches!(specifier, Some(LocalityConfigSpecifier::ZoneAwareLbConfig(_)));
        let weighted = matches!(specifier, Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)));
        for (field, is_set, meaning) in [
            ("zone_aware_lb_config", zone, NO_LOCALITIES),
            ("locality_weighted_lb_config", weighted, NO_LOCALITIES),
            ("update_merge_window", config.update_merge_window.is_some(), "updates are taken as they come"),
            ("ignore_new_hosts_until_first_hc", config.ignore_new_hosts_until_first_hc, "endpoints are not probed"),
            (
                "close_connections_on_host_set_change",
                config.close_connections_on_host_set_change,
                "connections to endpoints that stay are kept",
            ),
            ("consistent_hashing_lb_config", config.consistent_hashing_lb_config.is_some(), "no supported policy hashes"),
            ("override_host_status", config.override_host_status.is_some(), "no supported filter chooses endpoints"),
        ] {
            parser.ignored(field, is_set, meaning);
        }
        let percent = percent_at("healthy_panic_threshold", config.healthy_panic_threshold.as_ref(), parser);
        percent.map_or(PANIC_THRESHOLD, rounded)
    })
}

/// A percentage as a whole number, as Envoy rounds it.
fn rounded(percent: f64) -> u8 {
    (0..=100_u8).find(|whole| percent < f64::from(*whole) + 0.5).unwrap_or(100)
}
