
main
	127.0.0.1ê?€ÿ
-envoy.filters.network.http_connection_manager"¶
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerºhttp"
local
all*


/
a*©
	ext_authz"õ
Gtype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzœê
!
http://z.example/ignoredz/check:"
x-addedfixed
x-toldoursB?


x-user
x-both


x-more"

	x-session


set-cookie`ä&

x-told

x-also0

content-type 


x-also-not*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î