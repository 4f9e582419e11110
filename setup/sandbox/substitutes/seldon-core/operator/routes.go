package main

import (
	"fmt"
	"os"
	"strconv"
)

// routes are Istio's objects: one VirtualService for REST, one for gRPC, and a DestinationRule for each predictor.
func routes(deployment Object) ([]Object, error) {
	name, namespace := text(deployment, "metadata", "name"), text(deployment, "metadata", "namespace")
	note := func(key, otherwise string) string {
		for _, from := range []any{at(deployment, "spec", "annotations"), at(deployment, "metadata", "annotations")} {
			if value := text(from, key); value != "" {
				return value
			}
		}
		return otherwise
	}
	gateway := note("seldon.io/istio-gateway", environment("ISTIO_GATEWAY", "seldon-gateway"))
	host := note("seldon.io/istio-host", "*")
	again, err := retries(note("seldon.io/istio-retries", ""), note("seldon.io/istio-retries-timeout", "1"))
	if err != nil {
		return nil, err
	}
	virtual := func(kind string, port int, match Object, rewrite bool) Object {
		targets := []any{}
		var mirror any
		for _, one := range list(deployment, "spec", "predictors") {
			predictor := one.(Object)
			to := Object{"host": serviceName(deployment, predictor), "subset": predictor["name"], "port": Object{"number": port}}
			if shadow, _ := predictor["shadow"].(bool); shadow {
				mirror = to
				continue
			}
			target := Object{"destination": to}
			if traffic := number(predictor, "traffic"); traffic > 0 {
				target["weight"] = traffic
			}
			targets = append(targets, target)
		}
		route := Object{"match": []any{match}, "route": targets}
		if again != nil {
			route["retries"] = again
		}
		if mirror != nil {
			route["mirror"] = mirror
		}
		if rewrite {
			route["rewrite"] = Object{"uri": "/"}
		}
		return Object{"kind": "VirtualService", "metadata": Object{"name": name + "-" + kind, "namespace": namespace},
			"spec": Object{"hosts": []any{host}, "gateways": []any{gateway}, "http": []any{route}}}
	}
	made := []Object{
		virtual("http", port("EXECUTOR_SERVER_PORT", 8000), Object{"uri": Object{"prefix": "/seldon/" + namespace + "/" + name + "/"}}, true),
		virtual("grpc", port("EXECUTOR_SERVER_GRPC_PORT", 5001), Object{"uri": Object{"regex": ".*tensorflow.*|.*seldon.protos.*"},
			"headers": Object{"namespace": Object{"exact": namespace}, "seldon": Object{"exact": name}}}, false),
	}
	for _, one := range list(deployment, "spec", "predictors") {
		predictor := one.(Object)
		policy := Object{"connectionPool": Object{"http": Object{"idleTimeout": "60s"}}}
		if mode := os.Getenv("ISTIO_TLS_MODE"); mode != "" {
			policy["tls"] = Object{"mode": mode}
		}
		version := merged(Object{"version": text(predictor, "name")}, predictor["labels"])
		made = append(made, Object{"kind": "DestinationRule", "metadata": Object{"name": serviceName(deployment, predictor), "namespace": namespace},
			"spec": Object{"host": serviceName(deployment, predictor), "trafficPolicy": policy,
				"subsets": []any{Object{"name": predictor["name"], "labels": Object{"version": version["version"]}}}}})
	}
	return made, nil
}

// retries is what both VirtualServices say of requests that failed; nil for none.
func retries(attempts, seconds string) (Object, error) {
	if attempts == "" {
		return nil, nil
	}
	count, err := strconv.Atoi(attempts)
	if err != nil {
		return nil, err
	}
	each, err := strconv.Atoi(seconds)
	if err != nil {
		return nil, err
	}
	if count <= 0 {
		return nil, nil
	}
	return Object{"attempts": count, "perTryTimeout": fmt.Sprintf("%ds", each), "retryOn": "gateway-error,connect-failure,refused-stream"}, nil
}

// mappings are Ambassador's, written on the Service. Nothing reads them here.
func mappings(name, namespace, predictor, service string, rest, grpc int) string {
	id := fmt.Sprintf("seldon_%s_%s_%s", namespace, name, predictor)
	return fmt.Sprintf(`---
apiVersion: ambassador/v1
kind: Mapping
name: %[1]s_rest_mapping
prefix: /seldon/%[2]s/%[3]s/
rewrite: /
service: %[4]s.%[2]s:%[5]d
timeout_ms: 3000
---
apiVersion: ambassador/v1
kind: Mapping
name: %[1]s_grpc_mapping
grpc: true
prefix: /(seldon.protos.*|tensorflow.serving.*|inference.*)/.*
prefix_regex: true
rewrite: ""
service: %[4]s.%[2]s:%[6]d
timeout_ms: 3000
headers:
  namespace: %[2]s
  seldon: %[3]s
---
`, id, namespace, name, service, rest, grpc)
}
