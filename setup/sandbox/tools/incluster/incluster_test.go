package incluster

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// inPod is a client of this handler, opened as in a pod whose service account is the folder.
func inPod(t *testing.T, api http.HandlerFunc) (*Client, string) {
	t.Helper()
	server := httptest.NewTLSServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	folder := t.TempDir()
	set(t, &account, folder)
	write(t, folder, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	write(t, folder, "token", "first\n")
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	return c, folder
}

func set[T any](t *testing.T, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, wanted any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("%s: %v, wanted %v", what, got, wanted)
	}
}

// cut ends a connection in the middle of its answer.
func cut(w http.ResponseWriter) {
	http.NewResponseController(w).Flush()
	if link, _, err := http.NewResponseController(w).Hijack(); err == nil {
		link.Close()
	}
}

func TestWhatIsAskedAndWhatIsRead(t *testing.T) {
	var seen []string
	c, _ := inPod(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", string(body)))
		same(t, "its name", r.UserAgent(), filepath.Base(os.Args[0])+"/1 (stand-in)")
		w.WriteHeader(201)
		io.WriteString(w, `{"kind": "Pod", "metadata": {"name": "a"}}`)
	})
	var got struct{ Metadata struct{ Name string } }
	for _, method := range []string{"POST", "PATCH"} {
		if err := c.Do(context.Background(), method, "/api/v1/pods?dryRun=All", map[string]int{"a": 1}, &got); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Do(context.Background(), "DELETE", "/x", nil, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "read", got.Metadata.Name, "a")
	same(t, "asked", seen, []string{`POST /api/v1/pods?dryRun=All application/json {"a":1}`,
		`PATCH /api/v1/pods?dryRun=All application/merge-patch+json {"a":1}`, "DELETE /x application/json "})
}

func TestTheTokenIsReadAnew(t *testing.T) {
	var seen []string
	c, folder := inPod(t, func(w http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("Authorization")) })
	ask := func(c *Client) error { return c.Do(context.Background(), "GET", "/", nil, nil) }
	other := c.As("somebody's")
	err := errors.Join(ask(c), ask(other))
	write(t, folder, "token", "second")
	err = errors.Join(err, ask(c), ask(other), ask(c.As("")))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "tokens", strings.Join(seen, ","), "Bearer first,Bearer somebody's,Bearer second,Bearer somebody's,")
	os.Remove(filepath.Join(folder, "token"))
	if err := ask(c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a token: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	c, _ := inPod(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/said":
			w.WriteHeader(409)
			io.WriteString(w, `{"kind": "Status", "message": "it is there"}`)
		case "/gone":
			w.WriteHeader(410)
		default:
			http.Error(w, "no JSON", 503)
		}
	})
	for path, wanted := range map[string]Refusal{"/said": {409, "it is there"}, "/gone": {410, "GET /gone: 410 Gone"}, "/other": {503, "GET /other: 503 Service Unavailable"}} {
		err := c.Do(context.Background(), "GET", path, nil, new(any))
		var refusal *Refusal
		if !errors.As(err, &refusal) || *refusal != wanted {
			t.Errorf("%s: %v, wanted %v", path, err, wanted)
		}
		same(t, path+" gone", Gone(fmt.Errorf("around: %w", err)), wanted.Code == 410)
		same(t, path+" refused", Refused(err, wanted.Code) && !Refused(err, 404), true)
	}
	if Gone(nil) || Refused(errors.New("410"), 410) {
		t.Error("an error of another kind counts as a refusal")
	}
}

func TestOnlyItsAuthorityIsTrusted(t *testing.T) {
	c, folder := inPod(t, func(http.ResponseWriter, *http.Request) {})
	if err := At(c.url).Do(context.Background(), "GET", "/", nil, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the authority: %v", err)
	}
	write(t, folder, "ca.crt", "nothing of use")
	if _, err := Open(); err == nil {
		t.Error("opened without a certificate")
	}
	os.Remove(filepath.Join(folder, "ca.crt"))
	if _, err := Open(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without ca.crt: %v", err)
	}
	t.Setenv("KUBERNETES_SERVICE_PORT", "")
	if _, err := Open(); err == nil || !strings.HasPrefix(err.Error(), "unable to load in-cluster configuration") {
		t.Errorf("outside of a pod: %v", err)
	}
}

func TestAnAnswerThatIsCutOrNeverComes(t *testing.T) {
	set(t, &patience, 100*time.Millisecond)
	c, _ := inPod(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/never" {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"a": `)
		cut(w)
	})
	if err := c.Do(context.Background(), "GET", "/cut", nil, new(any)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
	if err := c.Do(context.Background(), "GET", "/never", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("never: %v", err)
	}
}

