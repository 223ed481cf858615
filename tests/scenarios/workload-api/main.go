// A SPIFFE Workload API for tests, on go-spiffe's protocol types, and a workload that uses go-spiffe itself.
//
//	workload-api serve SOCKET    answers as the lines of standard input say
//	workload-api peer SOCKET     serves TLS by the identity that it gets there, and makes requests
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"sync"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// octets are hexadecimal digits in JSON.
type octets []byte

func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = hex.DecodeString(string(text))
	return err
}

// svid is one identity, in DER.
type svid struct {
	ID     string `json:"id"`
	Chain  octets `json:"chain"`
	Key    octets `json:"key"`
	Bundle octets `json:"bundle"`
}

// order is a line of standard input.
type order struct {
	SVIDs     []svid            `json:"svids"`
	Federated map[string]octets `json:"federated"`
	// Lists are revocation lists.
	Lists []octets `json:"lists"`
	// Deny answers everybody that there is no identity for them.
	Deny bool `json:"deny"`
	// Close ends the streams that there are.
	Close bool `json:"close"`
}

type server struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	lock    sync.Mutex
	now     *order
	changed chan struct{}
}

func (s *server) take(next *order) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if !next.Close || next.SVIDs != nil || next.Deny {
		s.now = next
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) state() (*order, chan struct{}) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.now, s.changed
}

func (s *server) FetchX509SVID(_ *workload.X509SVIDRequest, stream workload.SpiffeWorkloadAPI_FetchX509SVIDServer) error {
	if err := checked(stream); err != nil {
		return err
	}
	fmt.Println("stream")
	for {
		now, changed := s.state()
		if now != nil && now.Deny {
			return status.Error(codes.PermissionDenied, "no identity issued")
		}
		if now != nil {
			answer := &workload.X509SVIDResponse{FederatedBundles: map[string][]byte{}}
			for name, bundle := range now.Federated {
				answer.FederatedBundles[name] = bundle
			}
			for _, list := range now.Lists {
				answer.Crl = append(answer.Crl, list)
			}
			for _, one := range now.SVIDs {
				answer.Svids = append(answer.Svids, &workload.X509SVID{
					SpiffeId: one.ID, X509Svid: one.Chain, X509SvidKey: one.Key, Bundle: one.Bundle,
				})
			}
			if err := stream.Send(answer); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-changed:
		}
		if next, _ := s.state(); next == now {
			return status.Error(codes.Unavailable, "the agent ends")
		}
	}
}

func (s *server) FetchX509Bundles(_ *workload.X509BundlesRequest, stream workload.SpiffeWorkloadAPI_FetchX509BundlesServer) error {
	return status.Error(codes.Unimplemented, "not for these tests")
}

// checked is what the Workload API demands of every caller (SPIFFE_Workload_API, 4.1).
func checked(stream grpc.ServerStream) error {
	values, _ := metadata.FromIncomingContext(stream.Context())
	if found := values.Get("workload.spiffe.io"); len(found) != 1 || found[0] != "true" {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	return nil
}

func serve(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	api := &server{changed: make(chan struct{})}
	grpcServer := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(grpcServer, api)
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			next := &order{}
			if err := json.Unmarshal(lines.Bytes(), next); err != nil {
				log.Fatal(err)
			}
			api.take(next)
		}
		os.Exit(0)
	}()
	fmt.Println("listens")
	return grpcServer.Serve(listener)
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: workload-api serve|peer SOCKET")
	}
	run := map[string]func(string) error{"serve": serve, "peer": peer}[os.Args[1]]
	if run == nil {
		log.Fatalf("unknown: %s", os.Args[1])
	}
	if err := run(os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
