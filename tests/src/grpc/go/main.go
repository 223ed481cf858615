// gRPC servers that answer with their names, and a client that finds them by xDS. One line of JSON in, one out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds"
)

const method = "/tests.Echo/Name"

// Messages are bytes.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "raw" }

func serve(name string) (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	answer := func(_ any, stream grpc.ServerStream) error {
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		reply := []byte(name)
		return stream.SendMsg(&reply)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(answer))
	go func() {
		if err := server.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func call(channels map[string]*grpc.ClientConn, target string) string {
	channel, known := channels[target]
	if !known {
		var err error
		if channel, err = grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			return "NOT A TARGET: " + err.Error()
		}
		channels[target] = channel
	}
	limited, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, reply := []byte{}, []byte{}
	if err := channel.Invoke(limited, method, &request, &reply, grpc.ForceCodec(raw{})); err != nil {
		told := status.Convert(err)
		return strings.ToUpper(told.Code().String()) + ": " + told.Message()
	}
	return string(reply)
}

func run() error {
	ports := map[string]int{}
	for _, name := range []string{"first", "second"} {
		port, err := serve(name)
		if err != nil {
			return err
		}
		ports[name] = port
	}
	output := json.NewEncoder(os.Stdout)
	if err := output.Encode(ports); err != nil {
		return err
	}
	channels := map[string]*grpc.ClientConn{}
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var command struct {
			Target string
			Calls  int
		}
		if err := json.Unmarshal(input.Bytes(), &command); err != nil {
			return err
		}
		answers := []string{}
		for range command.Calls {
			answers = append(answers, call(channels, command.Target))
		}
		if err := output.Encode(answers); err != nil {
			return err
		}
	}
	return input.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
