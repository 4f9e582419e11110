package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

var errCanceled = errors.New("canceled")

const (
	usual     = 3 * time.Second
	slowest   = 180 * time.Second
	heartbeat = 30 * time.Second
	chunk     = 1 << 20
	masked    = "[MASKED]"
)

// Trace is a job's log: masked as it is written, and sent as it grows.
type Trace struct {
	server *Server
	job    *Job
	cancel context.CancelCauseFunc

	lock    sync.Mutex
	secrets [][]byte
	waiting []byte // what may be the beginning of a secret, or of a letter
	sent    int
	text    []byte
	most    int
	full    bool

	interval time.Duration
	last     time.Time // of the last word to the server
	aborted  bool
	done     chan struct{}
	stopped  chan struct{}
}

func newTrace(server *Server, job *Job, most int, cancel context.CancelCauseFunc) *Trace {
	t := &Trace{server: server, job: job, cancel: cancel, most: most, interval: usual, last: time.Now(), done: make(chan struct{}), stopped: make(chan struct{})}
	go t.follow()
	return t
}

// mask: from now on these are not shown.
func (t *Trace) mask(secrets [][]byte) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.secrets = secrets
}

func (t *Trace) Write(more []byte) (int, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.waiting = append(t.waiting, more...)
	t.take(false)
	return len(more), nil
}

// take moves what waits to the text; at the end, all of it.
func (t *Trace) take(end bool) {
	at := 0
	for at < len(t.waiting) {
		rest := t.waiting[at:]
		if n, partly := t.secret(rest); n > 0 {
			t.add(masked)
			at += n
			continue
		} else if partly && !end {
			break
		}
		if !end && !utf8.FullRune(rest) {
			break
		}
		letter, size := utf8.DecodeRune(rest)
		t.add(string(letter)) // what is no letter becomes U+FFFD
		at += size
	}
	t.waiting = append([]byte(nil), t.waiting[at:]...)
}

// secret: how long the one is that begins here; or whether one may begin here.
func (t *Trace) secret(rest []byte) (n int, partly bool) {
	for _, secret := range t.secrets {
		if bytes.HasPrefix(rest, secret) {
			return len(secret), false
		}
		partly = partly || bytes.HasPrefix(secret, rest)
	}
	return 0, partly
}

// add, up to the limit.
func (t *Trace) add(text string) {
	if t.full {
		return
	}
	if len(t.text)+len(text) > t.most {
		t.full = true
		text = fmt.Sprintf("\n\x1b[33;1mJob's log exceeded limit of %d bytes.\x1b[0;m\n\x1b[33;1mJob execution will continue but no more output will be collected.\x1b[0;m\n", t.most)
	}
	t.text = append(t.text, text...)
}

// say writes lines of the runner's own.
func (t *Trace) say(format string, values ...any) {
	t.own("", fmt.Sprintf(format, values...))
}

func (t *Trace) own(colour, text string) {
	fmt.Fprintf(t, "%s%s%s\n%s", erased, colour, text, plain)
}

func (t *Trace) header(text string)  { t.own(cyan, text+plain) }
func (t *Trace) warning(text string) { t.own(bold, "WARNING: "+text) }
func (t *Trace) failure(text string) { t.own(red, "ERROR: "+text) }

// section is what GitLab folds away.
func (t *Trace) section(what, name string) {
	if t.job.Features.Sections {
		fmt.Fprintf(t, "section_%s:%d:%s\r%s", what, time.Now().Unix(), name, erased)
	}
}

// --- sending ---

func (t *Trace) follow() {
	defer close(t.stopped)
	for {
		select {
		case <-t.done:
			return
		case <-time.After(t.interval):
		}
		if !t.aborted {
			t.tell()
		}
	}
}

// tell sends what is new, or else that the job still runs.
func (t *Trace) tell() {
	if t.pending() {
		t.patch(false)
	} else if time.Since(t.last) >= heartbeat {
		t.put("running", "", 0)
	}
}

func (t *Trace) pending() bool {
	t.lock.Lock()
	defer t.lock.Unlock()
	return t.sent < len(t.text)
}

// piece is what is sent next, and where it begins.
func (t *Trace) piece() (int, []byte) {
	t.lock.Lock()
	defer t.lock.Unlock()
	end := min(len(t.text), t.sent+chunk)
	return t.sent, t.text[t.sent:end]
}

