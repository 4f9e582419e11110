package main

// What the gateway knows of the cluster: lists kept up to date by watches.

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"maps"
	"reflect"
	"sync"
	"time"

	"runbook/incluster"
)

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
	same   func(old, now T) bool // a change that is none to a gateway; nil: each is one
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
func (k *kind[T]) follow(ctx context.Context, c *incluster.Client, changed func()) {
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
		if refusal := (*incluster.Refusal)(nil); errors.As(err, &refusal) {
			version = ""
		}
		if incluster.Gone(err) {
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

func (k *kind[T]) list(ctx context.Context, c *incluster.Client) (string, error) {
	var got struct {
		Metadata meta
		Items    []json.RawMessage
	}
	if err := c.Do(ctx, "GET", k.path, nil, &got); err != nil {
		return "", err
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
func (k *kind[T]) watch(ctx context.Context, c *incluster.Client, version string, changed func()) (string, error) {
	err := c.Watch(ctx, k.path, version, func(event incluster.Event) error {
		about, one, ok := k.read(event.Object)
		version = about.version()
		if event.Type == "BOOKMARK" {
			return nil
		}
		k.mutex.Lock()
		old, known := k.all[about.key()]
		gone := event.Type == "DELETED" || !ok
		if gone {
			delete(k.all, about.key())
		} else {
			k.all[about.key()] = one
		}
		k.mutex.Unlock()
		if gone || !known || k.same == nil || !k.same(old, one) {
			changed()
		}
		return nil
	})
	return version, err
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
	client          *incluster.Client
	services        kind[object[service]]
	endpoints       kind[endpoints]
	pods            kind[object[pod]]
	gateways        kind[object[gatewaySpec]]
	virtualServices kind[object[virtualService]]
	rules           kind[object[destinationRule]]
}

func newCluster(c *incluster.Client) *cluster {
	const istio = "/apis/networking.istio.io/v1alpha3/"
	return &cluster{
		client:          c,
		services:        kind[object[service]]{path: "/api/v1/services"},
		endpoints:       kind[endpoints]{path: "/api/v1/endpoints", same: func(a, b endpoints) bool { return reflect.DeepEqual(a.Subsets, b.Subsets) }},
		pods:            kind[object[pod]]{path: "/api/v1/pods", same: func(a, b object[pod]) bool { return maps.Equal(a.Metadata.Labels, b.Metadata.Labels) }},
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

// Pilot 1.5's own (pilot/pkg/features/pilot.go: PILOT_DEBOUNCE_AFTER, PILOT_DEBOUNCE_MAX), of endpoints too.
const (
	debounceAfter = 100 * time.Millisecond
	debounceMax   = 10 * time.Second
)

// settled passes a word on when none has come for a while, or when the first has waited long enough.
func settled(news <-chan struct{}, after, longest time.Duration) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		for range news {
			end := time.After(longest)
		quiet:
			for {
				select {
				case <-news:
				case <-time.After(after):
					break quiet
				case <-end:
					break quiet
				}
			}
			out <- struct{}{}
		}
	}()
	return out
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