func TestAWatch(t *testing.T) {
	asked := ""
	c, _ := inPod(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		io.WriteString(w, `{"type": "ADDED", "object": {"a": 1}}`+"\n")
		http.NewResponseController(w).Flush()
		switch r.URL.Path {
		case "/cut":
			io.WriteString(w, `{"type": "MOD`)
			cut(w)
		case "/between":
			cut(w)
		case "/old":
			io.WriteString(w, `{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}`)
		case "/wrong":
			io.WriteString(w, `{"type": "ERROR", "object": {"code": 500, "message": "etcd has gone"}}`)
		case "/silent":
			<-r.Context().Done()
		default:
			io.WriteString(w, `{"type": "BOOKMARK", "object": {"b": 2}}`)
		}
	})
	watch := func(path, from string) (string, error) {
		told := ""
		err := c.Watch(context.Background(), path, from, func(e Event) error {
			told += e.Type + string(e.Object)
			return nil
		})
		return told, err
	}
	told, err := watch("/all?labelSelector=a", "7/8")
	same(t, "a whole one", fmt.Sprint(told, err), `ADDED{"a": 1}BOOKMARK{"b": 2}<nil>`)
	same(t, "asked", asked, "/all?labelSelector=a&watch=true&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion=7%2F8")
	for _, path := range []string{"/cut", "/between"} {
		if told, err := watch(path, ""); told != `ADDED{"a": 1}` || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %s %v", path, told, err)
		}
	}
	if _, err := watch("/old", "1"); !Gone(err) {
		t.Errorf("a version too old: %v", err)
	}
	if _, err := watch("/wrong", "1"); !Refused(err, 500) || err.Error() != "etcd has gone" {
		t.Errorf("an error inside: %v", err)
	}
	set(t, &silence, 100*time.Millisecond)
	if _, err := watch("/silent", "1"); err == nil || err.Error() != "the watch of /silent has died" {
		t.Errorf("a dead connection: %v", err)
	}
	enough := errors.New("enough")
	if err := c.Watch(context.Background(), "/all", "", func(Event) error { return enough }); err != enough {
		t.Errorf("its own error: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	set(t, &silence, time.Minute)
	if err := c.Watch(ctx, "/silent", "", func(Event) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

func TestAWatchThatNeverBegins(t *testing.T) {
	set(t, &patience, 100*time.Millisecond)
	c, _ := inPod(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err := c.Watch(context.Background(), "/x", "", nil); err == nil || err.Error() != "the watch of /x has died" {
		t.Error(err)
	}
}

func TestFollowing(t *testing.T) {
	set(t, &pause, time.Millisecond)
	tries := 0
	c, _ := inPod(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") == "" {
			tries++
			if tries == 1 {
				http.Error(w, "", 403)
				return
			}
			fmt.Fprintf(w, `{"metadata": {"resourceVersion": "%d"}, "items": [{"list": %[1]d}]}`, tries)
			return
		}
		same(t, "from", r.URL.Query().Get("resourceVersion"), tries)
		switch tries {
		case 2: // it ends, as each does
			io.WriteString(w, `{"type": "DELETED", "object": {"gone": 1}}{"type": "BOOKMARK", "object": {}}`)
		case 3:
			w.WriteHeader(410)
		case 4:
			cut(w)
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	var told, failures []string
	c.Follow(ctx, "/x", func(e Event) {
		told = append(told, e.Type+string(e.Object))
		if tries == 5 {
			cancel()
		}
	}, func(err error) { failures = append(failures, err.Error()) })
	same(t, "told", told, []string{`ADDED{"list": 2}`, `DELETED{"gone": 1}`, `ADDED{"list": 3}`, `ADDED{"list": 4}`, `ADDED{"list": 5}`})
	same(t, "failures", failures, []string{"GET /x: 403 Forbidden", "watching /x: unexpected EOF"})
}

func TestManyAtATime(t *testing.T) {
	c, _ := inPod(t, func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(r.URL.Path) })
	answers := make(chan string)
	for i := range 20 {
		go func() {
			var got string
			if err := c.Do(context.Background(), "GET", fmt.Sprintf("/%02d", i), nil, &got); err != nil {
				got = err.Error()
			}
			answers <- got
		}()
	}
	var all []string
	for range 20 {
		all = append(all, <-answers)
	}
	slices.Sort(all)
	same(t, "answers", strings.Join(all, ""), "/00/01/02/03/04/05/06/07/08/09/10/11/12/13/14/15/16/17/18/19")
}
