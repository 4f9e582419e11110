package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	unhealthy = 3         // refusals in a row after which a runner is left alone
	disabled  = time.Hour // and for how long
)

// Manager runs the jobs of all runners of a file.
type Manager struct {
	lock    sync.Mutex
	config  *Config
	changed time.Time
	servers map[string]*Server
	health  map[string]*health
	builds  map[*Build]bool
	asking  map[string]int // requests that are under way, by runner
	working sync.WaitGroup
	metrics metrics
}

type health struct {
	failures int
	until    time.Time
}

// stopError is why the jobs of a runner that is stopped end.
type stopError struct{ signal os.Signal }

func (e stopError) Error() string { return fmt.Sprintf("aborted: %v", e.signal) }

func run(arguments []string) error {
	g, err := parse(arguments)
	if err != nil {
		return err
	}
	m := &Manager{servers: map[string]*Server{}, builds: map[*Build]bool{}, asking: map[string]int{}}
	line("", fmt.Sprintf("Starting multi-runner from %s...", g.config()), "builds", 0)
	if os.Getuid() == 0 {
		line("", "Running in system-mode.")
	} else {
		line("WARNING", "Running in user-mode.")
		line("WARNING", "The user-mode requires you to manually start builds processing:")
		line("WARNING", "$ gitlab-runner run")
		line("WARNING", "Use sudo for system-mode:")
		line("WARNING", "$ sudo gitlab-runner...")
	}
	if err := m.load(g.config()); err != nil {
		return err
	}
	if m.config.Concurrent < 1 {
		return fmt.Errorf("Concurrent is less than 1 - no jobs will be processed")
	}
	m.listen(cmpOr(g.words["listen-address"], m.config.Listen))
	line("", "[session_server].listen_address not defined, session endpoints disabled", "builds", 0)
	return m.work()
}

// load reads the file; runners that were left alone are asked again.
func (m *Manager) load(path string) error {
	config, err := loadConfig(path)
	if err != nil {
		return err
	}
	about, err := os.Stat(path)
	m.lock.Lock()
	defer m.lock.Unlock()
	if err == nil {
		m.changed = about.ModTime()
	}
	m.config, m.health = config, map[string]*health{}
	debugs = config.LogLevel == "debug"
	line("", "Configuration loaded", "builds", len(m.builds))
	return nil
}

// reload, when the file is another one.
func (m *Manager) reload(always bool) {
	about, err := os.Stat(m.config.path)
	if err != nil || (!always && about.ModTime().Equal(m.changed)) {
		return
	}
	m.changed = about.ModTime()
	if err := m.load(m.config.path); err != nil {
		line("ERROR", "Failed to load config", "builds", len(m.builds), "error", err)
	}
}

// work asks for jobs until a signal ends it.
func (m *Manager) work() error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	jobs, abort := context.WithCancelCause(context.Background())
	asking, enough := context.WithCancel(jobs)
	defer enough()
	go m.feed(asking, jobs)
	files := time.NewTicker(3 * time.Second)
	for {
		select {
		case <-files.C:
			m.reload(false)
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				m.reload(true)
			case syscall.SIGQUIT:
				line("WARNING", "Starting graceful shutdown, waiting for builds to finish", "builds", len(m.builds))
				enough()
				return m.graceful(signals, abort)
			default:
				enough()
				return m.forced(sig, signals, abort)
			}
		}
	}
}

// graceful waits for the jobs, for ever, or for a further signal.
func (m *Manager) graceful(signals chan os.Signal, abort context.CancelCauseFunc) error {
	ended := m.ended()
	for {
		select {
		case <-ended:
			line("", "All workers stopped. Can exit now", "builds", 0)
			return nil
		case sig := <-signals:
			if sig != syscall.SIGHUP && sig != syscall.SIGQUIT {
				return m.forced(sig, signals, abort)
			}
		}
	}
}

// forced ends the jobs, and waits half a minute for that.
func (m *Manager) forced(sig os.Signal, signals chan os.Signal, abort context.CancelCauseFunc) error {
	line("WARNING", "[runWait] received stop signal", "builds", len(m.builds), "stop-signal", sig)
	line("WARNING", "Graceful shutdown not finished properly", "builds", len(m.builds), "error", fmt.Sprintf("received stop signal: %v", sig))
	line("WARNING", "Starting forceful shutdown", "StopSignal", sig, "builds", len(m.builds))
	abort(stopError{sig})
	select {
	case <-m.ended():
		line("", "All workers stopped. Can exit now", "builds", 0)
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("shutdown timed out")
	case second := <-signals:
		return fmt.Errorf("forced exit with stop signal: %v", second)
	}
}

