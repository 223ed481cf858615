
local€
all*m

/off
aj^
authzU
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute‡

/more
ajw
authzn
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute

ofroute


route2r
	
/nobody
aj`
authzW
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoutet
	
/longer
ajb
authzY
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
	
/direct:Ì


/
azu
authzl
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
	
host1


ofhost