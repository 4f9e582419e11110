package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// proxy forwards /proxy/<task>/... to the task's port, path unchanged, websockets too. As in 0.15.3 it asks for no login.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request) {
	id, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/proxy/"), "/")
	address := ""
	if t := s.tasks.find("", id); t != nil {
		t.Lock()
		address = t.address
		t.Unlock()
	}
	if address == "" {
		request := &Request{w: w, Request: r}
		request.fail(&legacyProblem{http.StatusNotFound, "service not found: " + id})
		return
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: address})
			p.Out.Host = p.In.Host
			p.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			(&Request{w: w, Request: r}).fail(&legacyProblem{http.StatusBadGateway, err.Error()})
		},
		FlushInterval: -1,
	}
	forward.ServeHTTP(w, r)
}
