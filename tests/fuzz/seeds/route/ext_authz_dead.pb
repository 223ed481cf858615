
local„
all*¶
	
/closed
aj]
openU
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoutejE
quiet<
6type.googleapis.com/envoy.config.route.v3.FilterConfigo

/open
aj_
closedU
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRouteÏ

/quiet
aj]
openU
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoutej_
closedU
Otype.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute