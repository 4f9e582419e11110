package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Server answers requests.
type Server struct {
	config              *Config
	store               *Store
	tasks               *Tasks
	cluster             *Cluster // nil without Kubernetes
	masterID, clusterID string
	started             time.Time
	routes              []route
}

// Request is one HTTP request on its way to an answer.
type Request struct {
	*http.Request
	w      http.ResponseWriter
	api    bool // below /api/v1, which has its own shape of errors
	user   *User
	values []string // what stands for the * in the route
	query  url.Values
}

type handler func(*Request) (any, error)

type route struct {
	method, path string // a * in the path stands for one element
	open         bool   // needs no login
	do           handler
}

// answered says that the handler wrote the whole answer itself.
type answered struct{}

// status gives a legacy answer another status than 200.
type status int

// Problem is an error as /api/v1 names it: a gRPC code.
type Problem struct {
	code int
	text string
}

func (p *Problem) Error() string { return p.text }

func problem(code int, format string, values ...any) error {
	return &Problem{code, fmt.Sprintf(format, values...)}
}

const (
	invalid       = 3
	missing       = 5
	denied        = 7
	exhausted     = 8
	unimplemented = 12
	internal      = 13
	unknownUser   = 16
)

var (
	reasons  = map[int]string{3: "InvalidArgument", 5: "NotFound", 7: "PermissionDenied", 8: "ResourceExhausted", 12: "Unimplemented", 13: "Internal", 16: "Unauthenticated"}
	statuses = map[int]int{3: 400, 5: 404, 7: 403, 8: 429, 12: 501, 13: 500, 16: 401}

	errUnauthorized = &legacyProblem{http.StatusUnauthorized, "Unauthorized"}
	errNotThere     = &legacyProblem{http.StatusNotFound, "Not Found"}
)

// legacyProblem is an error of the routes older than /api/v1.
type legacyProblem struct {
	status  int
	message string
}

func (p *legacyProblem) Error() string { return p.message }

func (s *Server) handler() http.Handler {
	s.routes = s.allRoutes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "SAMEORIGIN")
		header.Set("X-Xss-Protection", "1; mode=block")
		if strings.HasPrefix(r.URL.Path, "/proxy/") {
			s.proxy(w, r)
			return
		}
		request := &Request{w: w, Request: r, api: strings.HasPrefix(r.URL.Path, "/api/v1/"), query: r.URL.Query()}
		value, err := s.answer(request)
		request.write(value, err)
	})
}

func (s *Server) answer(r *Request) (any, error) {
	path := r.URL.Path
	if path != "/det/" && path != "/docs/" && path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	known := false
	for _, route := range s.routes {
		values, ok := match(route.path, path)
		if !ok {
			continue
		}
		known = true
		if route.method != r.Method {
			continue
		}
		r.values = values
		if !route.open {
			if err := s.authenticate(r); err != nil {
				return nil, err
			}
		}
		return route.do(r)
	}
	switch {
	case r.api:
		return nil, problem(unimplemented, "Not Implemented")
	case known:
		return nil, &legacyProblem{http.StatusMethodNotAllowed, "Method Not Allowed"}
	}
	return nil, errNotThere
}

func match(pattern, path string) ([]string, bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	var values []string
	for i := range want {
		if want[i] == "*" && have[i] != "" {
			values = append(values, have[i])
		} else if want[i] != have[i] {
			return nil, false
		}
	}
	return values, true
}

func (r *Request) token() string {
	if given := r.Header.Get("Authorization"); given != "" {
		if token, ok := strings.CutPrefix(given, "Bearer "); ok {
			return token
		}
		return given
	}
	if cookie, err := r.Cookie("auth"); err == nil {
		return cookie.Value
	}
	return ""
}

func (s *Server) authenticate(r *Request) error {
	token := r.token()
	if token == "" && r.api {
		return problem(invalid, "token missing")
	} else if token == "" {
		return errUnauthorized
	}
	user, err := s.store.session(token)
	if errors.Is(err, errCredentials) && !r.api {
		return errUnauthorized
	}
	r.user = user
	return err
}

// read takes the body as JSON; no body leaves the value as it is.
func (r *Request) read(into any) error {
	err := json.NewDecoder(http.MaxBytesReader(r.w, r.Body, 200<<20)).Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return problem(invalid, "%s", err)
}

func (r *Request) number(name string, otherwise int) (int, error) {
	text := r.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return 0, problem(invalid, "type mismatch, parameter: %s, error: %s", name, err)
	}
	return number, nil
}

func (r *Request) write(value any, err error) {
	if err != nil {
		r.fail(err)
		return
	}
	code := http.StatusOK
	switch value := value.(type) {
	case answered:
		return
	case status:
		r.w.WriteHeader(int(value))
		return
	}
	header := r.w.Header()
	if r.api {
		header.Set("Grpc-Metadata-Content-Type", "application/grpc")
		header.Set("Content-Type", "application/json")
	} else {
		header.Set("Content-Type", "application/json; charset=UTF-8")
	}
	r.w.WriteHeader(code)
	r.w.Write(compact(value))
	if !r.api {
		io.WriteString(r.w, "\n")
	}
}

func (r *Request) fail(err error) {
	var known *Problem
	var legacy *legacyProblem
	switch {
	case errors.As(err, &known):
	case errors.As(err, &legacy):
	case errors.Is(err, errCredentials):
		known = &Problem{unknownUser, errCredentials.Error()}
	default:
		known = &Problem{internal, err.Error()}
	}
	if known != nil && !r.api {
		legacy = &legacyProblem{statuses[known.code], known.text}
	}
	header := r.w.Header()
	if legacy != nil {
		header.Set("Content-Type", "application/json; charset=UTF-8")
		r.w.WriteHeader(legacy.status)
		if r.Method != http.MethodHead {
			r.w.Write(append(compact(map[string]string{"message": legacy.message}), '\n'))
		}
		return
	}
	header.Set("Content-Type", "application/json")
	r.w.WriteHeader(statuses[known.code])
	r.w.Write(compact(map[string]any{"error": struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
		Error  string `json:"error"`
	}{known.code, reasons[known.code], known.text}}))
}

// stream sends the results of a streaming route, one JSON document a line.
func (r *Request) stream(result any) error {
	if _, err := r.w.Write(append(compact(map[string]any{"result": result}), '\n')); err != nil {
		return err
	}
	return http.NewResponseController(r.w).Flush()
}

// streamProblem is how a streaming route says that it failed.
func (r *Request) streamProblem(code int, text string) (any, error) {
	r.w.Header().Set("Content-Type", "application/json")
	r.w.WriteHeader(statuses[code])
	r.w.Write(compact(map[string]any{"error": struct {
		GRPC    int    `json:"grpcCode"`
		HTTP    int    `json:"httpCode"`
		Message string `json:"message"`
		Status  string `json:"httpStatus"`
		Details []any  `json:"details"`
	}{code, statuses[code], text, http.StatusText(statuses[code]), []any{}}}))
	return answered{}, nil
}
