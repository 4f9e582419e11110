package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// agentFailed is how a task ends whose pod could not be made.
const agentFailed = "task failed without an associated exit code: agent failed while container was running"

// variables are the container's, a name and a value each. What is no NAME=value, or has another = in it, is an error.
func (c *Cluster) variables(t *Task, s *Server) (map[string]string, error) {
	host, port, _ := strings.Cut(c.master, ":")
	slots := t.config.Resources.Slots
	ids := make([]string, slots)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	network := s.config.TaskDefaults.Interface
	if network == "" {
		network = "DET_AUTO_DETECT_NETWORK_INTERFACE"
	}
	found := map[string]string{"PYTHONUSERBASE": userBase, "DET_TASK_ID": t.id, "DET_TASK_TOKEN": taskToken(),
		"DET_TRIAL_RUNNER_NETWORK_INTERFACE": network}
	if ports := s.config.TaskDefaults.NCCLPorts; ports != "" {
		found["NCCL_PORT_RANGE"], found["GLOO_PORT_RANGE"] = ports, ports
	}
	for _, pair := range t.config.variables() {
		parts := strings.Split(pair, "=")
		if len(parts) != 2 {
			return nil, fmt.Errorf("unable to split envVar %s", pair)
		}
		found[parts[0]] = parts[1]
	}
	maps.Copy(found, map[string]string{"DET_CLUSTER_ID": s.clusterID, "DET_MASTER": c.master, "DET_MASTER_HOST": host, "DET_MASTER_ADDR": host,
		"DET_MASTER_PORT": port, "DET_AGENT_ID": "k8agent", "DET_CONTAINER_ID": t.containerID,
		"DET_SLOT_IDS": "[" + strings.Join(ids, ",") + "]", "DET_USE_GPU": fmt.Sprint(slots > 0)})
	return found, nil
}

// taskToken looks like the real one, a PASETO, and opens nothing.
func taskToken() string {
	random := make([]byte, 120)
	rand.Read(random)
	return "v2.public." + base64.RawURLEncoding.EncodeToString(random)
}

// fileVolumes are where the task's files are before they are unpacked, and after it.
func fileVolumes(name string) (all, init []any) {
	from, script, to := "archive-volume", "entrypoint-volume", "additional-files-volume"
	all = []any{
		object{"name": "det-shm-volume", "emptyDir": object{"medium": "Memory"}},
		object{"name": from, "configMap": object{"name": name}},
		object{"name": script, "configMap": object{"name": name, "defaultMode": 0o700,
			"items": []any{object{"key": unpackScript, "path": unpackScript}}}},
		object{"name": to, "emptyDir": object{}},
	}
	return all, []any{
		object{"name": from, "mountPath": unpackFrom, "readOnly": true},
		object{"name": script, "mountPath": unpackIn, "readOnly": true},
		object{"name": to, "mountPath": unpackTo},
	}
}

const (
	unpackIn   = runDir + "/temp/"
	unpackFrom = unpackIn + "tar/src"
	unpackTo   = unpackIn + "tar/dst"
)

// pod is the task's pod: its files come from a ConfigMap, unpacked by an init container of the same image.
func (c *Cluster) pod(t *Task, s *Server, name string, archives []Archive) (object, error) {
	config := t.config
	variables, err := c.variables(t, s)
	if err != nil {
		return nil, err
	}
	env := []any{}
	for _, key := range slices.Sorted(maps.Keys(variables)) {
		env = append(env, object{"name": key, "value": variables[key]})
	}
	policy := "IfNotPresent"
	if config.Environment.ForcePullImage {
		policy = "Always"
	}
	gpus := fmt.Sprint(config.Resources.Slots)
	user := s.config.Security.DefaultTask
	mounted, volumes := []any{}, []any{}
	for i, bind := range config.BindMounts {
		volume := fmt.Sprintf("det-host-volume-%d", i)
		volumes = append(volumes, object{"name": volume, "hostPath": object{"path": bind.HostPath}})
		mounted = append(mounted, object{"name": volume, "mountPath": bind.target(), "readOnly": bind.ReadOnly})
	}
	more, initMounts := fileVolumes(name)
	volumes = append(volumes, more...)
	mounted = append(append(mounted, object{"name": "det-shm-volume", "mountPath": "/dev/shm"}), mounts(archives)...)
	main := object{"name": containerName, "image": config.image(), "imagePullPolicy": policy, "command": config.Entrypoint, "env": env,
		"resources":       object{"limits": object{"nvidia.com/gpu": gpus}, "requests": object{"nvidia.com/gpu": gpus}},
		"securityContext": object{"runAsUser": user.UID, "runAsGroup": user.GID}, "volumeMounts": mounted, "workingDir": workDir}
	init := object{"name": "determined-init-container", "image": config.image(), "imagePullPolicy": policy,
		"command": []any{unpackIn + unpackScript}, "args": []any{fmt.Sprint(len(archives)), unpackFrom, unpackTo},
		"volumeMounts": initMounts, "workingDir": unpackIn}
	host := s.config.TaskDefaults.NetworkMode == "host"
	return config.Environment.PodSpec.laid(name, c.namespace, t.id, host, volumes, init, main), nil
}

