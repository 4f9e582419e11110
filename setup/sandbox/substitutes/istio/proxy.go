package main

// One request through the gateway: its route, its upstream, tries again where Istio does, and what Envoy says when it fails.

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	random "math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connectTimeout = 10 * time.Second // the mesh's default
	bufferLimit    = 1 << 20          // what a request may hold and still be sent twice
)

var (
	errNoCluster = errors.New("no such cluster")
	errUnhealthy = errors.New("no healthy upstream")
	errTimeout   = errors.New("upstream request timeout")
)

func transport(h2 bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	return &http.Transport{Protocols: protocols, DisableCompression: true, MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Hour,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext}
}

// note is what one request's line in the log tells.
type note struct {
	http.ResponseWriter
	code, bytes int
	flags, host string
	began       time.Time
}

func (n *note) WriteHeader(code int) {
	if n.code == 0 || n.code < 200 {
		n.code = code
	}
	n.ResponseWriter.WriteHeader(code)
}

func (n *note) Write(data []byte) (int, error) {
	if n.code == 0 {
		n.code = 200
	}
	count, err := n.ResponseWriter.Write(data)
	n.bytes += count
	return count, err
}

func (n *note) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (s *server) serve(port int, w http.ResponseWriter, r *http.Request) {
	n := &note{ResponseWriter: w, began: time.Now(), flags: "-", host: "-"}
	header := n.Header()
	header.Set("Server", "istio-envoy")
	if s.over.Load() {
		header.Set("Connection", "close") // in HTTP/2 it becomes a GOAWAY
	}
	// Here and not on the way out: the log's line and the local answers know them too.
	if r.Header.Get("X-Request-Id") == "" {
		r.Header.Set("X-Request-Id", uuid())
	}
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	r.Header["X-Forwarded-For"] = []string{strings.Join(append(r.Header["X-Forwarded-For"], from), ",")}
	if address := net.ParseIP(from); address != nil && (address.IsPrivate() || address.IsLoopback()) {
		r.Header.Set("X-Envoy-Internal", "true")
	}
	method, path, protocol := r.Method, r.URL.RequestURI(), r.Proto
	if protocol == "HTTP/2.0" {
		protocol = "HTTP/2"
	}
	defer func() {
		fmt.Fprintf(s.output, "[%s] %q %d %s \"-\" \"-\" %d %d %d %s %q %q %q %q %q\n", n.began.UTC().Format("2006-01-02T15:04:05.000Z"),
			method+" "+path+" "+protocol, n.code, n.flags, max(r.ContentLength, 0), n.bytes, time.Since(n.began).Milliseconds(),
			or(header.Get("X-Envoy-Upstream-Service-Time"), "-"), or(r.Header.Get("X-Forwarded-For"), "-"), or(r.UserAgent(), "-"),
			r.Header.Get("X-Request-Id"), r.Host, n.host)
	}()
	host, found := s.table.Load().find(port, r)
	switch {
	case host != nil && host.redirectTLS:
		header.Set("Location", "https://"+r.Host+r.URL.RequestURI())
		n.WriteHeader(http.StatusMovedPermanently)
	case found == nil:
		local(n, r, http.StatusNotFound, "NR", "")
	case found.spec.Redirect != nil:
		redirect(n, r, found)
	case len(found.targets) == 0:
		local(n, r, http.StatusServiceUnavailable, "NC", "")
	default:
		s.forward(n, r, found)
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&15|64, b[8]&63|128
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func redirect(n *note, r *http.Request, found *route) {
	to := found.spec.Redirect
	code := to.RedirectCode
	if code == 0 {
		code = http.StatusMovedPermanently
	}
	path := r.URL.RequestURI()
	if to.URI != "" {
		path = to.URI
	}
	n.Header().Set("Location", "http://"+or(to.Authority, r.Host)+path)
	n.WriteHeader(code)
}

// local is an answer of the gateway itself; a gRPC client gets it in its own form.
func local(n *note, r *http.Request, code int, flags, text string) {
	n.flags = flags
	header := n.Header()
	if kind := r.Header.Get("Content-Type"); kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") {
		status := map[int]string{http.StatusNotFound: "12", http.StatusServiceUnavailable: "14", http.StatusGatewayTimeout: "14"}[code]
		header.Set("Content-Type", "application/grpc")
		header.Set("Grpc-Status", status)
		if text != "" {
			header.Set("Grpc-Message", strings.ReplaceAll(url.PathEscape(text), "%20", " "))
		}
		n.WriteHeader(200)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(text)))
	if text != "" {
		header.Set("Content-Type", "text/plain")
	} else {
		header["Content-Type"] = nil
	}
	n.WriteHeader(code)
	io.WriteString(n, text)
}

