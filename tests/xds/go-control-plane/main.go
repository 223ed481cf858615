// Serves snapshots over an aggregated xDS stream, with the cache and the server of go-control-plane as they are.
//
// Each line of standard input is a command: {"set": {TYPE: {"version": VERSION, "resources": [RESOURCE, ...]}}}, where TYPE is one
// of resourceTypes and a RESOURCE is protobuf JSON. The first one opens the port. Each line of standard output is an event: what
// was set, or what a callback of the server told. The end of standard input ends the program.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// Every proxy gets the same snapshot.
	everybody = "everybody"
	// A command is a whole snapshot on one line.
	longestLine = 16 << 20
	// What go-control-plane's example sets.
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 5 * time.Second
)

type command struct {
	Set map[string]resources `json:"set"`
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	flag.Parse()
	if err := run(*address, os.Stdin, &events{to: json.NewEncoder(os.Stdout)}); err != nil {
		log.Fatal(err)
	}
}

func run(address string, commands io.Reader, events *events) error {
	snapshots := cache.NewSnapshotCache(true, hash{}, nil)
	lines := bufio.NewScanner(commands)
	lines.Buffer(nil, longestLine)
	for listening := false; lines.Scan(); {
		var command command
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			return fmt.Errorf("a command: %w", err)
		}
		snapshot, versions, err := snapshot(command.Set)
		if err != nil {
			return err
		}
		// Told first: what proxies say to it comes after.
		events.tell(event{Event: "set", Set: versions})
		if err := snapshots.SetSnapshot(context.Background(), everybody, snapshot); err != nil {
			return err
		}
		if !listening {
			if err := listen(address, snapshots, events); err != nil {
				return err
			}
			listening = true
		}
	}
	return lines.Err()
}

func listen(address string, snapshots cache.Cache, events *events) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	pings := keepalive.EnforcementPolicy{MinTime: keepaliveTime, PermitWithoutStream: true}
	ours := keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}
	serves := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(pings), grpc.KeepaliveParams(ours))
	xds := server.NewServer(context.Background(), snapshots, events.callbacks(), sotw.WithOrderedADS())
	discovery.RegisterAggregatedDiscoveryServiceServer(serves, xds)
	go func() { log.Fatal(serves.Serve(listener)) }()
	return nil
}
