// Package incluster asks Kubernetes' API as the service account of the pod that the program runs in.
package incluster

import (
	"bytes"
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
	"path/filepath"
	"strings"
	"time"
)

var (
	account  = "/var/run/secrets/kubernetes.io/serviceaccount"
	patience = 30 * time.Second  // with an answer, and with a watch that has not begun
	turn     = 290 * time.Second // after it the API server ends a watch
	silence  = turn + time.Minute
	pause    = 2 * time.Second // after a failure, before the next try
)

// Client is a way to the API. All of its methods may be called at the same time.
type Client struct {
	url   string
	token func() (string, error)
	http  *http.Client
}

// Event is one word of a watch: ADDED, MODIFIED, DELETED, or BOOKMARK, whose object holds nothing but a resourceVersion.
type Event struct {
	Type   string
	Object json.RawMessage
}

// Refusal is an answer of the API that is no success.
type Refusal struct {
	Code    int
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Refused tells whether the error is the API's answer with this code.
func Refused(err error, code int) bool {
	var refusal *Refusal
	return errors.As(err, &refusal) && refusal.Code == code
}

// Gone tells whether the version from which a watch was to go on is too old: only a new list helps.
func Gone(err error) bool { return Refused(err, http.StatusGone) }

// Open finds the API as any pod does: its address in the environment, its authority and the token beside each other.
func Open() (*Client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" { // in the words of Kubernetes' own client
		return nil, errors.New("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined")
	}
	pem, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return nil, err
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s/ca.crt", account)
	}
	c := At("https://" + net.JoinHostPort(host, port))
	c.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: authority}
	c.token = func() (string, error) { // read anew each time: it is replaced while the program runs
		text, err := os.ReadFile(filepath.Join(account, "token"))
		return strings.TrimSpace(string(text)), err
	}
	return c, nil
}

// At asks the API at an address, without a service account: for tests.
func At(address string) *Client {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 16}
	return &Client{strings.TrimSuffix(address, "/"), func() (string, error) { return "", nil }, &http.Client{Transport: transport}}
}

// As asks with somebody else's token.
func (c *Client) As(token string) *Client {
	return &Client{c.url, func() (string, error) { return token, nil }, c.http}
}

// Stream gives an answer's body as it comes; the caller closes it.
func (c *Client) Stream(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, sent)
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	kind := "application/json"
	if method == http.MethodPatch {
		kind = "application/merge-patch+json"
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("User-Agent", filepath.Base(os.Args[0])+"/1 (stand-in)") // what comes before the / is the manager of fields
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	var said struct{ Message string }
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = fmt.Sprintf("%s %s: %s", method, path, response.Status)
	}
	return nil, &Refusal{response.StatusCode, said.Message}
}

// Do asks, and reads the answer's JSON into what is not nil.
func (c *Client) Do(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := c.Stream(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, answer)
	} else if err = json.NewDecoder(answer).Decode(into); err != nil {
		err = fmt.Errorf("%s %s: %w", method, path, err)
	}
	return err
}

// Watch tells each change at path after the version from, bookmarks too, until the API server ends it, which is no error,
// or until what it calls returns one.
func (c *Client) Watch(ctx context.Context, path, from string, changed func(Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A connection that died without a word must not keep anybody waiting for ever.
	dead := time.AfterFunc(patience, func() { cancel(fmt.Errorf("the watch of %s has died", path)) })
	defer dead.Stop()
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	query := fmt.Sprintf("watch=true&allowWatchBookmarks=true&timeoutSeconds=%.0f&resourceVersion=%s", turn.Seconds(), url.QueryEscape(from))
	answer, err := c.Stream(ctx, http.MethodGet, path+mark+query, nil)
	if err != nil {
		return because(ctx, err)
	}
	defer answer.Close()
	dead.Reset(silence)
	for events := json.NewDecoder(answer); ; {
		var event Event
		if err := events.Decode(&event); err == io.EOF {
			return context.Cause(ctx) // an end that came of calling it off looks like any other
		} else if err != nil {
			return because(ctx, fmt.Errorf("watching %s: %w", path, err))
		}
		if event.Type == "ERROR" {
			refusal := &Refusal{}
			if json.Unmarshal(event.Object, refusal) != nil || refusal.Message == "" {
				refusal.Message = fmt.Sprintf("watching %s: %s", path, event.Object)
			}
			return refusal
		}
		if err := changed(event); err != nil {
			return err
		}
	}
}

// because is why a context has ended, or else the error.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Follow tells each object at path, as ADDED, and then each change, until ctx ends. It begins anew with a list after each watch:
// nothing stays missed. What fails is told, and tried again.
func (c *Client) Follow(ctx context.Context, path string, changed func(Event), failed func(error)) {
	for ctx.Err() == nil {
		var list struct {
			Metadata struct{ ResourceVersion string }
			Items    []json.RawMessage
		}
		err := c.Do(ctx, http.MethodGet, path, nil, &list)
		if err == nil {
			for _, item := range list.Items {
				changed(Event{"ADDED", item})
			}
			err = c.Watch(ctx, path, list.Metadata.ResourceVersion, func(event Event) error {
				if event.Type != "BOOKMARK" {
					changed(event)
				}
				return nil
			})
		}
		if err != nil && !Gone(err) && ctx.Err() == nil {
			failed(err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}
