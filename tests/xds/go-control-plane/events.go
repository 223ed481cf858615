package main

import (
	"context"
	"encoding/json"
	"log"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// One line of output. Of the fields those are there that the event has.
type event struct {
	// set, opened, closed, request or response
	Event  string              `json:"event"`
	Set    map[string]versions `json:"set,omitempty"`
	Stream int64               `json:"stream,omitempty"`
	Delta  bool                `json:"delta,omitempty"`
	Type   string              `json:"type,omitempty"`
	// Of a response the one that is sent, of a request in the state of the world the last one accepted.
	Version string `json:"version,omitempty"`
	Nonce   string `json:"nonce,omitempty"`
	// Of a request that refuses.
	Error string `json:"error,omitempty"`
	// Of a request: names asked for (incremental: in addition), no longer, and what is known already.
	Names   []string          `json:"names,omitempty"`
	Dropped []string          `json:"dropped,omitempty"`
	Initial map[string]string `json:"initial,omitempty"`
	// Of a response: names and versions, and what is gone.
	Resources map[string]string `json:"resources,omitempty"`
	Removed   []string          `json:"removed,omitempty"`
}

// Writes events, one after the other.
type events struct {
	mutex sync.Mutex
	to    *json.Encoder
}

func (events *events) tell(event event) {
	events.mutex.Lock()
	defer events.mutex.Unlock()
	if err := events.to.Encode(event); err != nil {
		log.Fatal(err)
	}
}

func (events *events) callbacks() server.Callbacks {
	return server.CallbackFuncs{
		StreamOpenFunc: func(_ context.Context, stream int64, _ string) error {
			events.tell(event{Event: "opened", Stream: stream})
			return nil
		},
		DeltaStreamOpenFunc: func(_ context.Context, stream int64, _ string) error {
			events.tell(event{Event: "opened", Stream: stream, Delta: true})
			return nil
		},
		StreamClosedFunc: func(stream int64, _ *core.Node) {
			events.tell(event{Event: "closed", Stream: stream})
		},
		DeltaStreamClosedFunc: func(stream int64, _ *core.Node) {
			events.tell(event{Event: "closed", Stream: stream, Delta: true})
		},
		StreamRequestFunc: func(stream int64, request *discovery.DiscoveryRequest) error {
			events.tell(event{
				Event: "request", Stream: stream, Type: nameOf(request.GetTypeUrl()), Version: request.GetVersionInfo(),
				Nonce: request.GetResponseNonce(), Error: text(request.GetErrorDetail()), Names: request.GetResourceNames(),
			})
			return nil
		},
		StreamDeltaRequestFunc: func(stream int64, request *discovery.DeltaDiscoveryRequest) error {
			events.tell(event{
				Event: "request", Stream: stream, Delta: true, Type: nameOf(request.GetTypeUrl()),
				Nonce: request.GetResponseNonce(), Error: text(request.GetErrorDetail()), Names: request.GetResourceNamesSubscribe(),
				Dropped: request.GetResourceNamesUnsubscribe(), Initial: request.GetInitialResourceVersions(),
			})
			return nil
		},
		StreamResponseFunc: func(_ context.Context, stream int64, _ *discovery.DiscoveryRequest, response *discovery.DiscoveryResponse) {
			events.tell(event{
				Event: "response", Stream: stream, Type: nameOf(response.GetTypeUrl()), Version: response.GetVersionInfo(),
				Nonce: response.GetNonce(), Resources: named(response),
			})
		},
		StreamDeltaResponseFunc: func(stream int64, _ *discovery.DeltaDiscoveryRequest, response *discovery.DeltaDiscoveryResponse) {
			sent := map[string]string{}
			for _, resource := range response.GetResources() {
				sent[resource.GetName()] = resource.GetVersion()
			}
			events.tell(event{
				Event: "response", Stream: stream, Delta: true, Type: nameOf(response.GetTypeUrl()),
				Version: response.GetSystemVersionInfo(), Nonce: response.GetNonce(), Resources: sent, Removed: response.GetRemovedResources(),
			})
		},
	}
}

// Why a request refuses; nothing where it does not.
func text(refusal *status.Status) string {
	if refusal != nil && refusal.GetMessage() == "" {
		return "refused without a word"
	}
	return refusal.GetMessage()
}

// Names of what is sent; all have the version of the response.
func named(response *discovery.DiscoveryResponse) map[string]string {
	sent := map[string]string{}
	for _, packed := range response.GetResources() {
		sent[name(packed)] = response.GetVersionInfo()
	}
	return sent
}

func name(packed *anypb.Any) string {
	message, err := packed.UnmarshalNew()
	if err != nil {
		log.Fatal(err)
	}
	if resource, ok := message.(*discovery.Resource); ok {
		return resource.GetName()
	}
	return cache.GetResourceName(message)
}
