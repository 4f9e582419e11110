package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// Object is anything of Kubernetes'.
type Object = map[string]any

// API is the cluster's, asked as the pod's service account.
type API struct {
	url    string
	client *http.Client
}

// Refusal is an answer of the API that is no success.
type Refusal struct {
	Code    int
	Message string
}

func (r *Refusal) Error() string { return r.Message }

func refusedWith(err error, code int) bool {
	refusal, is := err.(*Refusal)
	return is && refusal.Code == code
}

func inCluster() (*API, error) {
	pem, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(pem)
	host := "https://" + os.Getenv("KUBERNETES_SERVICE_HOST") + ":" + os.Getenv("KUBERNETES_SERVICE_PORT")
	return &API{host, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority}, ForceAttemptHTTP2: true}}}, nil
}

func (a *API) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, sent)
	if err != nil {
		return nil, err
	}
	// The token is read anew each time: it may be a short-lived one.
	if token, err := os.ReadFile(account + "token"); err == nil {
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	request.Header.Set("Content-Type", map[bool]string{true: "application/merge-patch+json", false: "application/json"}[method == "PATCH"])
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "seldon-core-operator/1.7.0 (stand-in)")
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		var said struct{ Message string }
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		if json.Unmarshal(text, &said); said.Message == "" {
			said.Message = fmt.Sprintf("%s %s: %s", method, path, response.Status)
		}
		return nil, &Refusal{response.StatusCode, said.Message}
	}
	return response, nil
}

// do asks and decodes the answer.
func (a *API) do(method, path string, body any) (Object, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	response, err := a.open(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var found Object
	return found, json.NewDecoder(response.Body).Decode(&found)
}

// watch calls changed with each object that there is, and again whenever one changes; it does not return.
func (a *API) watch(path, selector string, changed func(Object)) {
	query := "?"
	if selector != "" {
		query = "?labelSelector=" + url.QueryEscape(selector) + "&"
	}
	for {
		if err := a.watchOnce(path, query, changed); err != nil {
			say("error", "watch "+path, "error", err)
			time.Sleep(2 * time.Second)
		}
	}
}

func (a *API) watchOnce(path, query string, changed func(Object)) error {
	all, err := a.do("GET", path+strings.TrimRight(query, "?&"), nil)
	if err != nil {
		return err
	}
	items, _ := all["items"].([]any)
	for _, item := range items {
		changed(item.(Object))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	response, err := a.open(ctx, "GET", path+query+"watch=true&timeoutSeconds=300&resourceVersion="+text(all, "metadata", "resourceVersion"), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for stream := json.NewDecoder(response.Body); ; {
		var event struct {
			Type   string
			Object Object
		}
		if err := stream.Decode(&event); err == io.EOF {
			return nil // the time of one watch is over
		} else if err != nil {
			return err
		}
		if event.Type == "ERROR" {
			return nil // too old: list again
		}
		changed(event.Object)
	}
}

// at is the value below these keys, nil where there is none.
func at(object any, keys ...string) any {
	for _, key := range keys {
		inner, _ := object.(Object)
		object = inner[key]
	}
	return object
}

func text(object any, keys ...string) string {
	found, _ := at(object, keys...).(string)
	return found
}

func number(object any, keys ...string) int {
	switch found := at(object, keys...).(type) {
	case float64:
		return int(found)
	case int:
		return found
	}
	return 0
}

func list(object any, keys ...string) []any {
	found, _ := at(object, keys...).([]any)
	return found
}

// plain is a value as JSON has it: what is built here and what was read compare alike.
func plain(value any) any {
	raw, _ := json.Marshal(value)
	var found any
	json.Unmarshal(raw, &found)
	return found
}

func copied(object Object) Object { return plain(object).(Object) }
