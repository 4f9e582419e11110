package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// metrics are the few of the real ones' names that this stand-in counts.
type metrics struct {
	jobs   atomic.Int64
	lock   sync.Mutex
	failed map[string]int
}

func (m *metrics) ended(err error) {
	if err == nil {
		return
	}
	_, reason, _ := judged(err)
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.failed == nil {
		m.failed = map[string]int{}
	}
	m.failed[reason]++
}

// listen serves them, when there is an address for it.
func (m *Manager) listen(address string) {
	if address == "" {
		line("", "listen_address not defined, metrics & debug endpoints disabled", "builds", 0)
		return
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "9252")
	}
	line("", "Metrics server listening", "address", address, "builds", 0)
	pages := http.NewServeMux()
	pages.HandleFunc("/metrics", m.show)
	go func() {
		line("ERROR", "Metrics server: "+http.ListenAndServe(address, pages).Error())
	}()
}

func (m *Manager) show(w http.ResponseWriter, _ *http.Request) {
	m.lock.Lock()
	running, concurrent := len(m.builds), m.config.Concurrent
	m.lock.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# a stand-in for gitlab-runner %s\ngitlab_runner_concurrent %d\ngitlab_runner_jobs %d\ngitlab_runner_jobs_total %d\n", version, concurrent, running, m.metrics.jobs.Load())
	fmt.Fprintf(w, "gitlab_runner_version_info{revision=%q,version=%q} 1\n", revision, version)
	m.metrics.lock.Lock()
	defer m.metrics.lock.Unlock()
	for reason, count := range m.metrics.failed {
		fmt.Fprintf(w, "gitlab_runner_failed_jobs_total{failure_reason=%q} %d\n", reason, count)
	}
}
