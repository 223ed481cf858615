use super::*;

fn http_options(options: Value) -> Value {
    let mut options = options;
    options["@type"] = json!(format!("{TYPE}.upstreams.http.v3.HttpProtocolOptions"));
    json!({"typed_extension_protocol_options": {protocol::HTTP_OPTIONS: options}})
}

#[test]
fn typed_http_options_choose_the_version() {
    let version = |options: Value| read(&http_options(options)).map(|(cluster, _)| cluster.protocol);
    assert_eq!(version(json!({"explicit_http_config": {"http_protocol_options": {}}})), Ok(UpstreamProtocol::Http1));
    assert_eq!(version(json!({"explicit_http_config": {"http2_protocol_options": {}}})), Ok(UpstreamProtocol::Http2));
    assert_eq!(version(json!({"use_downstream_protocol_config": {}})), Ok(UpstreamProtocol::UseDownstream));
    let place = format!("typed_extension_protocol_options[{:?}]", protocol::HTTP_OPTIONS);
    assert_eq!(
        version(json!({})),
        Err(format!("{place}: one of explicit_http_config, use_downstream_protocol_config, auto_config is required"))
    );
    assert_eq!(
        version(json!({"explicit_http_config": {}})),
        Err(format!("{place}.explicit_http_config: one of http_protocol_options, http2_protocol_options is required"))
    );
    assert_eq!(
        version(json!({"auto_config": {}})),
        Err("auto_config needs a TLS transport_socket, which chooses the HTTP version by ALPN".to_owned())
    );
}

#[test]
fn the_version_may_be_chosen_by_tls() {
    let mut changes = http_options(json!({"auto_config": {}, "upstream_http_protocol_options": {"auto_sni": true}}));
    changes["transport_socket"] = json!({
        "name": "tls",
        "typed_config": {"@type": format!("{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext")},
    });
    let cluster = accepted(&changes);
    assert_eq!(cluster.protocol, UpstreamProtocol::Auto);
    assert!(cluster.tls.unwrap().auto_host_sni);
}

#[test]
fn the_older_fields_choose_the_version() {
    assert_eq!(accepted(&json!({"http2_protocol_options": {}})).protocol, UpstreamProtocol::Http2);
    assert_eq!(accepted(&json!({"http_protocol_options": {}})).protocol, UpstreamProtocol::Http1);
    let both = json!({"http_protocol_options": {}, "http2_protocol_options": {}, "protocol_selection": "USE_DOWNSTREAM_PROTOCOL"});
    assert_eq!(accepted(&both).protocol, UpstreamProtocol::UseDownstream);
    refused(
        &json!({"http_protocol_options": {}, "http2_protocol_options": {}}),
        "http2_protocol_options: cannot stand beside http_protocol_options unless protocol_selection is USE_DOWNSTREAM_PROTOCOL",
    );
    let mut typed = http_options(json!({"explicit_http_config": {"http_protocol_options": {}}}));
    typed["http2_protocol_options"] = json!({});
    assert_eq!(accepted(&typed).protocol, UpstreamProtocol::Http1);
}

#[test]
fn common_http_options_are_read_from_both_places() {
    let common = json!({
        "idle_timeout": "0s", "max_connection_duration": "60s", "max_stream_duration": "5s",
        "max_headers_count": 7, "max_response_headers_kb": 2, "max_requests_per_connection": 9,
    });
    let typed = json!({"explicit_http_config": {"http_protocol_options": {}}, "common_http_protocol_options": common});
    for changes in [json!({"common_http_protocol_options": common}), http_options(typed)] {
        let cluster = accepted(&changes);
        assert_eq!(cluster.idle_timeout, None);
        assert_eq!(cluster.max_connection_duration, Some(Duration::from_secs(60)));
        assert_eq!(cluster.max_stream_duration, Some(Duration::from_secs(5)));
        assert_eq!((cluster.max_headers_count, cluster.max_response_headers_bytes), (7, 2048));
        assert_eq!(cluster.max_requests_per_connection, Some(9));
    }
    assert_eq!(accepted(&json!({"max_requests_per_connection": 3})).max_requests_per_connection, Some(3));
    assert_eq!(accepted(&json!({"max_requests_per_connection": 0})).max_requests_per_connection, None);
}

#[test]
fn common_http_options_are_bounded() {
    let common = |options: Value| json!({"common_http_protocol_options": options});
    refused(&common(json!({"max_headers_count": 0})), "common_http_protocol_options.max_headers_count: must be above 0");
    let place = "common_http_protocol_options.max_response_headers_kb";
    refused(&common(json!({"max_response_headers_kb": 0})), &format!("{place}: 0 is not between 1 and 8192"));
    refused(&common(json!({"max_response_headers_kb": 8193})), &format!("{place}: 8193 is not between 1 and 8192"));
}

#[test]
fn protocol_options_of_other_names_or_types_are_refused() {
    let packed = json!({"@type": format!("{TYPE}.upstreams.http.v3.HttpProtocolOptions")});
    refused(
        &json!({"typed_extension_protocol_options": {"x": packed}}),
        "typed_extension_protocol_options[\"x\"]: there are no protocol options of this name, only \
         \"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"",
    );
}

#[test]
fn names_of_servers_are_not_believed_less_than_asked() {
    let upstream = |options: Value| json!({"upstream_http_protocol_options": options});
    let place = "upstream_http_protocol_options";
    refused(&upstream(json!({"auto_san_validation": true})), &format!("{place}.auto_san_validation: not supported"));
    refused(&upstream(json!({"override_auto_sni_header": "x"})), &format!("{place}.override_auto_sni_header: not supported"));
}

#[test]
fn filters_towards_endpoints_are_refused_but_for_the_codec() {
    let filters = |filter: Value| http_options(json!({"explicit_http_config": {"http_protocol_options": {}}, "http_filters": [filter]}));
    let codec = json!({"name": "codec", "typed_config": {"@type": format!("{TYPE}.filters.http.upstream_codec.v3.UpstreamCodec")}});
    assert!(read(&filters(codec)).is_ok());
    assert!(read(&filters(json!({"name": "x", "is_optional": true}))).is_ok());
    refused(
        &filters(json!({"name": "x"})),
        "typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"].http_filters[0]: \
         there are no filters for clusters but UpstreamCodec",
    );
}