func (s *server) forward(n *note, r *http.Request, found *route) {
	to := choose(found.targets)
	ctx := r.Context()
	if limit := time.Duration(found.spec.Timeout); limit > 0 {
		timed, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
		defer cancel()
		ctx = timed
	}
	n.Header()["Content-Type"] = nil // none is guessed where the upstream says none
	body := &replay{source: r.Body}
	if found.mirror != nil {
		s.shadow(r, found, body)
	}
	tries := &attempts{server: s, target: to, policy: found.retries, body: body, note: n, h2: to.hosts != nil && (to.hosts.h2 || to.hosts.follow && r.ProtoMajor == 2)}
	var proxy *httputil.ReverseProxy
	proxy = &httputil.ReverseProxy{
		Transport:     tries,
		FlushInterval: -1,
		ErrorLog:      quiet,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.RawQuery = p.In.URL.RawQuery
			prepare(p.Out, r, found, to)
		},
		ModifyResponse: func(response *http.Response) error {
			header := response.Header
			header.Del("Server") // ours stands there already
			if response.ContentLength == 0 {
				proxy.FlushInterval = 0 // headers and end in one frame: to a gRPC client that is a status, in two it is none
			}
			if response.StatusCode != http.StatusSwitchingProtocols {
				header.Set("X-Envoy-Upstream-Service-Time", strconv.FormatInt(time.Since(n.began).Milliseconds(), 10))
			}
			for _, change := range []headers{to.headers, found.spec.Headers} {
				apply(header, change.Response.Set, change.Response.Add, change.Response.Remove)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed(n, r, err) },
	}
	proxy.ServeHTTP(n, r.WithContext(ctx))
}

var quiet = log.New(io.Discard, "", 0)

func failed(n *note, r *http.Request, err error) {
	var dial *net.OpError
	switch {
	case errors.Is(err, errNoCluster):
		local(n, r, http.StatusServiceUnavailable, "NC", "")
	case errors.Is(err, errUnhealthy):
		local(n, r, http.StatusServiceUnavailable, "UH", "no healthy upstream")
	case errors.Is(err, errTimeout):
		local(n, r, http.StatusGatewayTimeout, "UT", "upstream request timeout")
	case r.Context().Err() != nil: // the client went away: nobody reads an answer
		n.flags = "DC"
		panic(http.ErrAbortHandler)
	case errors.As(err, &dial) && dial.Op == "dial":
		local(n, r, http.StatusServiceUnavailable, "UF,URX", "upstream connect error or disconnect/reset before headers. reset reason: connection failure")
	default:
		local(n, r, http.StatusServiceUnavailable, "UC", "upstream connect error or disconnect/reset before headers. reset reason: connection termination")
	}
}

func choose(targets []target) target {
	sum := 0
	for _, one := range targets {
		sum += one.weight
	}
	if sum > 0 {
		at := random.IntN(sum)
		for _, one := range targets {
			if at -= one.weight; at < 0 {
				return one
			}
		}
	}
	return targets[0]
}

