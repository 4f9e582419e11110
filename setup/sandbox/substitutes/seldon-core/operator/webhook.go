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

// refusal is what is wrong with a SeldonDeployment, in the real webhook's words and order; "" for nothing.
func (o *Operator) refusal(deployment Object) string {
	spec, _ := deployment["spec"].(Object)
	predictors := list(spec, "predictors")
	found := &complaints{}
	for _, rule := range []struct {
		key, message string
		known        []string
	}{
		{"protocol", "Invalid protocol", []string{"", "seldon", "tensorflow", "kfserving"}},
		{"transport", "Invalid transport", []string{"", "rest", "grpc"}},
		{"serverType", "Invalid serverType", []string{"", "rpc", "kafka"}},
	} {
		if value := text(spec, rule.key); !slices.Contains(rule.known, value) {
			found.add("spec", value, rule.message)
		}
	}
	if text(spec, "serverType") == "kafka" {
		checkKafka(predictors, found)
	}
	if len(predictors) == 1 && isShadow(predictors[0]) {
		found.add("spec.predictors[0]", text(predictors[0], "name"), "Shadow can not exist as only predictor")
	}
	if len(predictors) == 0 {
		found.add("spec", text(spec, "transport"), "Graph contains no predictors")
	}
	o.checkPredictors(spec, predictors, found)
	checkTransports(spec, predictors, found)
	checkTraffic(predictors, found)
	return found.text(text(spec, "name"))
}

// complaints are what the webhook finds, each once.
type complaints struct{ all []string }

func (c *complaints) add(path, value, message string) {
	if said := fmt.Sprintf("%s: Invalid value: %q: %s", path, value, message); !slices.Contains(c.all, said) {
		c.all = append(c.all, said)
	}
}

func (c *complaints) text(name string) string {
	if len(c.all) == 0 {
		return ""
	}
	all := strings.Join(c.all, ", ")
	if len(c.all) > 1 {
		all = "[" + all + "]"
	}
	return fmt.Sprintf("SeldonDeployment.machinelearing.seldon.io %q is invalid: %s", name, all)
}

func predictorAt(i int) string { return fmt.Sprintf("spec.predictors[%d]", i) }

func isShadow(predictor any) bool {
	shadow, _ := at(predictor, "shadow").(bool)
	return shadow
}

func checkKafka(predictors []any, found *complaints) {
	for i, predictor := range predictors {
		given := 0
		for _, variable := range list(predictor, "svcOrchSpec", "env") {
			if slices.Contains([]string{"KAFKA_BROKER", "KAFKA_INPUT_TOPIC", "KAFKA_OUTPUT_TOPIC"}, text(variable, "name")) {
				given++
			}
		}
		if given < 3 {
			found.add(predictorAt(i), text(predictor, "name"), "For kafka please supply svcOrchSpec envs KAFKA_BROKER, KAFKA_INPUT_TOPIC, KAFKA_OUTPUT_TOPIC")
		}
	}
}

func (o *Operator) checkPredictors(spec Object, predictors []any, found *complaints) {
	names := map[string]bool{}
	for i, predictor := range predictors {
		name := text(predictor, "name")
		annotations, _ := at(predictor, "annotations").(Object)
		if _, alone := annotations["seldon.io/no-engine"]; alone && len(units(at(predictor, "graph"))) > 1 {
			found.add(predictorAt(i), name, "Running without engine only valid for single element graphs")
		}
		if names[name] {
			found.add(predictorAt(i), name, "Duplicate predictor name")
		}
		names[name] = true
		o.checkUnit(at(predictor, "graph"), predictor, text(spec, "protocol"), predictorAt(i)+".graph", found)
	}
}

// units are all of a graph.
func units(unit any) []any {
	all := []any{unit}
	for _, child := range list(unit, "children") {
		all = append(all, units(child)...)
	}
	return all
}

func checkTransports(spec Object, predictors []any, found *complaints) {
	kinds := map[string]bool{}
	for _, predictor := range predictors {
		for _, unit := range units(at(predictor, "graph")) {
			if kind := text(unit, "endpoint", "type"); kind != "" {
				kinds[kind] = true
			}
		}
	}
	transport := text(spec, "transport")
	switch {
	case len(kinds) > 1:
		found.add("spec", "", "Multiple endpoint.types found - can only have 1 type in graph. Please use spec.transport")
	case transport != "" && (kinds["REST"] && transport != "rest" || kinds["GRPC"] && transport != "grpc"):
		found.add("spec", "", "Mixed transport types found. Remove graph endpoint.types if transport set at deployment level")
	}
}

// checkTraffic counts a shadow's traffic as well, as the real one does.
func checkTraffic(predictors []any, found *complaints) {
	if len(predictors) == 0 {
		return
	}
	traffic, shadows := 0, 0
	for _, predictor := range predictors {
		traffic += number(predictor, "traffic")
		if isShadow(predictor) {
			if shadows++; shadows > 1 {
				found.add("spec", text(predictor, "name"), "Multiple shadows are not allowed")
			}
		}
	}
	first := text(predictors[0], "name")
	if traffic != 100 && len(predictors)-shadows > 1 {
		found.add("spec", first, "Traffic must sum to 100 for multiple predictors")
	}
	if traffic > 0 && traffic < 100 && len(predictors) == 1 {
		found.add("spec", first, "Traffic must sum be 100 for a single predictor when set")
	}
}

func (o *Operator) checkUnit(unit, predictor any, protocol, path string, found *complaints) {
	name, implementation := text(unit, "name"), text(unit, "implementation")
	own := container(predictor, name)
	switch {
	case implementation == "" || implementation == "UNKNOWN_IMPLEMENTATION":
		if own == nil {
			found.add(path, name, "Can't find container for Predictive Unit")
		}
		if at(unit, "type") == nil {
			panic(http.ErrAbortHandler) // the real one follows a pointer to nowhere here: its caller reads EOF
		}
		if text(unit, "type") == "UNKNOWN_TYPE" && len(list(unit, "methods")) == 0 {
			found.add(path, name, "Predictive Unit has no implementation methods defined. Change to a known type or add what methods it defines")
		}
	case !slices.Contains([]string{"SIMPLE_MODEL", "SIMPLE_ROUTER", "RANDOM_ABTEST", "AVERAGE_COMBINER"}, implementation):
		if text(unit, "modelUri") == "" {
			found.add(path, name, "Predictive unit modelUri required when using standalone servers")
		}
		if protocol == "tensorflow" && slices.Contains([]string{"SKLEARN_SERVER", "XGBOOST_SERVER", "MLFLOW_SERVER"}, implementation) {
			found.add(path, name, "Prepackaged server does not handle tendorflow protocol "+implementation)
		}
		if text(own, "image") == "" && !o.hasServer(implementation) {
			found.add(path, name, "No entry in predictors map for "+implementation)
		}
	}
	if logger := at(unit, "logger"); logger != nil && text(logger, "mode") == "" {
		found.add(path, "", "No logger mode specified")
	}
	for i, child := range list(unit, "children") {
		o.checkUnit(child, predictor, protocol, fmt.Sprintf("%s[%d]", path, i), found)
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
