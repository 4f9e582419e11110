package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/spdystream"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// exitError is a command's end with a code.
type exitError struct{ code int }

func (e *exitError) Error() string {
	return fmt.Sprintf("command terminated with exit code %d", e.code)
}

// execute runs a command in a container, over SPDY as the real runner does: a POST, so that the right to create is all that it needs.
func execute(ctx context.Context, namespace, pod, container string, command []string, stdin string, output io.Writer) error {
	query := url.Values{"container": {container}, "command": command, "stdin": {"true"}, "stdout": {"true"}, "stderr": {"true"}}
	connection, err := upgrade(ctx, fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/exec?%s", namespace, pod, query.Encode()))
	if err != nil {
		return err
	}
	streams, err := spdystream.NewConnection(connection, false)
	if err != nil {
		return err
	}
	go streams.Serve(spdystream.NoOpStreamHandler)
	defer connection.Close()
	ended := make(chan error, 1)
	go func() { ended <- converse(streams, stdin, output) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// converse gives the script and takes what is printed, until the error stream says how it ended.
func converse(streams *spdystream.Connection, stdin string, output io.Writer) error {
	opened := map[string]*spdystream.Stream{}
	for _, kind := range []string{"error", "stdin", "stdout", "stderr"} {
		stream, err := streams.CreateStream(http.Header{"streamType": {kind}}, nil, false)
		if err != nil {
			return err
		}
		if err := stream.WaitTimeout(30 * time.Second); err != nil {
			return err
		}
		opened[kind] = stream
	}
	opened["error"].Close()
	go func() {
		io.WriteString(opened["stdin"], stdin)
		opened["stdin"].Close()
	}()
	var reading sync.WaitGroup
	for _, kind := range []string{"stdout", "stderr"} {
		reading.Go(func() { io.Copy(output, opened[kind]) })
	}
	reading.Wait()
	said, err := io.ReadAll(opened["error"])
	if err != nil {
		return err
	}
	return outcome(said)
}

// outcome reads the Status that ends a command.
func outcome(said []byte) error {
	var status struct {
		Status, Message, Reason string
		Details                 struct {
			Causes []struct{ Reason, Message string }
		}
	}
	if json.Unmarshal(said, &status) != nil {
		return errors.New("the connection to the container ended without a word")
	}
	if status.Status == "Success" {
		return nil
	}
	for _, cause := range status.Details.Causes {
		if code, err := strconv.Atoi(cause.Message); status.Reason == "NonZeroExitCode" && cause.Reason == "ExitCode" && err == nil {
			return &exitError{code}
		}
	}
	return errors.New(status.Message)
}

// upgrade asks the API server for a connection of its own. The package that asks all else has no way to do so.
func upgrade(ctx context.Context, path string) (net.Conn, error) {
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	authority, token, err := credentials()
	if err != nil {
		return nil, err
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 30 * time.Second}, Config: &tls.Config{RootCAs: authority, NextProtos: []string{"http/1.1"}}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	request, _ := http.NewRequest(http.MethodPost, "https://"+address+path, nil)
	for name, value := range map[string]string{"Authorization": "Bearer " + token, "Connection": "Upgrade", "Upgrade": "SPDY/3.1",
		"X-Stream-Protocol-Version": "v4.channel.k8s.io", "User-Agent": "gitlab-runner/1 (stand-in)"} {
		request.Header.Set(name, value)
	}
	if err := request.Write(connection); err != nil {
		connection.Close()
		return nil, err
	}
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, request)
	if err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		return &buffered{connection, reader}, nil
	}
	defer connection.Close()
	if err != nil {
		return nil, err
	}
	return nil, refused(response)
}

// buffered reads first what came with the answer.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (b *buffered) Read(into []byte) (int, error) { return b.reader.Read(into) }

func refused(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	var said struct{ Message string }
	if json.Unmarshal(text, &said) == nil && said.Message != "" {
		return errors.New(said.Message)
	}
	return fmt.Errorf("unable to upgrade connection: %s", strings.TrimSpace(string(text)))
}

func credentials() (*x509.CertPool, string, error) {
	pem, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, "", err
	}
	token, err := os.ReadFile(account + "token")
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(pem)
	return authority, strings.TrimSpace(string(token)), err
}
