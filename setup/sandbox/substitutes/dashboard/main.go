// Command dashboard stands in for the Kubernetes Dashboard 2.0: its address, its login by token and the few lists of its
// API that a person looks at first, with a page of its own that says what it is. Called as metrics-scraper it stands in
// for that program's port.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"runbook/incluster"
)

//go:embed page.html
var page []byte

var (
	secret = random(32) // a login ends with the process, as the real one's does when its key secret is deleted
	api    *incluster.Client
)

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		log.Fatal(err)
	}
	return b
}

func main() {
	if filepath.Base(os.Args[0]) == "metrics-scraper" {
		log.Print("a stand-in for metrics-scraper: it keeps no metrics; port 8000")
		log.Fatal(http.ListenAndServe(":8000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "URL: %s", r.URL.Path)
		})))
	}
	var err error
	if api, err = incluster.Open(); err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(page)
	})
	mux.HandleFunc("GET /api/v1/csrftoken/{action}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]string{"token": csrf(r.PathValue("action"))})
	})
	mux.HandleFunc("POST /api/v1/login", login)
	mux.HandleFunc("GET /api/v1/login/status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]any{"tokenPresent": r.Header.Get("jweToken") != "", "headerPresent": r.Header.Get("Authorization") != "",
			"httpsMode": true, "impersonationPresent": false, "impersonatedUser": ""})
	})
	mux.HandleFunc("GET /api/v1/{kind}", list)
	mux.HandleFunc("GET /api/v1/{kind}/{namespace}", list)

	certificate, err := selfSigned()
	if err != nil {
		log.Fatal(err)
	}
	log.Print("a stand-in for the Kubernetes Dashboard 2.0: serving on port 8443")
	server := &http.Server{Addr: ":8443", Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	log.Fatal(server.ListenAndServeTLS("", ""))
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body)
}

// csrf is the token that a POST of this action has to bring.
func csrf(action string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(action))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func box() cipher.AEAD {
	block, err := aes.NewCipher(secret)
	if err != nil {
		log.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	return aead
}

func sealed(token string) string {
	nonce := random(box().NonceSize())
	return base64.RawURLEncoding.EncodeToString(box().Seal(nonce, nonce, []byte(token), nil))
}

func opened(text string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < box().NonceSize() {
		return "", fmt.Errorf("no login")
	}
	plain, err := box().Open(nil, raw[:box().NonceSize()], raw[box().NonceSize():], nil)
	return string(plain), err
}

// get asks the cluster's API with somebody's token; no token is nobody's. It gives the answer's code too, 0 when there was none.
func get(token, path string, into any) (int, error) {
	if token == "" {
		return http.StatusUnauthorized, errors.New("no token")
	}
	err := api.As(token).Do(context.Background(), "GET", path, nil, into)
	if refusal := (*incluster.Refusal)(nil); errors.As(err, &refusal) {
		return refusal.Code, err
	} else if err != nil {
		return 0, err
	}
	return http.StatusOK, nil
}

func unauthorized() map[string]any {
	return map[string]any{"ErrStatus": map[string]any{"metadata": map[string]any{}, "status": "Failure",
		"message": "MSG_LOGIN_UNAUTHORIZED_ERROR", "reason": "Unauthorized", "code": 401}}
}

func login(w http.ResponseWriter, r *http.Request) {
	if !hmac.Equal([]byte(r.Header.Get("X-CSRF-TOKEN")), []byte(csrf("login"))) {
		http.Error(w, "MSG_INVALID_TOKEN", http.StatusUnauthorized)
		return
	}
	var said struct{ Token string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&said); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	token := strings.TrimSpace(said.Token)
	var version any
	// A list and not /version: that one answers anybody who has no token at all.
	code, err := get(token, "/api/v1/namespaces?limit=1", &version)
	switch {
	case code == 0:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case code == 401:
		answer(w, 200, map[string]any{"jweToken": "", "errors": []any{unauthorized()}})
	default: // 403: known, with few rights
		answer(w, 200, map[string]any{"jweToken": sealed(token), "errors": []any{}})
	}
}

// What can be listed: the dashboard's word, and the API's.
var kinds = map[string]struct{ path, key string }{
	"namespace":             {"/api/v1/namespaces", "namespaces"},
	"node":                  {"/api/v1/nodes", "nodes"},
	"pod":                   {"/api/v1/pods", "pods"},
	"service":               {"/api/v1/services", "services"},
	"persistentvolumeclaim": {"/api/v1/persistentvolumeclaims", "items"},
	"deployment":            {"/apis/apps/v1/deployments", "deployments"},
}

func list(w http.ResponseWriter, r *http.Request) {
	kind, found := kinds[r.PathValue("kind")]
	if !found {
		http.Error(w, "this stand-in does not list that", http.StatusNotFound)
		return
	}
	token, err := opened(r.Header.Get("jweToken"))
	if err != nil {
		http.Error(w, "MSG_LOGIN_UNAUTHORIZED_ERROR", http.StatusUnauthorized)
		return
	}
	var got struct {
		Items []struct {
			Metadata struct {
				Name              string            `json:"name"`
				Namespace         string            `json:"namespace,omitempty"`
				Labels            map[string]string `json:"labels,omitempty"`
				CreationTimestamp string            `json:"creationTimestamp"`
				UID               string            `json:"uid"`
			} `json:"metadata"`
			Status struct {
				Phase      string
				Conditions []struct{ Type, Status string }
			} `json:"status"`
		} `json:"items"`
	}
	path := kind.path
	if namespace := r.PathValue("namespace"); namespace != "" {
		cut := strings.LastIndex(path, "/")
		path = path[:cut] + "/namespaces/" + namespace + path[cut:]
	}
	code, err := get(token, path, &got)
	if code == 0 {
		code = http.StatusBadGateway
	}
	if err != nil {
		http.Error(w, "the cluster's API: "+err.Error(), code)
		return
	}
	items := []any{}
	for _, one := range got.Items {
		item := map[string]any{"objectMeta": one.Metadata, "typeMeta": map[string]any{"kind": r.PathValue("kind")}}
		if one.Status.Phase != "" {
			item["phase"], item["status"] = one.Status.Phase, one.Status.Phase
		}
		for _, condition := range one.Status.Conditions {
			if condition.Type == "Ready" {
				item["ready"] = condition.Status
			}
		}
		items = append(items, item)
	}
	answer(w, 200, map[string]any{"listMeta": map[string]int{"totalItems": len(items)}, kind.key: items, "errors": []any{}})
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "kubernetes-dashboard"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"kubernetes-dashboard", "localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
