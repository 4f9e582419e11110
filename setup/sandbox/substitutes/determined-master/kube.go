package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"runbook/incluster"
)

// Cluster is the Kubernetes that the master runs in, asked as the master's service account.
type Cluster struct {
	api       *incluster.Client
	namespace string
	master    string // where tasks find the master: address and port of its Service

	lock  sync.Mutex
	tasks map[string]chan any // who follows which pod: *Pod and *Event
	nodes []gpuNode           // as they were seen last

	lost  chan struct{} // closed when a watch cannot be opened: the real master has no cluster from then on
	loses sync.Once
}

func openCluster(config *Config) (*Cluster, error) {
	api, err := incluster.Open()
	if err != nil {
		return nil, err
	}
	c := &Cluster{api: api, namespace: config.ResourceManager["namespace"].(string), tasks: map[string]chan any{}, lost: make(chan struct{})}
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

// listen tells the tasks what becomes of their pods.
func (c *Cluster) listen() {
	go c.heed("pod", c.path("pods")+"?labelSelector=determined&", func(object json.RawMessage) {
		pod := &Pod{}
		if json.Unmarshal(object, pod) == nil {
			c.tell(pod.Metadata.Name, pod)
		}
	})
	go c.heed("event", c.path("events")+"?", func(object json.RawMessage) {
		event := &Event{}
		if json.Unmarshal(object, event) == nil {
			c.tell(event.InvolvedObject.Name, event)
		}
	})
}

// heed tells what is there and each change. A watch that ends is opened again; one that cannot be opened is the end of it all, as in 0.15.3.
func (c *Cluster) heed(what, path string, changed func(json.RawMessage)) {
	for {
		answer, err := c.api.Stream(context.Background(), http.MethodGet, path+"watch=true", nil)
		if err != nil {
			master.Line("ERRO", "error while actor was running  error=\"error initializing "+what+" watch: "+err.Error()+"\"")
			c.loses.Do(func() { close(c.lost) })
			return
		}
		for events := json.NewDecoder(answer); ; {
			var event incluster.Event
			if events.Decode(&event) != nil {
				break
			}
			changed(event.Object)
		}
		answer.Close()
		master.Line("WARN", what+" listener stopped unexpectedly")
	}
}

// holds tells whether there is a cluster, and its watches could be opened.
func (c *Cluster) holds() bool {
	if c == nil {
		return false
	}
	select {
	case <-c.lost:
		return false
	default:
		return true
	}
}

func (c *Cluster) register(pod string) <-chan any {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.tasks[pod] = make(chan any, 1000)
	return c.tasks[pod]
}

func (c *Cluster) forget(pod string) {
	c.lock.Lock()
	defer c.lock.Unlock()
	delete(c.tasks, pod)
}

func (c *Cluster) tell(pod string, what any) {
	c.lock.Lock()
	task := c.tasks[pod]
	c.lock.Unlock()
	if task != nil {
		select {
		case task <- what:
		case <-time.After(time.Second): // it has ended, or is stuck
		}
	}
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

const grace = "?gracePeriodSeconds=15"

func (c *Cluster) remove(kind, name string) error {
	err := c.ask("DELETE", c.path(kind, name)+grace, nil, nil)
	if absent(err) {
		return nil
	}
	return err
}

// Pod is what the master looks at in a pod.
type Pod struct {
	Metadata struct{ Name, DeletionTimestamp string }
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

func (p *Pod) container() *containerStatus {
	for i, status := range p.Status.ContainerStatuses {
		if status.Name == containerName {
			return &p.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// state is the task's state that the pod's stands for. Kubernetes has none for PULLING: the real master passes it at once.
func (p *Pod) state() string {
	c := p.container()
	switch {
	case p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed":
		return "TERMINATED"
	case p.Status.Phase == "Running" && c != nil && c.State.Terminated != nil:
		return "TERMINATED"
	case p.Status.Phase == "Running" && c != nil && c.State.Running != nil:
		return "RUNNING"
	case p.Status.Phase == "Running":
		return "STARTING"
	case p.Metadata.DeletionTimestamp != "":
		return "TERMINATED"
	}
	for _, condition := range p.Status.Conditions {
		if condition.Type == "PodScheduled" && condition.Status == "True" {
			return "STARTING"
		}
	}
	return "PENDING"
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

// Event is what Kubernetes says of a pod.
type Event struct {
	Metadata       struct{ CreationTimestamp time.Time }
	InvolvedObject struct{ Name string }
	Message        string
}

// text is the event's, some of it in the real master's words.
func (e *Event) text(slots int) string {
	switch {
	case strings.Contains(e.Message, "nodes are available"):
		return fmt.Sprintf("Waiting for resources. %c GPUs available, %d GPUs required.", e.Message[0], slots)
	case strings.Contains(e.Message, "pod triggered scale-up"):
		return "Job requires additional resources, scaling up cluster."
	case strings.Contains(e.Message, "Successfully assigned"):
		return "Pod resources allocated."
	case strings.Contains(e.Message, "skip schedule deleting pod"):
		return "Deleting unscheduled pod."
	}
	return e.Message
}

// --- nodes ---

type gpuNode struct {
	name string
	gpus int
	born time.Time
}

// gpuNodes: the real master shows no nodes without GPUs either. While they cannot be asked for they are those that were seen.
func (c *Cluster) gpuNodes() []gpuNode {
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				CreationTimestamp time.Time
			}
			Status struct{ Capacity map[string]string }
		}
	}
	err := c.ask("GET", "/api/v1/nodes", nil, &list)
	c.lock.Lock()
	defer c.lock.Unlock()
	if err != nil {
		return c.nodes
	}
	found := []gpuNode{}
	for _, item := range list.Items {
		node := gpuNode{name: item.Metadata.Name, born: item.Metadata.CreationTimestamp}
		if _, err := fmt.Sscan(item.Status.Capacity["nvidia.com/gpu"], &node.gpus); err == nil && node.gpus > 0 {
			found = append(found, node)
		}
	}
	c.nodes = found
	return found
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
