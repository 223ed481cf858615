use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::config::Fraction;
use crate::telemetry::metrics::HttpStats;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    fields.iter().map(field).collect()
}

fn parent(fields: &[(&str, &str)]) -> Option<(String, String, Option<bool>)> {
    let incoming = extract(&headers(fields));
    incoming.parent.map(|parent| (format!("{:032x}", parent.trace_id), format!("{:016x}", parent.span_id), incoming.sampled))
}

fn traceparent(value: &str) -> Option<(String, String, Option<bool>)> {
    parent(&[("traceparent", value)])
}

/// What the next one gets, for a request that was continued as `context`.
fn passed_on(fields: &[(&str, &str)], traced: bool) -> (Context, HeaderMap) {
    let mut headers = headers(fields);
    let context = Context::start(extract(&headers), traced);
    context.inject(&mut headers);
    (context, headers)
}

#[test]
fn a_traceparent_is_read_as_the_standard_says() {
    let good = |sampled| Some((TRACE.to_owned(), SPAN.to_owned(), Some(sampled)));
    assert_eq!(traceparent(&format!("00-{TRACE}-{SPAN}-01")), good(true));
    assert_eq!(traceparent(&format!("00-{TRACE}-{SPAN}-00")), good(false));
    // Unknown flags do not count; a later version may be longer.
    assert_eq!(traceparent(&format!("00-{TRACE}-{SPAN}-fe")), good(false));
    assert_eq!(traceparent(&format!("cc-{TRACE}-{SPAN}-01")), good(true));
    assert_eq!(traceparent(&format!("cc-{TRACE}-{SPAN}-01-what-comes")), good(true));
}

#[test]
fn a_malformed_traceparent_counts_as_none() {
    let zeros = "0".repeat(32);
    for bad in [
        String::new(),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("cc-{TRACE}-{SPAN}-01.more"),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}"),
        format!("0-{TRACE}0-{SPAN}-01"),
        format!("00_{TRACE}_{SPAN}_01"),
        format!("00-{TRACE}{SPAN}--01"),
        "-".repeat(55),
        "a".repeat(100_000),
    ] {
        assert_eq!(traceparent(&bad), None, "{bad:.80}");
    }
    let twice = format!("00-{TRACE}-{SPAN}-01");
    assert_eq!(parent(&[("traceparent", &twice), ("traceparent", &twice)]), None);
}

#[test]
fn a_trace_is_continued_under_a_span_of_our_own() {
    let (context, sent) = passed_on(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01")), ("tracestate", "a=1,b@v=2")], false);
    assert!(context.sampled && context.parent_is_remote);
    assert_eq!(format!("{:016x}", context.parent.unwrap()), SPAN);
    assert_eq!(sent["traceparent"], format!("00-{TRACE}-{:016x}-01", context.span_id));
    assert_eq!(sent["tracestate"], "a=1,b@v=2");
    assert_eq!(sent.keys_len(), 2);
    assert_eq!(context.trace_id_text(), TRACE);
}

#[test]
fn without_a_trace_one_begins() {
    let (context, sent) = passed_on(&[("traceparent", "nonsense"), ("tracestate", "a=1")], true);
    assert!(context.sampled && context.parent.is_none());
    let value = sent["traceparent"].to_str().unwrap();
    assert_eq!(traceparent(value).unwrap().0, context.trace_id_text());
    assert!(!sent.contains_key("tracestate"), "it belongs to a trace that is not continued");
    assert!(!passed_on(&[], false).0.sampled);
    assert_ne!(passed_on(&[], true).0.trace_id, context.trace_id);
}

#[test]
fn each_try_is_a_span_of_its_own() {
    let (context, _) = passed_on(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))], true);
    let (first, second) = (context.child(), context.child());
    assert_eq!((first.parent, second.parent), (Some(context.span_id), Some(context.span_id)));
    assert!(first.span_id != second.span_id && first.trace_id == context.trace_id && !first.parent_is_remote);
}

