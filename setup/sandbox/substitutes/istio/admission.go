package main

// The webhooks of Galley and of the sidecar injector: they answer with the certificate that Citadel made, and tell the
// API server by themselves whose signature to trust.

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"runbook/incluster"
)

// webhook is one program's: where its certificate lies, which configuration is its, and whether it makes Fail of Ignore.
type webhook struct {
	certificates, configuration string
	fail                        bool
	handlers                    map[string]func(review) map[string]any
}

var webhooks = map[string]webhook{
	"galley": {"/etc/certs", "validatingwebhookconfigurations/istio-galley", true,
		map[string]func(review) map[string]any{"/admitpilot": allowed, "/admitmixer": allowed}},
	"sidecar-injector": {"/etc/istio/certs", "mutatingwebhookconfigurations/istio-sidecar-injector", false,
		map[string]func(review) map[string]any{"/inject": injected}},
}

type review struct {
	UID    string
	Object struct {
		Metadata struct{ Annotations map[string]string }
		Spec     struct {
			HostNetwork bool
			Containers  []struct{ Name string }
		}
	}
}

func allowed(asked review) map[string]any { return map[string]any{"uid": asked.UID, "allowed": true} }

// injected adds a container istio-proxy to a pod, unless its annotation says no. The real one also has the pod's
// connections go through it.
func injected(asked review) map[string]any {
	pod, answer := asked.Object, allowed(asked)
	if pod.Spec.HostNetwork || pod.Metadata.Annotations["sidecar.istio.io/inject"] == "false" {
		return answer
	}
	for _, container := range pod.Spec.Containers {
		if container.Name == "istio-proxy" {
			return answer
		}
	}
	proxy := map[string]any{"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.5.1", "args": []string{"proxy", "sidecar"},
		"imagePullPolicy": "IfNotPresent", "resources": map[string]any{"requests": map[string]string{"cpu": "10m", "memory": "40Mi"}}}
	status := map[string]any{"op": "add", "path": "/metadata/annotations", "value": map[string]string{}}
	patch := []any{map[string]any{"op": "add", "path": "/spec/containers/-", "value": proxy}}
	if pod.Metadata.Annotations == nil {
		patch = append(patch, status)
	}
	patch = append(patch, map[string]any{"op": "add", "path": "/metadata/annotations/sidecar.istio.io~1status", "value": `{"containers":["istio-proxy"]}`})
	text, _ := json.Marshal(patch)
	answer["patchType"], answer["patch"] = "JSONPatch", text
	return answer
}

func (h webhook) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for path, answer := range h.handlers {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			var asked struct {
				APIVersion, Kind string
				Request          review
			}
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<20)).Decode(&asked); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{"apiVersion": asked.APIVersion, "kind": asked.Kind, "response": answer(asked.Request)})
		})
	}
	return mux
}

// serve answers until the program ends.
func (h webhook) serve(stop context.Context) {
	root, err := os.ReadFile(filepath.Join(h.certificates, "root-cert.pem"))
	if err != nil {
		log.Fatal(err)
	}
	go h.tell(stop, root)
	log.Fatal(http.ListenAndServeTLS(":9443", filepath.Join(h.certificates, "cert-chain.pem"), filepath.Join(h.certificates, "key.pem"), h.routes()))
}

// tell keeps the configuration as this program wants it; somebody may apply the manifest again.
func (h webhook) tell(stop context.Context, root []byte) {
	client, err := incluster.Open()
	if err != nil {
		log.Fatal(err)
	}
	path, complaint := "/apis/admissionregistration.k8s.io/v1beta1/"+h.configuration, ""
	for stop.Err() == nil {
		if err := h.reconcile(stop, client, path, root); err != nil && err.Error() != complaint {
			complaint = err.Error()
			log.Print(complaint)
		}
		time.Sleep(3 * time.Second)
	}
}

func (h webhook) reconcile(ctx context.Context, client *incluster.Client, path string, root []byte) error {
	var there struct{ Webhooks []map[string]any }
	if err := client.Do(ctx, http.MethodGet, path, nil, &there); err != nil {
		return err
	}
	if !h.change(there.Webhooks, root) {
		return nil
	}
	return client.Do(ctx, http.MethodPatch, path, map[string]any{"webhooks": there.Webhooks}, nil)
}

// change sets the authority and the policy; tells whether anything was otherwise.
func (h webhook) change(hooks []map[string]any, root []byte) bool {
	changed := false
	set := func(where map[string]any, key string, value any) {
		text, _ := json.Marshal(value)
		old, _ := json.Marshal(where[key])
		if string(text) != string(old) {
			where[key], changed = value, true
		}
	}
	for _, hook := range hooks {
		if client, ok := hook["clientConfig"].(map[string]any); ok {
			set(client, "caBundle", root)
		}
		if h.fail {
			set(hook, "failurePolicy", "Fail")
		}
	}
	return changed
}
