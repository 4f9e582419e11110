// Command eventing stands in for the programs of Knative Eventing 0.13, told apart by the name that it is called by. As
// `webhook` it does what the real one does to a cluster: it ends without its ConfigMaps, and its five configurations ask
// it of objects, which it allows. As any of the others it does nothing.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"syscall"
	"time"

	"runbook/incluster"
)

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	name := filepath.Base(os.Args[0])
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	log.Printf("a stand-in for Knative Eventing's %s", name)
	if name == "webhook" {
		if err := webhook(stop); err != nil {
			log.Fatal(err)
		}
		return
	}
	<-stop.Done()
}

// What the real one watches, and does not start without.
var needed = []string{"config-br-defaults", "default-ch-webhook", "config-logging", "config-observability"}

const (
	space    = "/api/v1/namespaces/knative-eventing"
	register = "/apis/admissionregistration.k8s.io/v1beta1/"
)

type rule struct {
	APIGroups   []string `json:"apiGroups"`
	APIVersions []string `json:"apiVersions"`
	Operations  []string `json:"operations"`
	Resources   []string `json:"resources"`
}

// configuration is one that asks the webhook: at which path, of what.
type configuration struct {
	path  string
	rules []rule
}

func configurations() map[string]configuration {
	ours := func(operations ...string) (rules []rule) {
		for _, kinds := range []struct {
			group     string
			versions  []string
			resources []string
		}{
			{"eventing.knative.dev", []string{"v1alpha1", "v1beta1"}, []string{"brokers/*", "triggers/*", "eventtypes/*"}},
			{"messaging.knative.dev", []string{"v1alpha1", "v1beta1"}, []string{"channels/*", "inmemorychannels/*", "subscriptions/*"}},
			{"flows.knative.dev", []string{"v1alpha1", "v1beta1"}, []string{"parallels/*", "sequences/*"}},
			{"sources.knative.dev", []string{"v1alpha1", "v1alpha2"}, []string{"apiserversources/*", "pingsources/*", "sinkbindings/*"}},
			{"sources.eventing.knative.dev", []string{"v1alpha1"}, []string{"apiserversources/*", "containersources/*", "cronjobsources/*", "sinkbindings/*"}},
			{"configs.internal.knative.dev", []string{"v1alpha1"}, []string{"configmappropagations/*"}},
		} {
			rules = append(rules, rule{[]string{kinds.group}, kinds.versions, operations, kinds.resources})
		}
		return rules
	}
	return map[string]configuration{
		"mutatingwebhookconfigurations/webhook.eventing.knative.dev":                   {"/defaulting", ours("CREATE", "UPDATE")},
		"validatingwebhookconfigurations/validation.webhook.eventing.knative.dev":      {"/resource-validation", ours("CREATE", "UPDATE", "DELETE")},
		"validatingwebhookconfigurations/config.webhook.eventing.knative.dev":          {"/config-validation", []rule{{[]string{""}, []string{"v1"}, []string{"CREATE", "UPDATE"}, []string{"configmaps/*"}}}},
		"mutatingwebhookconfigurations/sinkbindings.webhook.sources.knative.dev":       {"/sinkbindings", nil},
		"mutatingwebhookconfigurations/legacysinkbindings.webhook.sources.knative.dev": {"/legacysinkbindings", nil},
	}
}

func webhook(stop context.Context) error {
	client, err := incluster.Open()
	if err != nil {
		return err
	}
	for _, name := range needed {
		if err := client.Do(stop, http.MethodGet, space+"/configmaps/"+name, nil, nil); incluster.Refused(err, http.StatusNotFound) {
			return fmt.Errorf("failed to start configuration manager: configmap %q not found", name)
		} else if err != nil {
			return err
		}
	}
	pair, certificate, key, err := selfSigned("eventing-webhook.knative-eventing.svc")
	if err != nil {
		return err
	}
	data := map[string][]byte{"server-key.pem": key, "server-cert.pem": certificate, "ca-cert.pem": certificate}
	if err := client.Do(stop, http.MethodPatch, space+"/secrets/eventing-webhook-certs", map[string]any{"data": data}, nil); err != nil {
		return err
	}
	server := &http.Server{Addr: ":8443", Handler: answers(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}
	go keep(stop, client, certificate)
	go func() { <-stop.Done(); server.Shutdown(context.Background()) }()
	if err := server.ListenAndServeTLS("", ""); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// answers allows all that it is asked of.
func answers() http.Handler {
	mux := http.NewServeMux()
	for _, one := range configurations() {
		mux.HandleFunc("POST "+one.path, func(w http.ResponseWriter, r *http.Request) {
			var asked struct {
				APIVersion, Kind string
				Request          struct{ UID string }
			}
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<20)).Decode(&asked); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{"apiVersion": asked.APIVersion, "kind": asked.Kind,
				"response": map[string]any{"uid": asked.Request.UID, "allowed": true}})
		})
	}
	return mux
}

// keep fills in the configurations, and again when somebody applies the manifest anew.
func keep(stop context.Context, client *incluster.Client, authority []byte) {
	complaints := map[string]string{}
	for stop.Err() == nil {
		for name, wanted := range configurations() {
			if err := fill(stop, client, register+name, wanted, authority); err != nil && complaints[name] != err.Error() {
				complaints[name] = err.Error()
				log.Printf("%s: %v", name, err)
			}
		}
		select {
		case <-stop.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func fill(ctx context.Context, client *incluster.Client, path string, wanted configuration, authority []byte) error {
	var there struct{ Webhooks []map[string]any }
	if err := client.Do(ctx, http.MethodGet, path, nil, &there); err != nil {
		return err
	}
	if !wanted.change(there.Webhooks, authority) {
		return nil
	}
	return client.Do(ctx, http.MethodPatch, path, map[string]any{"webhooks": there.Webhooks}, nil)
}

// change writes path, authority and rules into the hooks; tells whether any was otherwise.
func (c configuration) change(hooks []map[string]any, authority []byte) bool {
	changed := false
	set := func(where map[string]any, key string, value any) {
		text, _ := json.Marshal(value)
		var plain any
		json.Unmarshal(text, &plain)
		if !same(where[key], plain) {
			where[key], changed = plain, true
		}
	}
	for _, hook := range hooks {
		client, _ := hook["clientConfig"].(map[string]any)
		service, _ := client["service"].(map[string]any)
		if service == nil {
			continue
		}
		set(client, "caBundle", authority)
		set(service, "path", c.path)
		if c.rules != nil {
			set(hook, "rules", c.rules)
		}
	}
	return changed
}

// same: what the API adds to a rule by itself is no difference.
func same(there, wanted any) bool {
	if list, ok := there.([]any); ok {
		others, _ := wanted.([]any)
		if len(list) != len(others) {
			return false
		}
		for i := range list {
			if !same(list[i], others[i]) {
				return false
			}
		}
		return true
	}
	if object, ok := there.(map[string]any); ok {
		other, _ := wanted.(map[string]any)
		for key, value := range other {
			if !same(object[key], value) {
				return false
			}
		}
		return other != nil
	}
	return reflect.DeepEqual(there, wanted)
}

// selfSigned makes a certificate for a name, and its key.
func selfSigned(name string) (pair tls.Certificate, certificate, key []byte, err error) {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, secret.Public(), secret)
	if err != nil {
		return
	}
	rawKey, err := x509.MarshalECPrivateKey(secret)
	if err != nil {
		return
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	key = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: rawKey})
	pair, err = tls.X509KeyPair(certificate, key)
	return
}