#[test]
fn a_malformed_tracestate_is_not_passed_on() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    let passed = |state: &str| passed_on(&[("traceparent", &parent), ("tracestate", state)], true).1.contains_key("tracestate");
    for good in ["a=1", "0a@vendor=x", "a=1 , b=2,", "a=!~", &members(32), &format!("a={}", "v".repeat(256))] {
        assert!(passed(good), "{good:.60}");
    }
    for bad in ["", ",", "a", "=1", "A=1", "a=", "a=b=c", "0=1", "a@0v=1", &members(33), &format!("a={}", "v".repeat(257))] {
        assert!(!passed(bad), "{bad:.60}");
    }
    assert!(!passed(&(0..32).map(|n| format!("k{n}={}", "v".repeat(250))).collect::<Vec<_>>().join(",")));
}

#[test]
fn several_tracestates_become_one() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let (_, sent) = passed_on(&[("traceparent", &parent), ("tracestate", "a=1"), ("tracestate", "b=2")], true);
    assert_eq!(sent.get_all("tracestate").iter().collect::<Vec<_>>(), ["a=1,b=2"]);
}

#[test]
fn b3_in_one_field_is_continued_in_one_field() {
    let (context, sent) = passed_on(&[("b3", &format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90"))], false);
    assert!(context.sampled);
    assert_eq!(sent["b3"], format!("{TRACE}-{:016x}-1-{SPAN}", context.span_id));
    assert_eq!(sent["traceparent"], format!("00-{TRACE}-{:016x}-01", context.span_id));
    assert!(!sent.contains_key("x-b3-traceid"));
}

#[test]
fn b3_in_several_fields_is_continued_in_several() {
    let given = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0"), ("x-b3-parentspanid", "1")];
    let (context, sent) = passed_on(&given, true);
    assert!(!context.sampled);
    assert_eq!(
        (&sent["x-b3-traceid"], &sent["x-b3-parentspanid"], &sent["x-b3-sampled"]),
        (&HeaderValue::from_static(TRACE), &HeaderValue::from_static(SPAN), &HeaderValue::from_static("0"))
    );
    assert_eq!(sent["x-b3-spanid"], format!("{:016x}", context.span_id));
    assert!(!sent.contains_key("b3"));
}

#[test]
fn short_b3_identifiers_stay_short() {
    let (context, sent) = passed_on(&[("x-b3-traceid", SPAN), ("x-b3-spanid", SPAN), ("x-b3-flags", "1")], false);
    assert!(context.sampled, "debug is a yes");
    assert_eq!(sent["x-b3-traceid"], SPAN);
    assert_eq!(sent["traceparent"], format!("00-{}{SPAN}-{:016x}-01", "0".repeat(16), context.span_id));
    assert_eq!(sent["x-b3-flags"], "1");
    assert!(!sent.contains_key("x-b3-sampled"));
}

#[test]
fn a_b3_decision_without_a_trace_counts() {
    for (fields, sampled) in [
        (vec![("b3", "0")], false),
        (vec![("b3", "1")], true),
        (vec![("b3", "d")], true),
        (vec![("x-b3-sampled", "0")], false),
        (vec![("x-b3-sampled", "true")], true),
        (vec![("x-b3-flags", "1")], true),
    ] {
        let (context, sent) = passed_on(&fields, !sampled);
        assert_eq!((context.sampled, context.parent), (sampled, None), "{fields:?}");
        assert!(sent.contains_key("b3") || sent.contains_key("x-b3-traceid"), "{fields:?}");
    }
}

#[test]
fn malformed_b3_counts_as_none_and_goes_no_further() {
    let zeros = "0".repeat(16);
    for bad in ["", "x", "-", "----", &format!("{TRACE}-{SPAN}-2"), &format!("{TRACE}-{SPAN}-1-1"), &format!("{TRACE}-{zeros}")] {
        let (context, sent) = passed_on(&[("b3", bad)], false);
        assert_eq!((context.parent, sent.contains_key("b3")), (None, false), "{bad}");
    }
    assert_eq!(parent(&[("x-b3-traceid", TRACE)]), None);
    assert_eq!(parent(&[("x-b3-traceid", "zz"), ("x-b3-spanid", SPAN)]), None);
}

#[test]
fn the_standard_counts_before_b3_and_both_are_written_on() {
    let other = "1".repeat(32);
    let (context, sent) = passed_on(&[("traceparent", &format!("00-{TRACE}-{SPAN}-00")), ("b3", &format!("{other}-{SPAN}-d"))], true);
    assert!(!context.sampled);
    assert_eq!(context.trace_id_text(), TRACE);
    assert_eq!(sent["b3"], format!("{TRACE}-{:016x}-0-{SPAN}", context.span_id));
}

const UUID: &str = "00000001-58cc-4372-a567-0e02b2c3d479";

fn reason(shares: (u32, u32, u32), fields: &[(&str, &str)]) -> (Reason, HeaderMap) {
    let mut headers = headers(fields);
    let (client_sampling, random_sampling, overall_sampling) =
        (Fraction::per_million(shares.0), Fraction::per_million(shares.1), Fraction::per_million(shares.2));
    let shares = RouteTracing { client_sampling, random_sampling, overall_sampling };
    (decide(shares, true, &mut headers), headers)
}

const ALL: u32 = 1_000_000;

#[test]
fn the_requests_identifier_decides() {
    let id = ("x-request-id", UUID);
    // It begins with 1: the second of ten thousand.
    assert_eq!(reason((ALL, 200, ALL), &[id]).0, Reason::Sampling);
    assert_eq!(reason((ALL, 100, ALL), &[id]).0, Reason::NotTraceable);
    assert_eq!(reason((ALL, ALL, 100), &[id]).0, Reason::NotTraceable);
    assert_eq!(reason((ALL, 0, ALL), &[id, ("x-client-trace-id", "1")]).0, Reason::ClientForced);
    assert_eq!(reason((0, 0, ALL), &[id, ("x-client-trace-id", "1")]).0, Reason::NotTraceable);
    assert_eq!(reason((0, 0, ALL), &[id, ("x-envoy-force-trace", "true")]).0, Reason::ServiceForced);
    assert_eq!(reason((ALL, ALL, ALL), &[("x-request-id", "mine")]).0, Reason::NotTraceable);
    assert_eq!(reason((ALL, ALL, ALL), &[]).0, Reason::NotTraceable);
}

#[test]
fn the_reason_travels_in_the_identifier() {
    let (_, sent) = reason((ALL, ALL, ALL), &[("x-request-id", UUID)]);
    assert_eq!(sent["x-request-id"], "00000001-58cc-9372-a567-0e02b2c3d479");
    for (digit, wanted) in [('9', Reason::Sampling), ('a', Reason::ServiceForced), ('b', Reason::ClientForced)] {
        let id = UUID.replacen("-4", &format!("-{digit}"), 1);
        let (reason, sent) = reason((0, 0, ALL), &[("x-request-id", &id)]);
        assert_eq!((reason, sent["x-request-id"].to_str().unwrap()), (wanted, id.as_str()));
    }
}

#[test]
fn without_a_collector_fields_pass_as_they_are() {
    let tracing = Tracing {
        client_sampling: Fraction::ALL,
        random_sampling: Fraction::ALL,
        overall_sampling: Fraction::ALL,
        max_path_tag_length: 256,
        spawn_upstream_span: false,
        tags: vec![],
        provider: None,
    };
    let (mut headers, stats) = (headers(&[("x-request-id", UUID), ("traceparent", "odd")]), HttpStats::default());
    assert_eq!(begin(&tracing, None, false, &mut headers, &stats), None);
    assert_eq!((headers["traceparent"].to_str().unwrap(), stats.tracing_random_sampling.value()), ("odd", 1));
}
