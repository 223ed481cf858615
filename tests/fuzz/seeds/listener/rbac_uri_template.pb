
main
	127.0.0.1ê?ÑÅ
-envoy.filters.network.http_connection_manager"œ
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerÂhttp"
local
all*


/
a*“
rbac"…
>type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACÜ
ÉÄ
p{
ujs
tn
Vtype.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig
/shop/{item}/price*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î