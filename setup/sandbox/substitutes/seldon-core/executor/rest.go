package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

type executor struct {
	deployment, namespace, predictor string
	node                             *Node
	client                           *http.Client

	lock    sync.Mutex
	answers map[int]int
}

// rest is the API on port 8000.
func rest(deployment, namespace, predictor, metrics string, node *Node) http.Handler {
	e := &executor{deployment: deployment, namespace: namespace, predictor: predictor, node: node, answers: map[int]int{},
		client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100, IdleConnTimeout: 10 * time.Second}}}
	routes := map[string]http.HandlerFunc{
		"GET /live":            func(http.ResponseWriter, *http.Request) {},
		"GET /ready":           e.ready,
		"GET /api/v1.0/status": e.ready,
		"GET " + metrics:       e.metrics,

		"GET /api/v1.0/metadata": e.graphMetadata,
	}
	for _, version := range []string{"/api/v1.0", "/api/v0.1"} {
		routes["POST "+version+"/predictions"] = e.predict("/predict")
		routes["POST "+version+"/feedback"] = e.predict("/send-feedback")
		routes["GET "+version+"/status/{node}"] = e.ask("/health/status")
		routes["GET "+version+"/metadata/{node}"] = e.ask("/metadata")
		routes["GET "+version+"/doc/"] = http.NotFound
	}
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodOptions: // a browser asks before it sends
				e.headers(w, r)
			case r.Method == method:
				e.headers(w, r)
				handler(w, r)
			default:
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		})
	}
	return mux
}

// headers sets what every known address answers: the request's id, and for a CloudEvent those of its answer.
func (e *executor) headers(w http.ResponseWriter, r *http.Request) {
	puid := r.Header.Get("Seldon-Puid")
	if puid == "" {
		b := make([]byte, 16)
		rand.Read(b)
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		puid = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		r.Header.Set("Seldon-Puid", puid)
	}
	w.Header().Set("Seldon-Puid", puid)
	if r.Header.Get("Ce-Specversion") != "" {
		w.Header().Set("Ce-Id", puid)
		w.Header().Set("Ce-Path", r.URL.Path)
		w.Header().Set("Ce-Source", "seldon."+e.deployment)
		w.Header().Set("Ce-Specversion", "0.3")
		w.Header().Set("Ce-Type", "seldon."+e.deployment+"."+e.namespace+".response")
	}
}

// ready opens a connection to the model and says nothing to it.
func (e *executor) ready(w http.ResponseWriter, _ *http.Request) {
	connection, err := net.DialTimeout("tcp", e.node.rest(), time.Second)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	connection.Close()
}

// failed is an error of the executor's own.
func failed(w http.ResponseWriter, info string) {
	text, _ := json.Marshal(struct {
		Code int    `json:"code"`
		Info string `json:"info"`
	}{500, info})
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, `{"status":%s}`, text)
}

// The headers that belong to one connection only.
var hop = []string{"Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Accept-Encoding"}

// call asks the model and gives its answer whole.
func (e *executor) call(r *http.Request, method, path string, body []byte) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(r.Context(), method, "http://"+e.node.rest()+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.Header = r.Header.Clone()
	for _, name := range hop {
		request.Header.Del(name)
	}
	response, err := e.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, text, err
}

// pass hands on the model's answer. An error keeps its status; its body goes out as text, escaped for HTML.
func (e *executor) pass(w http.ResponseWriter, response *http.Response, text []byte, err error) {
	code := http.StatusInternalServerError // and nothing else, when the model does not answer at all
	if err == nil {
		code = response.StatusCode
	}
	e.lock.Lock()
	e.answers[code]++
	e.lock.Unlock()
	if err != nil {
		say("error", "ask the model", "error", err)
		w.WriteHeader(code)
		return
	}
	if code == http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		w.Write(text)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	var safe bytes.Buffer
	json.HTMLEscape(&safe, text)
	w.Write(safe.Bytes())
}

// predict sends the body on as it is; only the model reads it.
func (e *executor) predict(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			failed(w, err.Error())
			return
		}
		response, text, err := e.call(r, "POST", path, body)
		e.pass(w, response, text, err)
	}
}

func (e *executor) ask(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if name := r.PathValue("node"); name != e.node.Name {
			failed(w, "Failed to find model "+name)
			return
		}
		response, text, err := e.call(r, "GET", path, nil)
		e.pass(w, response, text, err)
	}
}

// graphMetadata is the model's own, set into the graph's.
func (e *executor) graphMetadata(w http.ResponseWriter, r *http.Request) {
	_, text, err := e.call(r, "GET", "/metadata", nil)
	type metadata struct {
		Name     string            `json:"name,omitempty"`
		Platform string            `json:"platform,omitempty"`
		Versions []string          `json:"versions,omitempty"`
		Inputs   any               `json:"inputs,omitempty"`
		Outputs  any               `json:"outputs,omitempty"`
		Custom   map[string]string `json:"custom,omitempty"`
	}
	var model metadata
	if err == nil {
		err = json.Unmarshal(text, &model)
	}
	if err != nil {
		failed(w, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer, _ := json.Marshal(struct {
		Name    string              `json:"name"`
		Models  map[string]metadata `json:"models"`
		Inputs  any                 `json:"graphinputs"`
		Outputs any                 `json:"graphoutputs"`
	}{e.predictor, map[string]metadata{e.node.Name: model}, model.Inputs, model.Outputs})
	w.Write(answer)
}

func (e *executor) metrics(w http.ResponseWriter, _ *http.Request) {
	var collected debug.GCStats
	debug.ReadGCStats(&collected)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# HELP go_gc_duration_seconds A summary of the pause duration of garbage collection cycles.\n# TYPE go_gc_duration_seconds summary\n")
	fmt.Fprintf(w, "go_gc_duration_seconds_sum %g\ngo_gc_duration_seconds_count %d\n", collected.PauseTotal.Seconds(), collected.NumGC)
	fmt.Fprintf(w, "# HELP seldon_api_executor_client_requests_seconds_count Answers of the model, by code.\n# TYPE seldon_api_executor_client_requests_seconds_count counter\n")
	e.lock.Lock()
	defer e.lock.Unlock()
	for code, n := range e.answers {
		fmt.Fprintf(w, "seldon_api_executor_client_requests_seconds_count{code=\"%d\",deployment_name=%q,model_name=%q} %d\n", code, e.deployment, e.node.Name, n)
	}
}
