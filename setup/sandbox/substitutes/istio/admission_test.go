package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestACertificateIsForItsServiceAndSigned(t *testing.T) {
	ca, key, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := readAuthority(map[string][]byte{"ca-cert.pem": ca.pem, "ca-key.pem": key})
	if err != nil {
		t.Fatal(err)
	}
	data, err := kept.forAccount("istio-system", "istio-galley-service-account")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data["cert-chain.pem"])
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data["root-cert.pem"])
	if _, err := certificate.Verify(x509.VerifyOptions{DNSName: "istio-galley.istio-system.svc", Roots: roots}); err != nil {
		t.Fatal(err)
	}
}

func TestAPodGetsASidecarUnlessItSaysNo(t *testing.T) {
	routes := webhooks["sidecar-injector"].routes()
	for pod, wanted := range map[string]bool{
		`{"spec": {"containers": [{"name": "a"}]}}`: true,
		`{"metadata": {"annotations": {"sidecar.istio.io/inject": "false"}}, "spec": {"containers": [{"name": "a"}]}}`: false,
		`{"spec": {"hostNetwork": true, "containers": [{"name": "a"}]}}`:                                               false,
		`{"spec": {"containers": [{"name": "istio-proxy"}]}}`:                                                          false,
		`{"metadata": {"annotations": {"x": "y"}}, "spec": {"containers": [{"name": "a"}]}}`:                           true,
	} {
		body := `{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "1", "object": ` + pod + `}}`
		answer := httptest.NewRecorder()
		routes.ServeHTTP(answer, httptest.NewRequest("POST", "/inject", strings.NewReader(body)))
		var said struct {
			Response struct {
				UID     string
				Allowed bool
				Patch   []byte
			}
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &said); err != nil || !said.Response.Allowed || said.Response.UID != "1" {
			t.Fatalf("%s: %v %s", pod, err, answer.Body)
		}
		if got := strings.Contains(string(said.Response.Patch), "docker.io/istio/proxyv2:1.5.1"); got != wanted {
			t.Errorf("%s: a sidecar: %v, wanted %v", pod, got, wanted)
		}
	}
}

func TestGalleyMakesFailOfIgnoreOnce(t *testing.T) {
	hooks := []map[string]any{{"failurePolicy": "Ignore", "clientConfig": map[string]any{"caBundle": ""}}}
	if !webhooks["galley"].change(hooks, []byte("root")) || hooks[0]["failurePolicy"] != "Fail" {
		t.Fatal(hooks)
	}
	if webhooks["galley"].change(hooks, []byte("root")) {
		t.Fatal("changed again")
	}
}
