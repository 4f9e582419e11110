package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
)

// webhook answers the API server, which asks before it stores a SeldonDeployment.
func webhook(operator *Operator, port int, folder string) {
	mux := http.NewServeMux()
	for _, version := range []string{"v1", "v1alpha2", "v1alpha3"} {
		mux.HandleFunc("POST /validate-machinelearning-seldon-io-"+version+"-seldondeployment", operator.admit)
	}
	server := &http.Server{Addr: fmt.Sprintf(":%d", port), Handler: mux, ErrorLog: log.New(nowhere{}, "", 0), TLSConfig: &tls.Config{
		// Read at each connection: the Secret changes with the chart's next release.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
			return &pair, err
		}}}
	fail("serve the webhook", server.ListenAndServeTLS("", ""))
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

func (o *Operator) admit(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Request    struct {
			UID       string
			Operation string
			Object    Object
		} `json:"request"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<20)).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	said := ""
	if review.Request.Operation != "DELETE" {
		said = o.refusal(review.Request.Object)
	}
	answer := Object{"uid": review.Request.UID, "allowed": said == "", "status": Object{"metadata": Object{}, "code": 200}}
	if said != "" {
		answer["status"] = Object{"metadata": Object{}, "code": 403, "reason": said}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(Object{"kind": review.Kind, "apiVersion": review.APIVersion, "response": answer})
}

// refusal is what is wrong with a SeldonDeployment, in the real webhook's words; "" for nothing.
func (o *Operator) refusal(deployment Object) string {
	spec, _ := deployment["spec"].(Object)
	found := []string{}
	wrong := func(path string, value any, message string) {
		said := fmt.Sprintf("%s: Invalid value: %q: %s", path, value, message)
		if !slices.Contains(found, said) {
			found = append(found, said)
		}
	}
	for _, rule := range []struct {
		key, message string
		known        []string
	}{
		{"protocol", "Invalid protocol", []string{"", "seldon", "tensorflow", "kfserving"}},
		{"transport", "Invalid transport", []string{"", "rest", "grpc"}},
		{"serverType", "Invalid serverType", []string{"", "rpc", "kafka"}},
	} {
		if value := text(spec, rule.key); !slices.Contains(rule.known, value) {
			wrong("spec", value, rule.message)
		}
	}
	predictors := list(spec, "predictors")
	if len(predictors) == 0 {
		wrong("spec", text(spec, "transport"), "Graph contains no predictors")
	}
	names, traffic, shadows := map[string]bool{}, 0, 0
	for i, predictor := range predictors {
		name := text(predictor, "name")
		if names[name] {
			wrong(fmt.Sprintf("spec.predictors[%d]", i), name, "Duplicate predictor name")
		}
		names[name] = true
		o.checkUnit(at(predictor, "graph"), predictor, fmt.Sprintf("spec.predictors[%d].graph", i), wrong)
		if shadow, _ := at(predictor, "shadow").(bool); shadow {
			shadows++
			if len(predictors) == 1 {
				wrong("spec.predictors[0]", name, "Shadow can not exist as only predictor")
			}
		} else {
			traffic += number(predictor, "traffic")
		}
	}
	if len(predictors) > 0 {
		first := text(predictors[0], "name")
		if traffic != 100 && len(predictors)-shadows > 1 {
			wrong("spec", first, "Traffic must sum to 100 for multiple predictors")
		}
		if traffic > 0 && traffic < 100 && len(predictors) == 1 {
			wrong("spec", first, "Traffic must sum be 100 for a single predictor when set")
		}
	}
	if len(found) == 0 {
		return ""
	}
	all := strings.Join(found, ", ")
	if len(found) > 1 {
		all = "[" + all + "]"
	}
	return fmt.Sprintf("SeldonDeployment.machinelearing.seldon.io %q is invalid: %s", text(spec, "name"), all)
}

func (o *Operator) checkUnit(unit, predictor any, path string, wrong func(string, any, string)) {
	name, implementation := text(unit, "name"), text(unit, "implementation")
	own := container(predictor, name)
	switch {
	case implementation == "" || implementation == "UNKNOWN_IMPLEMENTATION":
		if own == nil {
			wrong(path, name, "Can't find container for Predictive Unit")
		}
		if text(unit, "type") == "UNKNOWN_TYPE" && len(list(unit, "methods")) == 0 {
			wrong(path, name, "Predictive Unit has no implementation methods defined. Change to a known type or add what methods it defines")
		}
	case !slices.Contains([]string{"SIMPLE_MODEL", "SIMPLE_ROUTER", "RANDOM_ABTEST", "AVERAGE_COMBINER"}, implementation):
		if text(unit, "modelUri") == "" {
			wrong(path, name, "Predictive unit modelUri required when using standalone servers")
		}
		if text(own, "image") == "" && !o.hasServer(implementation) {
			wrong(path, name, "No entry in predictors map for "+implementation)
		}
	}
	for i, child := range list(unit, "children") {
		o.checkUnit(child, predictor, fmt.Sprintf("%s[%d]", path, i), wrong)
	}
}

// container is the one of this name in any of the predictor's pods.
func container(predictor any, name string) Object {
	for _, pod := range list(predictor, "componentSpecs") {
		for _, one := range list(pod, "spec", "containers") {
			if text(one, "name") == name {
				return one.(Object)
			}
		}
	}
	return nil
}
