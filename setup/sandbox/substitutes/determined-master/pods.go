package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	containerName = "determined-container"
	look          = 500 * time.Millisecond // between two looks at a pod
	patience      = 5 * time.Minute        // with an API server that does not answer
)

type object = map[string]any

// pod is the task's pod: its files come from a ConfigMap, unpacked by an init container of the same image.
func (c *Cluster) pod(t *Task, s *Server, name string) object {
	config := t.config
	slots := config.Resources.Slots
	host, port, _ := strings.Cut(c.master, ":")
	ids := strings.Join(strings.Fields(fmt.Sprint(numbers(slots))), ",")
	env := []any{}
	add := func(name, value string) { env = append(env, object{"name": name, "value": value}) }
	for _, pair := range config.variables() {
		name, value, _ := strings.Cut(pair, "=")
		add(name, value)
	}
	for _, pair := range [][2]string{{"DET_TASK_ID", t.id}, {"DET_CLUSTER_ID", s.clusterID}, {"DET_MASTER", c.master}, {"DET_MASTER_HOST", host},
		{"DET_MASTER_ADDR", host}, {"DET_MASTER_PORT", port}, {"DET_AGENT_ID", "k8agent"}, {"DET_CONTAINER_ID", t.containerID},
		{"DET_SLOT_IDS", ids}, {"DET_USE_GPU", fmt.Sprint(slots > 0)}} {
		add(pair[0], pair[1])
	}
	policy := "IfNotPresent"
	if config.Environment.ForcePullImage {
		policy = "Always"
	}
	shm := s.config.TaskDefaults.ShmSize
	if config.Resources.ShmSize != nil {
		shm = *config.Resources.ShmSize
	}
	files := object{"name": "determined-files", "mountPath": "/run/determined"}
	volumes := []any{
		object{"name": "determined-files", "emptyDir": object{}},
		object{"name": "determined-context", "configMap": object{"name": name}},
		object{"name": "determined-shm", "emptyDir": object{"medium": "Memory", "sizeLimit": fmt.Sprint(shm)}},
	}
	mounts := []any{files, object{"name": "determined-shm", "mountPath": "/dev/shm"}}
	for i, bind := range config.BindMounts {
		volume := fmt.Sprintf("det-host-volume-%d", i)
		volumes = append(volumes, object{"name": volume, "hostPath": object{"path": bind.HostPath}})
		mounts = append(mounts, object{"name": volume, "mountPath": bind.ContainerPath, "readOnly": bind.ReadOnly})
	}
	resources := object{}
	if slots > 0 {
		gpus := object{"nvidia.com/gpu": fmt.Sprint(slots)}
		resources = object{"limits": gpus, "requests": gpus}
	}
	main := object{"name": containerName, "image": config.image(), "imagePullPolicy": policy, "command": config.Entrypoint, "env": env,
		"resources": resources, "volumeMounts": mounts, "workingDir": workDir}
	unpack := object{"name": "determined-init-container", "image": config.image(), "imagePullPolicy": policy,
		"command":      []string{"sh", "-ec", "tar -xzf /run/determined-context/context.tar.gz -C /run/determined"},
		"volumeMounts": []any{files, object{"name": "determined-context", "mountPath": "/run/determined-context"}}}
	return merge(config.Environment.PodSpec, object{
		"metadata": object{"name": name, "namespace": c.namespace, "labels": object{"determined": t.id}},
		"spec": object{"restartPolicy": "Never", "hostNetwork": s.config.TaskDefaults.NetworkMode == "host", "volumes": volumes,
			"initContainers": []any{unpack}, "containers": []any{main}}}, main)
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// merge lays the pod over the user's pod_spec: labels, volumes and containers are added; determined-container's own settings below ours.
func merge(given, pod, main object) object {
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	metadata, spec := pod["metadata"].(object), pod["spec"].(object)
	below, _ := given["metadata"].(object)
	for _, name := range []string{"labels", "annotations"} {
		more, _ := below[name].(object)
		ours, _ := metadata[name].(object)
		if ours == nil {
			ours = object{}
		}
		for key, value := range more {
			setDefault(ours, key, value)
		}
		metadata[name] = ours
	}
	users, _ := given["spec"].(object)
	for key, value := range users {
		list, isList := value.([]any)
		switch {
		case key == "containers":
			for _, one := range list {
				container, _ := one.(object)
				if container["name"] != containerName {
					spec[key] = append(spec[key].([]any), container)
					continue
				}
				for name, value := range container {
					mergeContainer(main, name, value)
				}
			}
		case isList && spec[key] != nil:
			spec[key] = append(append([]any{}, list...), spec[key].([]any)...)
		case key != "restartPolicy" && key != "hostNetwork":
			spec[key] = value
		}
	}
	return pod
}

func mergeContainer(main object, name string, value any) {
	list, isList := value.([]any)
	if have, ok := main[name].([]any); ok && isList {
		main[name] = append(have, list...)
		return
	}
	if have, ok := main[name].(object); ok && name == "resources" {
		for kind, more := range value.(object) {
			amounts, _ := have[kind].(object)
			if amounts == nil {
				amounts = object{}
			}
			if more, ok := more.(object); ok {
				for key, value := range more {
					setDefault(amounts, key, value)
				}
			}
			have[kind] = amounts
		}
		return
	}
	setDefault(main, name, value)
}

// run brings the task onto the cluster and follows its pod to the end.
func (c *Cluster) run(t *Task, s *Server) {
	t.move("ASSIGNED")
	name := fmt.Sprintf("%s-%s-%s", map[string]string{"command": "cmd", "notebook": "notebook"}[t.kind], t.id, petName(2))
	select {
	case <-t.killed:
		t.end(never)
		return
	default:
	}
	defer func() {
		for _, kind := range []string{"pods", "configmaps"} {
			if err := c.remove(kind, name); err != nil {
				master.Line("ERRO", "cannot delete "+kind+" "+name+": "+err.Error())
			}
		}
	}()
	metadata := object{"name": name, "namespace": c.namespace, "labels": object{"determined": t.id}}
	err := c.ask("POST", c.path("configmaps"), object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": object{"context.tar.gz": t.files}}, nil)
	t.files = nil
	if err == nil {
		err = c.ask("POST", c.path("pods"), c.pod(t, s, name), nil)
	}
	if err != nil {
		t.log(time.Now(), err.Error())
		t.end("task failed without an associated exit code: agent failed while container was running")
		return
	}
	c.follow(t, name)
}

func (c *Cluster) follow(t *Task, name string) {
	var logs chan struct{} // closed when the container's output has ended
	told := map[string]bool{}
	killed, answered := t.killed, time.Now()
	last := &Pod{}
	for {
		pod := &Pod{}
		err := c.ask("GET", c.path("pods", name), nil, pod)
		if absent(err) {
			t.end(last.exit())
			return
		} else if err != nil {
			if time.Since(answered) > patience {
				t.end("task failed without an associated exit code: " + err.Error())
				return
			}
			time.Sleep(look)
			continue
		}
		answered, last = time.Now(), pod
		state := pod.state()
		t.Lock()
		t.node = pod.Spec.NodeName
		before := t.state
		t.Unlock()
		if state == "ASSIGNED" || state == "STARTING" {
			said, order := c.podEvents(name)
			for _, id := range order {
				if !told[id] {
					told[id] = true
					t.log(time.Now(), "Pod "+name+": "+said[id])
				}
			}
		}
		if state == "STARTING" && before == "ASSIGNED" {
			t.move("PULLING") // Kubernetes has no such state; the real master goes through it too
		}
		if container := pod.container(); logs == nil && container != nil && container.started() {
			t.Lock()
			if port := t.config.Environment.Ports["notebook"]; port != 0 {
				t.address = fmt.Sprintf("%s:%d", pod.Status.PodIP, port)
			}
			t.Unlock()
			t.move("RUNNING") // also one that has ended between two looks: its output is that of a running task
			logs = make(chan struct{})
			go c.logs(t, name, logs)
		}
		if state == "TERMINATED" {
			if logs != nil {
				select {
				case <-logs:
				case <-time.After(10 * time.Second):
				}
			}
			t.end(pod.exit())
			return
		}
		t.move(state)
		select {
		case <-killed:
			killed = nil
			if err := c.remove("pods", name); err != nil {
				master.Line("ERRO", "cannot delete pod "+name+": "+err.Error())
			}
		case <-time.After(look):
		}
	}
}

// logs copies what the container prints. A connection that breaks is taken up again after the lines that were seen.
func (c *Cluster) logs(t *Task, name string, ended chan struct{}) {
	defer close(ended)
	seen := 0
	for try := 0; try < 5; try++ {
		output, err := c.api.Stream(context.Background(), "GET", c.path("pods", name, "log")+"?follow=true&timestamps=true&container="+containerName, nil)
		if absent(err) {
			return
		} else if err != nil {
			time.Sleep(time.Second)
			continue
		}
		reader, number := bufio.NewReader(output), 0
		for {
			line, err := reader.ReadString('\n')
			if line != "" {
				if number++; number > seen {
					seen = number
					stamp, text, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
					at, bad := time.Parse(time.RFC3339Nano, stamp)
					if bad != nil {
						at, text = time.Now(), strings.TrimRight(line, "\r\n")
					}
					t.log(at, text)
				}
			}
			if err != nil {
				break
			}
		}
		output.Close()
		pod := &Pod{}
		if err := c.ask("GET", c.path("pods", name), nil, pod); err != nil || pod.state() != "RUNNING" {
			return
		}
	}
}
