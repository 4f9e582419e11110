package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"runbook/incluster"
)

// Cluster is the Kubernetes that the master runs in, asked as the master's service account.
type Cluster struct {
	api       *incluster.Client
	namespace string
	master    string // where tasks find the master: address and port of its Service
}

func openCluster(config *Config) (*Cluster, error) {
	api, err := incluster.Open()
	if err != nil {
		return nil, err
	}
	c := &Cluster{api: api, namespace: config.ResourceManager["namespace"].(string)}
	name, _ := config.ResourceManager["master_service_name"].(string)
	var service struct {
		Spec struct {
			ClusterIP string `json:"clusterIP"`
			Ports     []struct {
				Port int `json:"port"`
			} `json:"ports"`
		} `json:"spec"`
	}
	if err := c.ask("GET", c.path("services", name), nil, &service); err != nil {
		return nil, fmt.Errorf("cannot get the master's service %q: %w", name, err)
	}
	if len(service.Spec.Ports) == 0 {
		return nil, fmt.Errorf("the master's service %q has no port", name)
	}
	c.master = fmt.Sprintf("%s:%d", service.Spec.ClusterIP, service.Spec.Ports[0].Port)
	master.Line("INFO", "tasks find the master at "+c.master)
	return c, nil
}

func (c *Cluster) path(parts ...string) string {
	return "/api/v1/namespaces/" + c.namespace + "/" + strings.Join(parts, "/")
}

func (c *Cluster) ask(method, path string, body, into any) error {
	return c.api.Do(context.Background(), method, path, body, into)
}

// absent tells whether the API server said that there is no such object.
func absent(err error) bool { return incluster.Refused(err, http.StatusNotFound) }

// clean deletes what a master before this one left; tasks do not outlive their master.
func (c *Cluster) clean() error {
	var all error
	for _, kind := range []string{"pods", "configmaps"} {
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		err := c.ask("GET", c.path(kind)+"?labelSelector=determined", nil, &list)
		for _, item := range list.Items {
			err = errors.Join(err, c.remove(kind, item.Metadata.Name))
		}
		all = errors.Join(all, err)
	}
	return all
}

func (c *Cluster) remove(kind, name string) error {
	err := c.ask("DELETE", c.path(kind, name)+"?gracePeriodSeconds=15", nil, nil)
	if absent(err) {
		return nil
	}
	return err
}

// Pod is what the master looks at in a pod.
type Pod struct {
	Metadata struct{ DeletionTimestamp string }
	Spec     struct{ NodeName string }
	Status   struct {
		Phase, PodIP          string
		Conditions            []struct{ Type, Status string }
		InitContainerStatuses []containerStatus
		ContainerStatuses     []containerStatus
	}
}

type containerStatus struct {
	Name  string
	State struct {
		Running    *struct{}
		Terminated *struct {
			ExitCode int
			Message  string
		}
	}
}

func (c *containerStatus) started() bool { return c.State.Running != nil || c.State.Terminated != nil }

func (p *Pod) container() *containerStatus {
	for i, status := range p.Status.ContainerStatuses {
		if status.Name == containerName {
			return &p.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// state is the task's state that the pod's stands for.
func (p *Pod) state() string {
	switch p.Status.Phase {
	case "Succeeded", "Failed":
		return "TERMINATED"
	case "Running":
		if c := p.container(); c == nil || !c.started() {
			return "STARTING"
		} else if c.State.Terminated != nil {
			return "TERMINATED"
		}
		return "RUNNING"
	}
	if p.Metadata.DeletionTimestamp != "" {
		return "TERMINATED"
	}
	for _, condition := range p.Status.Conditions {
		if condition.Type == "PodScheduled" && condition.Status == "True" {
			return "STARTING"
		}
	}
	return "ASSIGNED"
}

// exit is the task's exit status; a pod that was deleted before it had one counts as killed.
func (p *Pod) exit() string {
	code, text := 137, ""
	if c := p.container(); c != nil && c.State.Terminated != nil {
		code, text = c.State.Terminated.ExitCode, c.State.Terminated.Message
	}
	for _, c := range p.Status.InitContainerStatuses {
		if c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
			code, text = c.State.Terminated.ExitCode, "container "+c.Name+": "+c.State.Terminated.Message
		}
	}
	if code == 0 {
		return done
	}
	return fmt.Sprintf("container failed with non-zero exit code: %s (exit code %d)", text, code)
}

// podEvents gives what Kubernetes says of the pod, by each event's id.
func (c *Cluster) podEvents(name string) (map[string]string, []string) {
	var list struct {
		Items []struct {
			Metadata struct{ UID string }
			Message  string
		}
	}
	selector := "?fieldSelector=" + url.QueryEscape("involvedObject.name="+name)
	said, order := map[string]string{}, []string{}
	if err := c.ask("GET", c.path("events")+selector, nil, &list); err == nil {
		for _, item := range list.Items {
			said[item.Metadata.UID] = item.Message
			order = append(order, item.Metadata.UID)
		}
	}
	return said, order
}

// --- nodes ---

type gpuNode struct {
	name string
	gpus int
	born time.Time
}

// gpuNodes: the real master shows no nodes without GPUs either.
func (c *Cluster) gpuNodes() ([]gpuNode, error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				CreationTimestamp time.Time
			}
			Status struct{ Capacity map[string]string }
		}
	}
	if err := c.ask("GET", "/api/v1/nodes", nil, &list); err != nil {
		return nil, err
	}
	found := []gpuNode{}
	for _, item := range list.Items {
		node := gpuNode{name: item.Metadata.Name, born: item.Metadata.CreationTimestamp}
		if _, err := fmt.Sscan(item.Status.Capacity["nvidia.com/gpu"], &node.gpus); err == nil && node.gpus > 0 {
			found = append(found, node)
		}
	}
	return found, nil
}

func (n gpuNode) slots() map[string]any {
	found := map[string]any{}
	for i := range n.gpus {
		id := fmt.Sprint(i)
		found[id] = map[string]any{"id": id, "enabled": true, "device": map[string]any{"id": i, "brand": "", "uuid": "", "type": "TYPE_GPU"}}
	}
	return found
}

func (n gpuNode) agent() any {
	return ordered{{"id", n.name}, {"registeredTime", n.born}, {"slots", n.slots()}, {"containers", struct{}{}}, {"label", ""},
		{"resourcePool", ""}, {"addresses", []string{}}, {"enabled", true}, {"draining", false}}
}

func (n gpuNode) legacy() any {
	slots := n.slots()
	for _, slot := range slots {
		slot.(map[string]any)["container"] = nil
		slot.(map[string]any)["device"].(map[string]any)["type"] = "gpu"
	}
	return ordered{{"id", n.name}, {"registered_time", n.born}, {"slots", slots}, {"num_containers", 0}, {"resource_pool", ""}, {"label", ""}}
}