// prepare makes the request that goes to the upstream.
func prepare(out, in *http.Request, found *route, to target) {
	out.URL.Scheme, out.Host = "http", in.Host
	out.Header["X-Forwarded-For"] = in.Header["X-Forwarded-For"]
	out.Header.Set("X-Forwarded-Proto", "http")
	out.Header.Set("X-Envoy-Decorator-Operation", to.service+":"+strings.Split(to.name, "|")[1]+"/*")
	if out.Header.Get("X-B3-Traceid") == "" {
		id := strings.ReplaceAll(uuid(), "-", "")
		out.Header.Set("X-B3-Traceid", id)
		out.Header.Set("X-B3-Spanid", id[16:])
		out.Header.Set("X-B3-Sampled", "1")
	}
	if rewrite := found.spec.Rewrite; rewrite != nil {
		if rewrite.URI != "" {
			path := rawPath(in)
			out.Header.Set("X-Envoy-Original-Path", in.URL.RequestURI())
			prefix := "/"
			if found.match != nil && found.match.URI != nil {
				if prefix = found.match.URI.Prefix; prefix == "" {
					prefix = path // an exact path or an expression: all of it goes
				}
			}
			path = rewrite.URI + path[min(len(prefix), len(path)):]
			out.URL.RawPath = path
			if plain, err := url.PathUnescape(path); err == nil {
				out.URL.Path = plain
			}
		}
		if rewrite.Authority != "" {
			out.Host = rewrite.Authority
		}
	}
	for _, change := range []headers{to.headers, found.spec.Headers} {
		for _, set := range []map[string]string{change.Request.Set, change.Request.Add} {
			for name, value := range set {
				if name = strings.ToLower(name); name == "host" || name == ":authority" {
					out.Host = value
				}
			}
		}
		apply(out.Header, change.Request.Set, change.Request.Add, change.Request.Remove)
	}
}

func apply(header http.Header, set, add map[string]string, remove []string) {
	for _, name := range remove {
		header.Del(name)
	}
	for name, value := range add {
		header.Add(name, value)
	}
	for name, value := range set {
		header.Set(name, value)
	}
	header.Del("Host")
	delete(header, ":authority")
}

// shadow sends a copy of the request and forgets the answer.
func (s *server) shadow(r *http.Request, found *route, body *replay) {
	to := *found.mirror
	if to.hosts == nil || r.ContentLength < 0 || r.ContentLength > bufferLimit {
		return
	}
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.RequestURI = ""
	out.Body, out.ContentLength = body.view(), r.ContentLength
	prepare(out, r, found, to)
	out.Host += "-shadow"
	for _, name := range []string{"Connection", "Upgrade", "Te", "Transfer-Encoding", "Keep-Alive"} {
		out.Header.Del(name)
	}
	tries := &attempts{server: s, target: to, body: body, note: &note{}, h2: to.hosts.h2 || to.hosts.follow && r.ProtoMajor == 2}
	go func() {
		if response, err := tries.RoundTrip(out); err == nil {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}()
}

// attempts is a transport that tries one host of the target after another, as far as the policy goes.
type attempts struct {
	server *server
	target target
	policy retryPolicy
	body   *replay
	note   *note
	h2     bool
}

func (a *attempts) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.target.hosts == nil {
		return nil, errNoCluster
	}
	tried := map[string]bool{}
	for left := a.policy.attempts; ; left-- {
		host := a.server.next(a.target, tried)
		if host == "" {
			return nil, errUnhealthy
		}
		tried[host] = true
		a.note.host = host
		response, err := a.once(r, host)
		if cause := context.Cause(r.Context()); cause != nil && err != nil {
			return nil, cause
		}
		if left <= 0 || !a.policy.wants(response, err) || !a.body.again() {
			return response, err
		}
		if response != nil {
			response.Body.Close()
		}
		pause := min(25*time.Millisecond<<min(a.policy.attempts-left, 4), 250*time.Millisecond) // upstream.base_retry_backoff_ms, and ten times that
		select {
		case <-time.After(time.Duration(random.Int64N(int64(pause)))):
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}
}

func (a *attempts) once(r *http.Request, host string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	out := r.WithContext(ctx)
	address := *r.URL
	address.Host = host
	out.URL = &address
	if a.body != nil && r.Body != nil && r.Body != http.NoBody {
		out.Body = a.body.view()
		out.GetBody = func() (io.ReadCloser, error) {
			if !a.body.again() {
				return nil, errors.New("the request is too long to be sent twice")
			}
			return a.body.view(), nil
		}
	}
	way := a.server.plain
	if a.h2 {
		way = a.server.http2
	}
	if a.policy.perTry > 0 {
		timer := time.AfterFunc(a.policy.perTry, func() { cancel(errTimeout) })
		defer timer.Stop()
	}
	response, err := way.RoundTrip(out)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errTimeout) {
			err = errTimeout
		}
		cancel(nil)
	} else {
		context.AfterFunc(r.Context(), func() { cancel(nil) })
	}
	return response, err
}