func (t *Trace) seek(at int) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.sent = min(max(at, 0), len(t.text))
}

// patch sends a piece; false when it is no use to try again.
func (t *Trace) patch(final bool) bool {
	from, piece := t.piece()
	headers := map[string]string{"Content-Type": "text/plain", "Content-Range": fmt.Sprintf("%d-%d", from, from+len(piece)-1), "JOB-TOKEN": t.job.Token}
	said := t.server.send(context.Background(), http.MethodPatch, fmt.Sprintf("jobs/%d/trace", t.job.ID), piece, headers)
	t.last = time.Now()
	about := []any{"job", t.job.ID, "sent-log", headers["Content-Range"]}
	if t.heed(said, final) {
		return false
	}
	switch said.status {
	case http.StatusAccepted:
		debug("Appending trace to coordinator...ok", said.fields(about...)...)
		t.seek(from + len(piece))
	case http.StatusRequestedRangeNotSatisfiable:
		line("WARNING", "Appending trace to coordinator... range mismatch", said.fields(about...)...)
		_, end, _ := strings.Cut(said.headers.Get("Range"), "-")
		at, _ := strconv.Atoi(end)
		t.seek(at)
	case http.StatusNotFound:
		line("WARNING", "Appending trace to coordinator... not-found", said.fields(about...)...)
		return !final
	case http.StatusForbidden:
		line("WARNING", "Appending trace to coordinator... forbidden", said.fields(about...)...)
		t.abort()
		return false
	default:
		line("WARNING", "Appending trace to coordinator... failed", said.fields(about...)...)
		if final {
			time.Sleep(t.interval)
		}
	}
	return true
}

// heed takes the server's pace and its word that the job is over.
func (t *Trace) heed(said answer, final bool) (over bool) {
	if seconds, err := strconv.Atoi(said.headers.Get("X-GitLab-Trace-Update-Interval")); err == nil && seconds > 0 {
		t.interval = min(time.Duration(seconds)*time.Second, slowest)
	}
	switch said.headers.Get("Job-Status") {
	case "canceled", "failed":
		line("WARNING", "Appending trace to coordinator... aborted", said.fields("job", t.job.ID)...)
		t.abort()
		return true
	case "canceling":
		t.cancel(errCanceled)
	}
	return false
}

// abort: the server does not want to hear more.
func (t *Trace) abort() {
	t.aborted = true
	t.cancel(errCanceled)
}

// put tells the job's state.
func (t *Trace) put(state, reason string, code int) answer {
	t.lock.Lock()
	sum := fmt.Sprintf("crc32:%08x", crc32.ChecksumIEEE(t.text))
	body := table{"token": t.job.Token, "state": state, "info": info(true), "checksum": sum, "output": table{"checksum": sum, "bytesize": len(t.text)}}
	t.lock.Unlock()
	if reason != "" {
		body["failure_reason"] = reason
	}
	if code != 0 {
		body["exit_code"] = code
	}
	said := t.server.ask(context.Background(), http.MethodPut, fmt.Sprintf("jobs/%d", t.job.ID), body, nil)
	t.last = time.Now()
	if state == "running" && (said.status == http.StatusNotFound || said.status == http.StatusForbidden) {
		t.abort()
	} else if state == "running" {
		t.heed(said, false)
	}
	return said
}

// finish sends the rest and the job's end, until the server has taken both or wants neither.
func (t *Trace) finish(state, reason string, code int) {
	close(t.done)
	<-t.stopped
	t.lock.Lock()
	t.take(true)
	t.interval = usual
	t.lock.Unlock()
	for {
		for t.pending() && t.patch(true) {
		}
		said := t.put(state, reason, code)
		about := []any{"job", t.job.ID}
		ended := said.headers.Get("Job-Status")
		switch {
		case said.status == http.StatusOK:
			line("", "Updating job... ok", about...)
			return
		case said.status == http.StatusForbidden, said.status == http.StatusNotFound, ended == "failed", ended == "canceled":
			line("WARNING", "Submitting job to coordinator... aborted", said.fields(about...)...)
			return
		case said.status == http.StatusPreconditionFailed:
			t.seek(0)
			continue
		case said.status == http.StatusAccepted:
			t.heed(said, true)
		default:
			line("WARNING", "Submitting job to coordinator... failed", said.fields(about...)...)
		}
		time.Sleep(t.interval)
	}
}
