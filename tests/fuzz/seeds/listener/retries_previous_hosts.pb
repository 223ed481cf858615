
main
	127.0.0.1ê?ŒÀ
-envoy.filters.network.http_connection_manager"ô
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerØhttp"ª
local±
all*¶

/û
badJñ
5xx*à
*envoy.retry_host_predicates.previous_hostsZ
Xtype.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate0
*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î