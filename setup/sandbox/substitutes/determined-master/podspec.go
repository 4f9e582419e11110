package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const containerName = "determined-container"

type object = map[string]any

// PodSpec is what a task adds to its pod. Names that a pod, its spec or a container has not are refused.
type PodSpec struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Metadata   object `json:"metadata"`
	Spec       object `json:"spec"`
	Status     object `json:"status,omitempty"`
}

func (p *PodSpec) UnmarshalJSON(data []byte) error {
	type plain PodSpec
	if err := strict(data, (*plain)(p)); err != nil {
		return err
	}
	err := known(p.Spec, podMembers)
	for _, container := range append(p.containers(true), p.containers(false)...) {
		err = errors.Join(err, known(container, containerMembers))
	}
	return err
}

// known tells of the first name that is none of these, as Go's JSON does.
func known(given object, names string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(strings.Fields(names), name) {
			return fmt.Errorf("json: unknown field %q", name)
		}
	}
	return nil
}

// Of the Kubernetes API of 2019 (1.16), with which 0.15.3 reads a pod_spec.
const (
	podMembers = `activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks
		ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostname imagePullSecrets initContainers nodeName nodeSelector overhead
		preemptionPolicy priority priorityClassName readinessGates restartPolicy runtimeClassName schedulerName securityContext
		serviceAccount serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations
		topologySpreadConstraints volumes`
	containerMembers = `args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resources
		securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir`
)

// containers are those of the spec with that name, or, turned, the others.
func (p *PodSpec) containers(named bool) []object {
	found := []object{}
	list, _ := p.Spec["containers"].([]any)
	for _, one := range list {
		if container, ok := one.(object); ok && (container["name"] == containerName) == named {
			found = append(found, container)
		}
	}
	return found
}

// problems are what is wrong with a task's configuration, in the real master's words and order.
func (c *TaskConfig) problems() error {
	found := []string{}
	wrong := func(at, format string, values ...any) {
		found = append(found, "error found at "+at+": "+fmt.Sprintf(format, values...))
	}
	if c.Resources.Slots < 0 {
		wrong("root", "resources.slots must be >= 0: %d is not greater than or equal to 0", c.Resources.Slots)
	}
	if len(c.Entrypoint) == 0 {
		wrong("root", "entrypoint must be non-empty: 0 is not greater than 0")
	}
	if c.Environment.PodSpec != nil {
		c.Environment.PodSpec.problems(func(format string, values ...any) { wrong("root.Environment", format, values...) })
	}
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	return fmt.Errorf("Check Failed! %d errors found:\n\t%s", len(found), strings.Join(found, "\n\t"))
}

func (p *PodSpec) problems(wrong func(string, ...any)) {
	for _, name := range []string{"Name", "Namespace"} {
		if value, _ := p.Metadata[strings.ToLower(name)].(string); value != "" {
			wrong("pod %s is not a configurable option: %s does not equal ", name, value)
		}
	}
	if host, _ := p.Spec["hostNetwork"].(bool); host {
		wrong("host networking must be configured via master.yaml: expected false, got true")
	}
	for _, container := range p.containers(true) {
		for _, rule := range untouchable {
			rule.check(container, wrong)
		}
	}
}

// fixed is a member of determined-container that a task may not set, and where it is said how.
type fixed struct{ key, name, hint string }

const elsewhere = ", set it in the experiment config"

var untouchable = []fixed{
	{"image", "Image is", elsewhere}, {"command", "Command is", ""}, {"args", "Args are", ""}, {"workingDir", "WorkingDir is", ""},
	{"ports", "Ports are", ""}, {"envFrom", "EnvFrom is", ""}, {"env", "Env is", elsewhere}, {"livenessProbe", "LivenessProbe is", ""},
	{"readinessProbe", "ReadinessProbe is", ""}, {"startupProbe", "StartupProbe is", ""}, {"lifecycle", "Lifecycle is", ""},
	{"terminationMessagePath", "TerminationMessagePath is", ""}, {"terminationMessagePolicy", "TerminationMessagePolicy is", ""},
	{"imagePullPolicy", "ImagePullPolicy is", elsewhere}, {"securityContext", "SecurityContext is", elsewhere},
}

func (f fixed) check(container object, wrong func(string, ...any)) {
	why := ""
	switch value := container[f.key].(type) {
	case string:
		if value != "" {
			why = value + " does not equal "
		}
		if value != "" && (strings.HasPrefix(f.key, "termination") || f.key == "imagePullPolicy") {
			why = value + " doesn't match regex "
		}
	case []any:
		if len(value) > 0 {
			why = fmt.Sprintf("%d does not equal 0", len(value))
		}
	case object:
		why = "expected true, got false"
	}
	if why != "" {
		wrong("container %s not configurable%s: %s", f.name, f.hint, why)
	}
}

// laid is the task's pod on top of what its pod_spec has: of determined-container only resources, mounts and devices are taken.
func (p *PodSpec) laid(name, namespace, task string, hostNetwork bool, volumes []any, init, main object) object {
	given := &PodSpec{}
	if p != nil {
		raw, _ := json.Marshal(p)
		json.NewDecoder(bytes.NewReader(raw)).Decode(given) // a copy: the task's configuration is shown as it came
	}
	metadata, spec := within(given.Metadata), within(given.Spec)
	labels, _ := metadata["labels"].(object)
	metadata["name"], metadata["namespace"], metadata["labels"] = name, namespace, within(labels)
	metadata["labels"].(object)["determined"] = task
	for _, mine := range given.containers(true) {
		add(main, mine)
	}
	containers := []any{}
	for _, other := range given.containers(false) {
		containers = append(containers, other)
	}
	spec["containers"] = append(containers, main)
	spec["volumes"] = append(listed(spec["volumes"]), volumes...)
	spec["initContainers"] = append(listed(spec["initContainers"]), init)
	spec["hostNetwork"], spec["restartPolicy"] = hostNetwork, "Never"
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
}

func within(o object) object {
	if o == nil {
		return object{}
	}
	return o
}

func listed(value any) []any {
	list, _ := value.([]any)
	return list
}

// add takes what a pod_spec may say of determined-container.
func add(main, mine object) {
	resources, _ := mine["resources"].(object)
	for _, kind := range []string{"limits", "requests"} {
		more, _ := resources[kind].(object)
		for name, amount := range more {
			setDefault(main["resources"].(object)[kind].(object), name, amount)
		}
	}
	for _, key := range []string{"volumeMounts", "volumeDevices"} {
		if more := listed(mine[key]); len(more) > 0 {
			main[key] = append(listed(main[key]), more...)
		}
	}
}
