package main

// The gateway's ports: one listener for each port that a Gateway names, none without.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type server struct {
	bind   string
	table  atomic.Pointer[table]
	mutex  sync.Mutex
	open   map[int]*http.Server
	over   atomic.Bool // it is to end: no connection is kept
	turns  sync.Map    // a cluster's name: whose turn it is
	plain  http.RoundTripper
	http2  http.RoundTripper
	output io.Writer
}

// ownLabels is the labels of the pod, as the real one is told them.
func ownLabels() (map[string]string, error) {
	labels := map[string]string{}
	text := os.Getenv("ISTIO_METAJSON_LABELS")
	if text == "" {
		return labels, nil
	}
	return labels, json.Unmarshal([]byte(text), &labels)
}

func newServer(bind string) *server {
	return &server{bind: bind, open: map[int]*http.Server{}, plain: transport(false), http2: transport(true), output: os.Stdout}
}

func (s *server) ready() bool { return s.table.Load() != nil }

// use takes a new table, opens the ports that it names and closes those that it names no more.
func (s *server) use(t table) {
	s.table.Store(&t)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.over.Load() {
		return
	}
	for port, one := range s.open {
		if t.ports[port] == nil {
			delete(s.open, port)
			go finish(one, 30*time.Second)
		}
	}
	for port := range t.ports {
		if s.open[port] == nil {
			s.open[port] = s.listen(port)
		}
	}
}

func (s *server) listen(port int) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	one := &http.Server{Addr: fmt.Sprintf("%s:%d", s.bind, port), Protocols: protocols, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Hour,
		ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(port, w, r) })}
	go func() {
		for {
			err := one.ListenAndServe()
			if err == http.ErrServerClosed {
				return
			}
			log.Printf("port %d: %v", port, err)
			time.Sleep(time.Second)
		}
	}()
	return one
}

// stop goes on serving for a while, and each answer tells its connection's client to go elsewhere: one that were just
// closed might be one on which a request is on its way. Then it waits for the requests under way.
func (s *server) stop(drain time.Duration) {
	s.over.Store(true)
	time.Sleep(drain)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var all sync.WaitGroup
	for _, one := range s.open {
		all.Go(func() { finish(one, 20*time.Second) })
	}
	all.Wait()
}

func finish(one *http.Server, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if one.Shutdown(ctx) != nil {
		one.Close()
	}
}
