package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// peer answers each client with its SPIFFE ID, and asks the URLs of standard input: `URL SPIFFE-ID`.
func peer(socket string) error {
	source, err := workloadapi.NewX509Source(context.Background(), workloadapi.WithClientOptions(workloadapi.WithAddr("unix://"+socket)))
	if err != nil {
		return err
	}
	defer source.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{
		TLSConfig: tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeAny()),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id := "nobody"
			if uris := r.TLS.PeerCertificates[0].URIs; len(uris) == 1 {
				id = uris[0].String()
			}
			_, _ = io.WriteString(w, id)
		}),
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		url, id, _ := strings.Cut(lines.Text(), " ")
		fmt.Println(ask(source, url, id))
	}
	return nil
}

func ask(source *workloadapi.X509Source, url, id string) string {
	wanted, err := spiffeid.FromString(id)
	if err != nil {
		return err.Error()
	}
	transport := &http.Transport{
		TLSClientConfig:   tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(wanted)),
		DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return strings.ReplaceAll(err.Error(), "\n", " ")
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return fmt.Sprintf("%d %s", answer.StatusCode, body)
}