// run brings the task onto the cluster and follows its pod to the end.
func (c *Cluster) run(t *Task, s *Server) {
	select {
	case <-t.killed:
		t.end(never)
		return
	default:
	}
	t.assign()
	name := fmt.Sprintf("%s-%s-%s", map[string]string{"command": "cmd", "notebook": "notebook"}[t.kind], t.id, petName(2))
	news := c.register(name)
	defer c.forget(name)
	if err := c.create(t, s, name); err != nil {
		master.Line("ERRO", "pod of "+t.id+": "+err.Error())
		t.end(agentFailed)
		return
	}
	c.follow(t, name, news)
}

// create makes the ConfigMap and the pod. What Kubernetes says against them is in the task's log; what comes before is not.
func (c *Cluster) create(t *Task, s *Server, name string) error {
	archives, err := s.archives(t)
	if err != nil {
		return err
	}
	t.files = nil
	pod, err := c.pod(t, s, name, archives)
	if err != nil {
		return err
	}
	files, err := s.configMap(archives, object{"name": name, "namespace": c.namespace, "labels": object{"determined": t.id}})
	if err != nil {
		return err
	}
	if err = c.ask("POST", c.path("configmaps"), files, nil); err == nil {
		err = c.ask("POST", c.path("pods"), pod, nil)
	}
	if err != nil {
		t.log(time.Now(), err.Error())
		c.clear(name)
	}
	return err
}

// clear deletes a task's pod and ConfigMap; one that is not there is a line in the master's log, as the real one has it.
func (c *Cluster) clear(name string) {
	for _, one := range [][2]string{{"pods", "pod"}, {"configmaps", "configMap"}} {
		if err := c.ask("DELETE", c.path(one[0], name)+grace, nil, nil); err != nil {
			master.Line("ERRO", "failed to delete "+one[1]+" "+name+": "+err.Error())
		}
	}
}

// follow moves the task with its pod, as the API server tells of it: what comes and goes between two words of it is not seen.
func (c *Cluster) follow(t *Task, name string, news <-chan any) {
	killed := t.killed
	defer func() {
		if killed != nil {
			c.clear(name)
		}
	}()
	for {
		select {
		case <-c.lost:
			killed = nil // its pod stays until the next master clears up
			t.end(agentFailed)
			return
		case <-killed:
			killed = nil
			c.clear(name)
		case one := <-news:
			switch one := one.(type) {
			case *Event:
				t.podSaid(one)
			case *Pod:
				if c.moved(t, name, one) {
					return
				}
			}
		}
	}
}

// moved tells whether the task has ended. Its output is read from when it is seen Running to when it is seen ended: what a container
// printed that was never seen Running is lost.
func (c *Cluster) moved(t *Task, name string, pod *Pod) bool {
	t.Lock()
	before := t.state
	t.node = pod.Spec.NodeName
	t.Unlock()
	state := pod.state()
	switch {
	case state == "TERMINATED":
		t.end(pod.exit())
		return true
	case state == before || state == "PENDING":
	case state == "RUNNING":
		t.Lock()
		if port := t.config.Environment.Ports["notebook"]; port != 0 {
			t.address = fmt.Sprintf("%s:%d", pod.Status.PodIP, port)
		}
		t.Unlock()
		t.move(state)
		go c.logs(t, name)
	default:
		t.move(state)
	}
	return false
}

// logs copies what the container prints, a chunk at a time, as the connection gives it.
func (c *Cluster) logs(t *Task, name string) {
	output, err := c.api.Stream(context.Background(), "GET", c.path("pods", name, "log")+"?follow=true&container="+containerName, nil)
	if err != nil {
		master.Line("ERRO", "failed to initialize log stream for pod: "+name+": "+err.Error())
		return
	}
	defer output.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := output.Read(buffer)
		if n > 0 {
			t.log(time.Now(), strings.TrimSuffix(string(buffer[:n]), "\n"))
		}
		if err != nil {
			return
		}
	}
}
