
main
	127.0.0.1ê?ìê
-envoy.filters.network.http_connection_manager"ﬁ
etype.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManagerÙhttp"Ä
localw
all*m

/
aJ

x-drop%REQ(x-none)%J

x-keep%REQ(x-none)% J
	
x-emptyJ

x-mixed[%REQ(x-none)%]*a
envoy.filters.http.router"D
Btype.googleapis.com/envoy.extensions.filters.http.router.v3.Router“Ä·Î