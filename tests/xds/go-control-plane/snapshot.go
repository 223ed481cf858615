package main

import (
	"encoding/json"
	"fmt"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protojson"

	// Known to protobuf JSON inside of others.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
)

// All resources of a type.
type resources struct {
	Version   string            `json:"version"`
	Resources []json.RawMessage `json:"resources"`
}

// The versions of a type: for the state of the world, and by resource for the incremental protocol.
type versions struct {
	Version   string            `json:"version"`
	Resources map[string]string `json:"resources"`
}

// One type, as the tests name it and as it is named on the wire.
type resourceType struct {
	name  string
	url   string
	empty func() types.Resource
}

var resourceTypes = []resourceType{
	{"cluster", resource.ClusterType, func() types.Resource { return &cluster.Cluster{} }},
	{"endpoints", resource.EndpointType, func() types.Resource { return &endpoint.ClusterLoadAssignment{} }},
	{"listener", resource.ListenerType, func() types.Resource { return &listener.Listener{} }},
	{"scopes", resource.ScopedRouteType, func() types.Resource { return &route.ScopedRouteConfiguration{} }},
	{"routes", resource.RouteType, func() types.Resource { return &route.RouteConfiguration{} }},
	{"secret", resource.SecretType, func() types.Resource { return &tls.Secret{} }},
}

// The tests' name of a type.
func nameOf(url string) string {
	for _, known := range resourceTypes {
		if known.url == url {
			return known.name
		}
	}
	return url
}

// What is to be served, with the versions that the cache makes of it.
func snapshot(set map[string]resources) (*cache.Snapshot, map[string]versions, error) {
	made := &cache.Snapshot{}
	for _, known := range resourceTypes {
		var read []types.Resource
		for _, text := range set[known.name].Resources {
			message := known.empty()
			if err := protojson.Unmarshal(text, message); err != nil {
				return nil, nil, fmt.Errorf("%s: %w in %s", known.name, err, text)
			}
			read = append(read, message)
		}
		made.Resources[cache.GetResponseType(known.url)] = cache.NewResources(set[known.name].Version, read)
	}
	if err := made.ConstructVersionMap(); err != nil {
		return nil, nil, err
	}
	told := map[string]versions{}
	for _, known := range resourceTypes {
		told[known.name] = versions{made.GetVersion(known.url), made.GetVersionMap(known.url)}
	}
	return made, told, nil
}

type hash struct{}

func (hash) ID(*core.Node) string { return everybody }
