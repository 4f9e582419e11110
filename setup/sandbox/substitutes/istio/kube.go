package main

// What the gateway knows of the cluster: lists kept up to date by watches.

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const accounts = "/var/run/secrets/kubernetes.io/serviceaccount/"

type client struct {
	url  string
	http *http.Client
}

func newClient(url string) (*client, error) {
	transport := &http.Transport{ResponseHeaderTimeout: 30 * time.Second, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	if url == "" {
		pem, err := os.ReadFile(accounts + "ca.crt")
		authority := x509.NewCertPool()
		if err != nil || !authority.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the cluster's CA: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: authority}
		url = "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	}
	return &client{strings.TrimSuffix(url, "/"), &http.Client{Transport: transport}}, nil
}

var errGone = errors.New("the version to go on from is gone")

func (c *client) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, "GET", c.url+path, nil)
	if err != nil {
		return nil, err
	}
	if token, err := os.ReadFile(accounts + "token"); err == nil {
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == 200 {
		return response, nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
	response.Body.Close()
	if response.StatusCode == http.StatusGone {
		return nil, errGone
	}
	return nil, fmt.Errorf("%s: %s %s", path, response.Status, text)
}

type meta struct {
	Name, Namespace, ResourceVersion string
	Labels                           map[string]string
	CreationTimestamp                time.Time
}

type object[S any] struct {
	Metadata meta
	Spec     S
}

func (o object[S]) key() string     { return o.Metadata.Namespace + "/" + o.Metadata.Name }
func (o object[S]) version() string { return o.Metadata.ResourceVersion }

type keyed interface{ key() string }

// kind holds all objects of one kind.
type kind[T keyed] struct {
	path   string
	mutex  sync.Mutex
	all    map[string]T
	listed bool
}

func (k *kind[T]) copy() map[string]T {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	out := make(map[string]T, len(k.all))
	for key, one := range k.all {
		out[key] = one
	}
	return out
}

func (k *kind[T]) ready() bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.listed
}

// follow lists and watches until ctx ends, and calls changed after each change. A watch that ends, as the API server
// ends each after some minutes, goes on where it was; one whose version is gone begins with a new list.
func (k *kind[T]) follow(ctx context.Context, c *client, changed func()) {
	version, complaint := "", ""
	for ctx.Err() == nil {
		var err error
		if version == "" {
			version, err = k.list(ctx, c)
			if err == nil {
				changed()
			}
		}
		if err == nil {
			version, err = k.watch(ctx, c, version, changed)
		}
		if errors.Is(err, errGone) {
			version = ""
			continue
		}
		if err != nil && ctx.Err() == nil {
			if text := err.Error(); text != complaint {
				log.Printf("watching %s: %v", k.path, err)
				complaint = text
			}
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// read tells what an object is, and what it says; one that makes no sense is left out, and keeps no other from being read.
func (k *kind[T]) read(text json.RawMessage) (about object[json.RawMessage], one T, ok bool) {
	if err := json.Unmarshal(text, &about); err != nil {
		log.Printf("%s: %v", k.path, err)
		return about, one, false
	}
	if err := json.Unmarshal(text, &one); err != nil {
		log.Printf("%s: %s is left out: %v", k.path, about.key(), err)
		return about, one, false
	}
	return about, one, true
}

func (k *kind[T]) list(ctx context.Context, c *client) (string, error) {
	response, err := c.get(ctx, k.path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var got struct {
		Metadata meta
		Items    []json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		return "", fmt.Errorf("%s: %w", k.path, err)
	}
	all := make(map[string]T, len(got.Items))
	for _, text := range got.Items {
		if _, one, ok := k.read(text); ok {
			all[one.key()] = one
		}
	}
	k.mutex.Lock()
	k.all, k.listed = all, true
	k.mutex.Unlock()
	return got.Metadata.ResourceVersion, nil
}

// watch returns the version to go on from.
func (k *kind[T]) watch(ctx context.Context, c *client, version string, changed func()) (string, error) {
	response, err := c.get(ctx, k.path+"?watch=true&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion="+version)
	if err != nil {
		return version, err
	}
	defer response.Body.Close()
	// A connection that died without a word must not hold the gateway's knowledge still for ever.
	silent := time.AfterFunc(6*time.Minute, func() { response.Body.Close() })
	defer silent.Stop()
	decoder := json.NewDecoder(bufio.NewReader(response.Body))
	for {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		if err := decoder.Decode(&event); err != nil {
			if err == io.EOF {
				return version, nil
			}
			return version, fmt.Errorf("%s: %w", k.path, err)
		}
		if event.Type == "ERROR" {
			var status struct{ Code int }
			json.Unmarshal(event.Object, &status)
			if status.Code == http.StatusGone {
				return "", errGone
			}
			return "", fmt.Errorf("%s: %s", k.path, event.Object)
		}
		about, one, ok := k.read(event.Object)
		version = about.version()
		k.mutex.Lock()
		switch {
		case event.Type == "DELETED" || !ok:
			delete(k.all, about.key())
		case event.Type != "BOOKMARK":
			k.all[about.key()] = one
		}
		k.mutex.Unlock()
		if event.Type != "BOOKMARK" {
			changed()
		}
	}
}

// What is read of each kind.
type (
	service struct {
		Type, ExternalName string
		Ports              []servicePort
	}
	servicePort struct {
		Name string
		Port int
	}
	endpoints struct {
		object[struct{}]
		Subsets []struct {
			Addresses []struct {
				IP        string
				TargetRef struct{ Kind, Name, Namespace string }
			}
			Ports []servicePort
		}
	}
	pod = struct{} // its labels are all that is wanted
)

type cluster struct {
	client          *client
	services        kind[object[service]]
	endpoints       kind[endpoints]
	pods            kind[object[pod]]
	gateways        kind[object[gatewaySpec]]
	virtualServices kind[object[virtualService]]
	rules           kind[object[destinationRule]]
}

func newCluster(c *client) *cluster {
	const istio = "/apis/networking.istio.io/v1alpha3/"
	return &cluster{
		client:          c,
		services:        kind[object[service]]{path: "/api/v1/services"},
		endpoints:       kind[endpoints]{path: "/api/v1/endpoints"},
		pods:            kind[object[pod]]{path: "/api/v1/pods"},
		gateways:        kind[object[gatewaySpec]]{path: istio + "gateways"},
		virtualServices: kind[object[virtualService]]{path: istio + "virtualservices"},
		rules:           kind[object[destinationRule]]{path: istio + "destinationrules"},
	}
}

// watch follows everything; what it returns holds a word whenever something has changed.
func (c *cluster) watch(ctx context.Context) <-chan struct{} {
	news := make(chan struct{}, 1)
	changed := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	go c.services.follow(ctx, c.client, changed)
	go c.endpoints.follow(ctx, c.client, changed)
	go c.pods.follow(ctx, c.client, changed)
	go c.gateways.follow(ctx, c.client, changed)
	go c.virtualServices.follow(ctx, c.client, changed)
	go c.rules.follow(ctx, c.client, changed)
	return news
}

func (c *cluster) synced() bool {
	return c.services.ready() && c.endpoints.ready() && c.pods.ready() && c.gateways.ready() && c.virtualServices.ready() && c.rules.ready()
}

type snapshot struct {
	services        map[string]object[service]
	endpoints       map[string]endpoints
	pods            map[string]object[pod]
	gateways        []object[gatewaySpec]
	virtualServices []object[virtualService]
	rules           []object[destinationRule]
}

func (c *cluster) snapshot() snapshot {
	return snapshot{c.services.copy(), c.endpoints.copy(), c.pods.copy(),
		byAge(c.gateways.copy()), byAge(c.virtualServices.copy()), byAge(c.rules.copy())}
}
