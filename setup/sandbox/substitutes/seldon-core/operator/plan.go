package main

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
)

// Plan is all that one SeldonDeployment is made of.
type Plan struct {
	deployments, services []Object
	routed                []Object // a predictor's own Service: with Ambassador it brings traffic
	routes                []Object // Istio's
	address               string
}

func environment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func port(name string, otherwise int) int {
	if value, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return value
	}
	return otherwise
}

// short keeps a name within what DNS allows.
func short(name string) string {
	if len(name) > 63 {
		return fmt.Sprintf("seldon-%x", md5.Sum([]byte(name)))
	}
	return name
}

func (o *Operator) plan(deployment Object) (*Plan, error) {
	plan := &Plan{}
	for _, predictor := range list(deployment, "spec", "predictors") {
		if err := o.predictor(plan, deployment, predictor.(Object)); err != nil {
			return nil, err
		}
	}
	if os.Getenv("ISTIO_ENABLED") == "true" {
		var err error
		if plan.routes, err = routes(deployment); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

func serviceName(deployment, predictor Object) string {
	return short(text(deployment, "metadata", "name") + "-" + text(predictor, "name"))
}

func (o *Operator) predictor(plan *Plan, deployment, predictor Object) error {
	graph, _ := predictor["graph"].(Object)
	unit := text(graph, "name")
	if server := text(graph, "implementation"); server != "" && server != "UNKNOWN_IMPLEMENTATION" {
		if !o.hasServer(server) {
			return fmt.Errorf("Failed to get server config for %s", server)
		}
		return fmt.Errorf("this stand-in for Seldon's operator runs no prepackaged servers: %s", server)
	}
	if container(predictor, unit) == nil {
		return errors.New("Engine not separate and no pu with localhost service - not clear where to inject engine")
	}
	if text(graph, "type") != "MODEL" || len(list(graph, "children")) > 0 {
		return errors.New("this stand-in for Seldon's operator serves graphs of one MODEL only")
	}
	name, namespace := text(deployment, "metadata", "name"), text(deployment, "metadata", "namespace")
	routed := serviceName(deployment, predictor)
	own := short(routed + "-" + unit)
	if plan.address == "" {
		plan.address = fmt.Sprintf("http://%s.%s.svc.cluster.local:%d/api/v1.0/predictions", routed, namespace, port("EXECUTOR_SERVER_PORT", 8000))
	}
	httpPort, grpcPort := port("PREDICTIVE_UNIT_SERVICE_PORT", 9000), 9500
	for _, one := range list(container(predictor, unit), "ports") {
		switch text(one, "name") {
		case "http":
			httpPort = number(one, "containerPort")
		case "grpc":
			grpcPort = number(one, "containerPort")
		}
	}
	role := "seldon.io/default"
	if shadow, _ := predictor["shadow"].(bool); shadow {
		role = "seldon.io/shadow"
	} else if traffic := number(predictor, "traffic"); traffic > 0 && traffic < 50 {
		role = "seldon.io/canary"
	}
	labels := Object{"app.kubernetes.io/managed-by": "seldon-core", "seldon-deployment-id": name}

	service := func(name string, more Object, http, grpc int, selector Object, notes Object) Object {
		metadata := Object{"name": name, "namespace": namespace, "labels": merged(labels, more)}
		if notes != nil {
			metadata["annotations"] = notes
		}
		ports := []any{}
		for _, one := range []struct {
			name   string
			number int
		}{{"http", http}, {"grpc", grpc}} {
			ports = append(ports, Object{"name": one.name, "protocol": "TCP", "port": one.number, "targetPort": one.number})
		}
		return Object{"kind": "Service", "metadata": metadata, "spec": Object{"type": "ClusterIP", "sessionAffinity": "None", "ports": ports, "selector": selector}}
	}
	plan.services = append(plan.services, service(own, Object{"seldon-app-svc": own, role: "true", "seldon.io/model": "true"},
		httpPort, grpcPort, Object{"seldon-app-svc": own}, nil))
	restPort, callPort := port("EXECUTOR_SERVER_PORT", 8000), port("EXECUTOR_SERVER_GRPC_PORT", 5001)
	var notes Object
	if os.Getenv("AMBASSADOR_ENABLED") == "true" {
		notes = Object{"getambassador.io/config": mappings(name, namespace, text(predictor, "name"), routed, restPort, callPort)}
	}
	plan.routed = append(plan.routed, service(routed, Object{"seldon-app": routed}, restPort, callPort, Object{"seldon-app": routed}, notes))

	version := merged(Object{"version": text(predictor, "name")}, predictor["labels"])
	pod := merged(labels, version, Object{"fluentd": "true", "seldon-app": routed, "seldon-app-svc": own, role: "true", "seldon.io/model": "true"})
	for i, component := range list(predictor, "componentSpecs") {
		here := Object{"index": i, "unit": unit, "http": httpPort, "grpc": grpcPort, "rest": restPort, "call": callPort, "version": version, "labels": pod}
		plan.deployments = append(plan.deployments, pods(deployment, predictor, component.(Object), here))
	}
	return nil
}

func merged(all ...any) Object {
	result := Object{}
	for _, one := range all {
		if some, _ := one.(Object); some != nil {
			maps.Copy(result, some)
		}
	}
	return result
}

// pods is the Deployment of one component of a predictor, with the executor where the model is.
func pods(deployment, predictor, component, here Object) Object {
	name, namespace := text(deployment, "metadata", "name"), text(deployment, "metadata", "namespace")
	spec, _ := plain(component["spec"]).(Object)
	names, holds := []string{}, false
	containers := list(spec, "containers")
	for _, one := range containers {
		names = append(names, text(one, "name"))
		if text(one, "name") == here["unit"] {
			holds = true
			model(one.(Object), deployment, predictor, here)
		}
	}
	own := short(fmt.Sprintf("%s-%s-%d-%s", name, text(predictor, "name"), here["index"], strings.Join(names, "-")))
	labels := merged(here["labels"], Object{"app": own})
	template := Object{"labels": merged(at(component, "metadata", "labels"), labels),
		"annotations": merged(at(deployment, "spec", "annotations"), predictor["annotations"], at(component, "metadata", "annotations"))}
	if holds {
		containers = append(containers, engine(deployment, predictor, here))
		labels = merged(labels, Object{"seldon-deployment-contains-svcorch": "true"})
		maps.Copy(template["annotations"].(Object), Object{"prometheus.io/path": environment("EXECUTOR_PROMETHEUS_PATH", "/prometheus"), "prometheus.io/scrape": "true"})
	}
	spec["containers"] = containers
	spec["volumes"] = append(list(spec, "volumes"), Object{"name": "seldon-podinfo", "downwardAPI": Object{"defaultMode": 420, "items": []any{
		Object{"path": "annotations", "fieldRef": Object{"apiVersion": "v1", "fieldPath": "metadata.annotations"}}}}})
	defaults := Object{"restartPolicy": "Always", "terminationGracePeriodSeconds": 20, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "securityContext": Object{}}
	spec = merged(defaults, spec)
	if user, err := strconv.Atoi(os.Getenv("DEFAULT_USER_ID")); err == nil {
		spec["securityContext"] = merged(Object{"runAsUser": user}, spec["securityContext"])
	}
	made := Object{
		"selector": Object{"matchLabels": Object{"seldon-app": labels["seldon-app"], "seldon-app-svc": labels["seldon-app-svc"], "seldon-deployment-id": name}},
		"template": Object{"metadata": template, "spec": spec},
		"strategy": Object{"rollingUpdate": Object{"maxUnavailable": 0}},
	}
	for _, replicas := range []any{at(deployment, "spec", "replicas"), predictor["replicas"], component["replicas"]} {
		if replicas != nil {
			made["replicas"] = replicas
		}
	}
	return Object{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": Object{"name": own, "namespace": namespace, "labels": labels}, "spec": made}
}

// probe is a probe's fixed part.
func probe(what Object, initial, timeout int) Object {
	return merged(what, Object{"initialDelaySeconds": initial, "timeoutSeconds": timeout, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3})
}

func variable(name string, value any) Object { return Object{"name": name, "value": fmt.Sprint(value)} }

// model adds to the model's container what the wrapper in it reads, and what the cluster asks of it.
func model(one, deployment, predictor, here Object) {
	has := map[string]bool{}
	for _, port := range list(one, "ports") {
		has[text(port, "name")] = true
	}
	metrics := environment("PREDICTIVE_UNIT_METRICS_PORT_NAME", "metrics")
	for _, port := range []struct {
		name   string
		number any
	}{{metrics, 6000}, {"http", here["http"]}, {"grpc", here["grpc"]}} {
		if !has[port.name] {
			one["ports"] = append(list(one, "ports"), Object{"name": port.name, "containerPort": port.number, "protocol": "TCP"})
		}
	}
	version, _ := json.Marshal(here["version"])
	env := []any{variable("PREDICTIVE_UNIT_SERVICE_PORT", here["http"]), variable("PREDICTIVE_UNIT_HTTP_SERVICE_PORT", here["http"]),
		variable("PREDICTIVE_UNIT_GRPC_SERVICE_PORT", here["grpc"])}
	if parameters := list(predictor, "graph", "parameters"); len(parameters) > 0 {
		said, _ := json.Marshal(parameters)
		env = append(env, variable("PREDICTIVE_UNIT_PARAMETERS", string(said)))
	}
	env = append(env, variable("PREDICTIVE_UNIT_ID", here["unit"]), variable("PREDICTIVE_UNIT_IMAGE", text(one, "image")),
		variable("PREDICTOR_ID", text(predictor, "name")), variable("PREDICTOR_LABELS", string(version)),
		variable("SELDON_DEPLOYMENT_ID", text(deployment, "metadata", "name")), variable("SELDON_EXECUTOR_ENABLED", "true"),
		variable("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", 6000), variable("PREDICTIVE_UNIT_METRICS_ENDPOINT", "/prometheus"))
	one["env"] = append(list(one, "env"), env...)
	one["volumeMounts"] = append(list(one, "volumeMounts"), Object{"name": "seldon-podinfo", "mountPath": "/etc/podinfo"})
	listens := Object{"tcpSocket": Object{"port": here["http"]}}
	maps.Copy(one, merged(Object{"resources": Object{}, "livenessProbe": probe(listens, 60, 1), "readinessProbe": probe(listens, 20, 1),
		"lifecycle": Object{"preStop": Object{"exec": Object{"command": []any{"/bin/sh", "-c", "/bin/sleep 10"}}}}}, one))
}

// engine is the executor's container.
func engine(deployment, predictor, here Object) Object {
	path := environment("EXECUTOR_PROMETHEUS_PATH", "/prometheus")
	asks := func(path string) Object {
		return probe(Object{"httpGet": Object{"path": path, "port": here["rest"], "scheme": "HTTP"}}, 20, 60)
	}
	resources := at(predictor, "svcOrchSpec", "resources")
	if resources == nil {
		resources = Object{
			"limits":   Object{"cpu": environment("EXECUTOR_DEFAULT_CPU_LIMIT", "500m"), "memory": environment("EXECUTOR_DEFAULT_MEMORY_LIMIT", "512Mi")},
			"requests": Object{"cpu": environment("EXECUTOR_DEFAULT_CPU_REQUEST", "500m"), "memory": environment("EXECUTOR_DEFAULT_MEMORY_REQUEST", "512Mi")}}
	}
	env := []any{variable("ENGINE_PREDICTOR", described(predictor, here)),
		variable("REQUEST_LOGGER_DEFAULT_ENDPOINT", environment("EXECUTOR_REQUEST_LOGGER_DEFAULT_ENDPOINT", "http://default-broker")),
		variable("SELDON_LOG_MESSAGES_EXTERNALLY", "false")}
	made := Object{
		"name": "seldon-container-engine", "image": environment("EXECUTOR_CONTAINER_IMAGE_AND_VERSION", "docker.io/seldonio/seldon-core-executor:1.7.0"),
		"imagePullPolicy": environment("EXECUTOR_CONTAINER_IMAGE_PULL_POLICY", "IfNotPresent"),
		"args": []any{"--sdep", text(deployment, "metadata", "name"), "--namespace", text(deployment, "metadata", "namespace"), "--predictor", text(predictor, "name"),
			"--http_port", fmt.Sprint(here["rest"]), "--grpc_port", fmt.Sprint(here["call"]), "--protocol", "seldon", "--prometheus_path", path, "--server_type", "rpc"},
		"ports": []any{Object{"name": "http", "containerPort": here["rest"], "protocol": "TCP"},
			Object{"name": environment("EXECUTOR_SERVER_METRICS_PORT_NAME", "metrics"), "containerPort": here["rest"], "protocol": "TCP"},
			Object{"name": "grpc", "containerPort": here["call"], "protocol": "TCP"}},
		"env": append(env, list(predictor, "svcOrchSpec", "env")...), "resources": resources,
		"volumeMounts":  []any{Object{"name": "seldon-podinfo", "mountPath": "/etc/podinfo"}},
		"livenessProbe": asks("/live"), "readinessProbe": asks("/ready"),
		"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
	}
	if user, err := strconv.Atoi(os.Getenv("EXECUTOR_CONTAINER_USER")); err == nil {
		made["securityContext"] = Object{"runAsUser": user}
	}
	return made
}

// described is the predictor with its defaults filled in, as the executor reads it.
func described(predictor, here Object) string {
	type endpoint struct {
		Host     string `json:"service_host"`
		Port     any    `json:"service_port"`
		Type     string `json:"type"`
		HTTPPort any    `json:"httpPort"`
		GRPCPort any    `json:"grpcPort"`
	}
	type graph struct {
		Name           string   `json:"name"`
		Type           string   `json:"type"`
		Implementation string   `json:"implementation"`
		Endpoint       endpoint `json:"endpoint"`
		Parameters     []any    `json:"parameters,omitempty"`
	}
	said, _ := json.Marshal(struct {
		Name           string `json:"name"`
		Graph          graph  `json:"graph"`
		ComponentSpecs any    `json:"componentSpecs,omitempty"`
		Replicas       any    `json:"replicas,omitempty"`
		Annotations    any    `json:"annotations,omitempty"`
		Resources      Object `json:"engineResources"`
		Labels         any    `json:"labels"`
		Orchestrator   Object `json:"svcOrchSpec"`
		Traffic        any    `json:"traffic,omitempty"`
	}{text(predictor, "name"), graph{text(predictor, "graph", "name"), "MODEL", "UNKNOWN_IMPLEMENTATION",
		endpoint{"localhost", here["http"], "REST", here["http"], here["grpc"]}, list(predictor, "graph", "parameters")},
		predictor["componentSpecs"], predictor["replicas"], predictor["annotations"], Object{}, here["version"],
		merged(predictor["svcOrchSpec"]), predictor["traffic"]})
	return base64.StdEncoding.EncodeToString(said)
}
