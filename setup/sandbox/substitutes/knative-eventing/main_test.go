package main

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func hooks(t *testing.T, text string) []map[string]any {
	var out []map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAConfigurationIsFilledInOnce(t *testing.T) {
	wanted := configurations()["validatingwebhookconfigurations/config.webhook.eventing.knative.dev"]
	there := hooks(t, `[{"clientConfig": {"service": {"name": "eventing-webhook"}}}]`)
	if !wanted.change(there, []byte("root")) {
		t.Fatal("not changed")
	}
	rules := there[0]["rules"].([]any)[0].(map[string]any)
	if rules["resources"].([]any)[0] != "configmaps/*" {
		t.Fatal(rules)
	}
	rules["scope"] = "*" // what the API adds
	if wanted.change(there, []byte("root")) {
		t.Fatal("changed again")
	}
}

func TestEachPathAllows(t *testing.T) {
	server := answers()
	for name, one := range configurations() {
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest("POST", one.path+"?timeout=30s", strings.NewReader(`{"request": {"uid": "7"}}`)))
		if !strings.Contains(answer.Body.String(), `"allowed":true`) || !strings.Contains(answer.Body.String(), `"uid":"7"`) {
			t.Errorf("%s: %s", name, answer.Body)
		}
	}
}

func TestACertificateCanBeUsed(t *testing.T) {
	if _, certificate, key, err := selfSigned("a.b.svc"); err != nil || len(certificate) == 0 || len(key) == 0 {
		t.Fatal(err)
	}
}
