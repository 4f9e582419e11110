package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

var agent = fmt.Sprintf("gitlab-runner %s (%s; %s; %s/%s)", version, branch, runtime.Version(), runtime.GOOS, runtime.GOARCH)

// Server is a GitLab, asked as one runner. All of its methods may be called at the same time.
type Server struct {
	base   string
	caFile string
	http   *http.Client

	lock   sync.Mutex
	failed map[string]int // answers of 400 and above in a row, for each method
	update string         // X-GitLab-Last-Update, sent back
	chain  string         // the certificates that the server showed
}

// open is a way to a server; the CA's certificates are added to the system's.
func open(address, caFile string) (*Server, error) {
	if !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") {
		return nil, errors.New("only http or https scheme supported")
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(text)
	}
	dialer := net.Dialer{Timeout: 30 * time.Second}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 10 * time.Minute, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	client := &http.Client{Transport: transport, Timeout: time.Hour}
	return &Server{base: api(address), caFile: caFile, http: client, failed: map[string]int{}}, nil
}

// answer is what came back: status 0 for no answer at all, of which text says why.
type answer struct {
	status  int
	text    string
	body    []byte
	headers http.Header
}

func (a answer) json() bool {
	return strings.HasPrefix(a.headers.Get("Content-Type"), "application/json")
}

// fields is what a log line says of an answer.
func (a answer) fields(more ...any) []any {
	return append([]any{"status", a.text}, more...)
}

// ask sends JSON.
func (s *Server) ask(ctx context.Context, method, path string, body any, headers map[string]string) answer {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{text: err.Error()}
	}
	all := map[string]string{"Content-Type": "application/json", "Accept": "application/json"}
	for name, value := range headers {
		all[name] = value
	}
	return s.send(ctx, method, path, text, all)
}

func (s *Server) send(ctx context.Context, method, path string, body []byte, headers map[string]string) answer {
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return answer{text: err.Error()}
	}
	request.Header.Set("User-Agent", agent)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return answer{text: fmt.Sprintf("couldn't execute %s against %s: %v", method, s.base+path, err)}
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 32<<20))
	s.note(response)
	s.rest(ctx, method, response.StatusCode)
	return answer{response.StatusCode, response.Status, text, response.Header}
}

// note keeps what the next request and the jobs need of an answer.
func (s *Server) note(response *http.Response) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if response.TLS != nil && s.chain == "" {
		var text bytes.Buffer
		for _, one := range response.TLS.PeerCertificates {
			pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: one.Raw})
		}
		s.chain = text.String()
	}
}

// rest is the pause after an answer of 400 and above: longer each time, until one goes well.
func (s *Server) rest(ctx context.Context, method string, status int) {
	s.lock.Lock()
	s.failed[method]++
	if status < 400 {
		s.failed[method] = 0
	}
	count := s.failed[method]
	s.lock.Unlock()
	if count > 0 {
		most := min(100*time.Millisecond<<min(count, 12), time.Minute)
		pause(ctx, 100*time.Millisecond+rand.N(most-100*time.Millisecond))
	}
}

func pause(ctx context.Context, how time.Duration) {
	select {
	case <-time.After(how):
	case <-ctx.Done():
	}
}

// certificates is what a job must trust to come back here: "" for no TLS.
func (s *Server) certificates() string {
	if s.caFile != "" && strings.HasPrefix(s.base, "https:") {
		text, _ := os.ReadFile(s.caFile)
		return string(text)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.chain
}

// --- what the runner says of itself ---

var networkFeatures = []string{"trace_reset", "trace_checksum", "trace_size", "cancelable"}
var jobFeatures = []string{"variables", "image", "services", "artifacts", "cache", "session", "terminal", "proxy", "upload_multiple_artifacts",
	"upload_raw_artifacts", "refspecs", "masking", "raw_variables", "artifacts_exclude", "multi_build_steps", "vault_secrets", "return_exit_code"}

// info is the same at all times but for what is not known before a runner is registered.
func info(registered bool) table {
	features := table{"shared": false}
	for _, name := range networkFeatures {
		features[name] = true
	}
	for _, name := range jobFeatures {
		features[name] = registered
	}
	about := table{"name": "gitlab-runner", "version": version, "revision": revision, "platform": runtime.GOOS, "architecture": runtime.GOARCH,
		"features": features}
	if registered {
		about["executor"], about["shell"] = "kubernetes", "bash"
	}
	return about
}

// requestJob asks for a job: nil when there is none. healthy is false only for a runner that GitLab does not know.
func (s *Server) requestJob(ctx context.Context, r *Runner) (job *Job, healthy bool) {
	body := table{"token": r.Token, "info": info(true)}
	s.lock.Lock()
	if s.update != "" {
		body["last_update"] = s.update
	}
	s.lock.Unlock()
	said := s.ask(ctx, http.MethodPost, "jobs/request", body, nil)
	s.lock.Lock()
	if update := said.headers.Get("X-GitLab-Last-Update"); update != "" {
		s.update = update
	}
	s.lock.Unlock()
	runner := []any{"runner", short(r.Token)}
	job = &Job{}
	switch {
	case said.status == http.StatusNoContent:
		debug("Checking for jobs... nothing", runner...)
	case said.status == http.StatusForbidden:
		line("ERROR", "Checking for jobs... forbidden", runner...)
		return nil, false
	case said.status == http.StatusCreated && !said.json():
		line("WARNING", "Checking for jobs... failed", "status", "server should return application/json. Got: "+said.headers.Get("Content-Type"), "runner", short(r.Token))
	case said.status == http.StatusCreated && json.Unmarshal(said.body, job) == nil:
		line("", "Checking for jobs... received", "job", job.ID, "repo_url", withoutUser(job.GitInfo.URL), "runner", short(r.Token))
		return job, true
	case ctx.Err() == nil:
		line("WARNING", "Checking for jobs... failed", said.fields(runner...)...)
	}
	return nil, true
}