func (m *Manager) ended() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		m.working.Wait()
		close(done)
	}()
	return done
}

// feed asks for each runner in its turn: once in an interval for each, which is divided by their number.
func (m *Manager) feed(asking, jobs context.Context) {
	for asking.Err() == nil {
		m.lock.Lock()
		runners := m.config.Runners
		interval := time.Duration(positive(m.config.CheckInterval, 3)) * time.Second
		m.lock.Unlock()
		for _, r := range runners {
			go m.take(asking, jobs, r)
			pause(asking, interval/time.Duration(len(runners)))
		}
		if len(runners) == 0 {
			pause(asking, interval)
		}
	}
}

// take asks for a job when there is somebody to do it; after one, at once for the next.
func (m *Manager) take(asking, jobs context.Context, r *Runner) {
	for asking.Err() == nil && m.reserve(r) {
		server, err := m.server(r)
		if err != nil {
			line("ERROR", "Checking for jobs... failed", "error", err, "runner", short(r.Token))
			m.release(r, nil)
			return
		}
		job, well := server.requestJob(asking, r)
		m.note(r, well)
		if job == nil {
			m.release(r, nil)
			return
		}
		b := m.begin(r, server, job)
		go func() {
			defer m.release(r, b)
			m.metrics.ended(b.run(jobs))
		}()
	}
}

// reserve: a worker is free, the runner's limit allows one more, and it is not asked already.
func (m *Manager) reserve(r *Runner) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	own, all := 0, len(m.builds)
	for b := range m.builds {
		if b.runner.key() == r.key() {
			own++
		}
	}
	for _, n := range m.asking {
		all += n
	}
	asked := m.asking[r.key()]
	if all >= m.config.Concurrent || asked >= r.RequestConcurrency || (r.Limit > 0 && own+asked >= r.Limit) || !m.healthy(r) {
		return false
	}
	m.asking[r.key()]++
	m.working.Add(1)
	return true
}

// release: what was reserved is free again; a build of it has ended.
func (m *Manager) release(r *Runner, b *Build) {
	m.lock.Lock()
	if b == nil {
		m.asking[r.key()]--
	} else {
		delete(m.builds, b)
	}
	m.lock.Unlock()
	m.working.Done()
}

// begin makes the build of a job, with the lowest number that is free.
func (m *Manager) begin(r *Runner, server *Server, job *Job) *Build {
	m.lock.Lock()
	defer m.lock.Unlock()
	taken := map[int]bool{}
	for b := range m.builds {
		if b.runner.key() == r.key() && b.job.JobInfo.ProjectID == job.JobInfo.ProjectID {
			taken[b.number] = true
		}
	}
	b := &Build{runner: r, server: server, job: job}
	for taken[b.number] {
		b.number++
	}
	m.builds[b] = true
	m.asking[r.key()]--
	m.metrics.jobs.Add(1)
	return b
}

// server is the way to a runner's GitLab; it is made anew when its certificates are other ones.
func (m *Manager) server(r *Runner) (*Server, error) {
	key := r.key() + r.CAFile
	if about, err := os.Stat(r.CAFile); err == nil {
		key += about.ModTime().String()
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.servers[key] == nil {
		made, err := open(r.URL, r.CAFile)
		if err != nil {
			return nil, err
		}
		m.servers[key] = made
	}
	return m.servers[key], nil
}

// note counts refusals: after three the runner is left alone for an hour.
func (m *Manager) note(r *Runner, well bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	h := m.health[r.key()]
	if well || h == nil {
		h = &health{}
		m.health[r.key()] = h
	}
	if well {
		return
	}
	if h.failures++; h.failures >= unhealthy && h.until.IsZero() {
		line("ERROR", fmt.Sprintf("Runner %s is not healthy and will be disabled!", r.key()))
		h.until = time.Now().Add(disabled)
	}
}

func (m *Manager) healthy(r *Runner) bool {
	h := m.health[r.key()]
	if h == nil || h.until.IsZero() {
		return true
	}
	if time.Now().Before(h.until) {
		return false
	}
	line("ERROR", fmt.Sprintf("Runner %s is not healthy, but will be checked!", r.key()))
	*h = health{}
	return true
}