// wants: is this an outcome after which another host is asked?
func (p retryPolicy) wants(response *http.Response, err error) bool {
	if err != nil {
		if p.on["reset"] || p.on["5xx"] || p.on["gateway-error"] { // Envoy's wouldRetryFromReset, a try's time-out too
			return true
		}
		var dial *net.OpError
		switch {
		case errors.As(err, &dial) && dial.Op == "dial":
			return p.on["connect-failure"]
		case strings.Contains(err.Error(), "REFUSED_STREAM"):
			return p.on["refused-stream"]
		}
		return false
	}
	code := response.StatusCode
	switch {
	case p.on["5xx"] && code >= 500, p.on["gateway-error"] && code >= 502 && code <= 504, p.on["retriable-status-codes"] && slices.Contains(p.codes, code):
		return true
	}
	status := map[string]string{"1": "cancelled", "4": "deadline-exceeded", "8": "resource-exhausted", "13": "internal", "14": "unavailable"}[response.Header.Get("Grpc-Status")]
	return status != "" && p.on[status]
}

// next is the host whose turn it is, one that was not tried yet where there is one; empty when there are no hosts.
func (s *server) next(to target, tried map[string]bool) string {
	all := to.hosts.addresses
	if now := s.table.Load().clusters[to.name]; now != nil {
		all = now.addresses // what is there may have changed since the request came
	}
	if len(all) == 0 {
		return ""
	}
	turn, _ := s.turns.LoadOrStore(to.name, new(atomic.Uint64))
	host := ""
	for range all {
		host = all[int(turn.(*atomic.Uint64).Add(1)%uint64(len(all)))]
		if !tried[host] {
			break
		}
	}
	return host
}

// replay is a request's body that can be read again from its beginning, while it is short.
type replay struct {
	mutex  sync.Mutex
	source io.Reader
	held   bytes.Buffer
	long   atomic.Bool // longer than what is held
	end    error       // what the source ended with
}

// again: can it be sent once more?  It does not wait for the mutex, which a read of a slow client's body holds.
func (b *replay) again() bool { return !b.long.Load() }

func (b *replay) view() io.ReadCloser { return &view{body: b} }

type view struct {
	body *replay
	at   int
	shut atomic.Bool
}

func (v *view) Close() error {
	v.shut.Store(true)
	return nil
}

func (v *view) Read(into []byte) (int, error) {
	b := v.body
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if v.shut.Load() {
		return 0, io.ErrClosedPipe
	}
	if held := b.held.Bytes(); v.at < len(held) {
		count := copy(into, held[v.at:])
		v.at += count
		return count, nil
	}
	if b.end != nil {
		return 0, b.end
	}
	count, err := b.source.Read(into)
	b.end = err
	switch {
	case b.long.Load():
	case b.held.Len()+count > bufferLimit:
		b.long.Store(true)
		b.held = bytes.Buffer{}
		v.at = 0
	default:
		b.held.Write(into[:count])
		v.at += count
	}
	return count, err
}
