
local±
all*¦

/ž
badJ–
5xx*ˆ
*envoy.retry_host_predicates.previous_hostsZ
Xtype.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate0
