package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The containers' first command: a shell that waits for nothing, whatever shell the image has.
const anyShell = "for s in /usr/local/bin/bash /usr/bin/bash /bin/bash /usr/local/bin/sh /usr/bin/sh /bin/sh /busybox/sh; do " +
	"if [ -x $s ]; then exec $s; fi; done; echo shell not found; exit 1"

var detect = []string{"sh", "-c", anyShell}

// safeName: lower case, letters, digits and dashes, as a label may be.
func safeName(text string) string {
	text = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, strings.ToLower(text))
	return text[:min(63, len(text))]
}

// podName is the pod's without what the cluster adds.
func (b *Build) podName() string {
	return safeName(fmt.Sprintf("runner-%s-project-%d-concurrent-%d", short(b.runner.Token), b.job.JobInfo.ProjectID, b.number))
}

// pod is what is made for a job. policy: when its images are pulled.
func (b *Build) pod(policy string) table {
	k := b.runner.Kubernetes
	labels := table{"pod": b.podName()}
	for key, value := range k.PodLabels {
		labels[key] = b.variables.expand(value)
	}
	about := table{"generateName": b.podName(), "namespace": b.namespace, "labels": labels}
	if annotations := b.annotations(); len(annotations) > 0 {
		about["annotations"] = annotations
	}
	spec := table{
		"containers": b.containers(policy), "volumes": b.volumes(), "restartPolicy": "Never", "dnsPolicy": dnsPolicy(k.DNSPolicy),
		"terminationGracePeriodSeconds": k.Grace, "serviceAccountName": b.account, "affinity": table{},
	}
	b.optional(spec)
	return table{"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}
}

func (b *Build) optional(spec table) {
	k := b.runner.Kubernetes
	if len(k.NodeSelector) > 0 {
		spec["nodeSelector"] = k.NodeSelector
	}
	if list := tolerations(k.Tolerations); len(list) > 0 {
		spec["tolerations"] = list
	}
	if len(k.PodSecurity) > 0 {
		spec["securityContext"] = camel(k.PodSecurity)
	}
	if list := b.pullSecrets(); len(list) > 0 {
		spec["imagePullSecrets"] = list
	}
	if list := b.hostAliases(); len(list) > 0 {
		spec["hostAliases"] = list
	}
}

func dnsPolicy(word string) string {
	known := map[string]string{"none": "None", "default": "Default", "cluster-first-with-host-net": "ClusterFirstWithHostNet"}
	if name, ok := known[word]; ok {
		return name
	}
	return "ClusterFirst"
}

// camel: run_as_user is runAsUser.
func camel(from table) table {
	out := table{}
	for key, value := range from {
		words := strings.Split(key, "_")
		for i, word := range words[1:] {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
		out[strings.Join(words, "")] = value
	}
	return out
}

func tolerations(from map[string]string) []table {
	found := []table{}
	for text, effect := range from {
		key, value, has := strings.Cut(text, "=")
		one := table{"key": key, "effect": effect, "operator": "Exists"}
		if has {
			one["operator"], one["value"] = "Equal", value
		}
		found = append(found, one)
	}
	return found
}

func (b *Build) annotations() table {
	found := table{}
	for key, value := range b.runner.Kubernetes.PodAnnotations {
		found[key] = b.variables.expand(value)
	}
	return found
}

func (b *Build) containers(policy string) []table {
	k := b.runner.Kubernetes
	all := []table{
		b.container("build", b.image, policy, "", detect, nil),
		b.container("helper", b.helperImage(), policy, "helper_", detect, nil),
	}
	for i, service := range slices.Concat(k.Services, b.job.Services) {
		all = append(all, b.container(fmt.Sprintf("svc-%d", i), b.variables.expand(service.Name), policy, "service_", service.Entrypoint, service.Command))
	}
	return all
}

func (b *Build) helperImage() string {
	if image := b.variables.expand(b.runner.Kubernetes.HelperImage); image != "" {
		return image
	}
	where := "gitlab/gitlab-runner-helper"
	if b.flag("FF_GITLAB_REGISTRY_HELPER_IMAGE") {
		where = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper"
	}
	return where + ":x86_64-" + revision
}

func (b *Build) container(name, image, policy, group string, command, arguments []string) table {
	k := b.runner.Kubernetes
	drop := k.CapDrop
	if !slices.Contains(k.CapAdd, "NET_RAW") && !slices.Contains(drop, "NET_RAW") {
		drop = append(slices.Clone(drop), "NET_RAW")
	}
	security := table{"privileged": k.Privileged, "capabilities": table{"add": k.CapAdd, "drop": drop}}
	if k.AllowEscalation != nil {
		security["allowPrivilegeEscalation"] = *k.AllowEscalation
	}
	one := table{"name": name, "image": image, "env": b.environment(), "volumeMounts": b.mounts(), "resources": k.resourcesOf(group), "securityContext": security}
	if policy != "" {
		one["imagePullPolicy"] = policy
	}
	if len(command) > 0 {
		one["command"] = command
	}
	if len(arguments) > 0 {
		one["args"] = arguments
	}
	if name == "build" || name == "helper" {
		one["stdin"] = true
	}
	return one
}

// environment has what everybody may see; the rest is told to the scripts only.
func (b *Build) environment() []table {
	found := []table{}
	for _, v := range b.variables {
		if v.Public || v.internal {
			found = append(found, table{"name": v.Key, "value": v.Value})
		}
	}
	return found
}

func (k *KubernetesConfig) resourcesOf(group string) table {
	out := table{"limits": table{}, "requests": table{}}
	for _, name := range []string{"cpu", "memory", "ephemeral_storage"} {
		for _, end := range []string{"limit", "request"} {
			if value, _ := k.resources[group+name+"_"+end].(string); value != "" {
				out[end+"s"].(table)[strings.ReplaceAll(name, "_", "-")] = value
			}
		}
	}
	return out
}

// --- volumes ---

func (b *Build) buildsDir() string {
	if b.runner.BuildsDir != "" {
		return b.runner.BuildsDir
	}
	return "/builds"
}

func (b *Build) mounts() []table {
	found := []table{}
	for _, kind := range volumeKinds {
		for _, v := range b.runner.Kubernetes.Volumes[kind.name] {
			one := table{"name": v.Name, "mountPath": b.variables.expand(v.MountPath)}
			if v.ReadOnly {
				one["readOnly"] = true
			}
			if v.SubPath != "" {
				one["subPath"] = v.SubPath
			}
			found = append(found, one)
		}
	}
	if !b.mounted() {
		found = append(found, table{"name": "repo", "mountPath": b.buildsDir()})
	}
	return found
}

// mounted: a volume of the configuration is where the builds are.
func (b *Build) mounted() bool {
	for _, list := range b.runner.Kubernetes.Volumes {
		for _, v := range list {
			if v.MountPath == b.buildsDir() {
				return true
			}
		}
	}
	return false
}

var volumeKinds = []struct{ name, field, key string }{
	{"host_path", "hostPath", "path"}, {"pvc", "persistentVolumeClaim", "claimName"}, {"config_map", "configMap", "name"},
	{"secret", "secret", "secretName"}, {"empty_dir", "emptyDir", "medium"},
}

func (b *Build) volumes() []table {
	found := []table{}
	for _, kind := range volumeKinds {
		for _, v := range b.runner.Kubernetes.Volumes[kind.name] {
			source := table{kind.key: v.Name}
			switch kind.name {
			case "host_path":
				source["path"] = cmpOr(v.HostPath, v.MountPath)
			case "empty_dir":
				source["medium"] = v.Medium
			}
			for key, path := range v.Items {
				items, _ := source["items"].([]table)
				source["items"] = append(items, table{"key": key, "path": path})
			}
			found = append(found, table{"name": v.Name, kind.field: source})
		}
	}
	if !b.mounted() {
		found = append(found, table{"name": "repo", "emptyDir": table{}})
	}
	return found
}

func cmpOr(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// --- names of services ---

func (b *Build) hostAliases() []table {
	names := []string{}
	for _, service := range slices.Concat(b.runner.Kubernetes.Services, b.job.Services) {
		name := strings.SplitN(b.variables.expand(service.Name), "@", 2)[0]
		if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
			name = name[:colon]
		}
		host, rest, has := strings.Cut(name, "/")
		if has {
			host, _, _ = strings.Cut(host, ":")
			name = host + "/" + rest
		}
		for _, one := range []string{strings.ReplaceAll(name, "/", "__"), strings.ReplaceAll(name, "/", "-"), service.Alias} {
			if one != "" && !slices.Contains(names, one) && !strings.Contains(one, "_") {
				names = append(names, one)
			}
		}
	}
	found := []table{}
	if len(names) > 0 {
		found = append(found, table{"ip": "127.0.0.1", "hostnames": names})
	}
	for _, alias := range b.runner.Kubernetes.HostAliases {
		found = append(found, table{"ip": alias.IP, "hostnames": alias.Hostnames})
	}
	return found
}

// --- credentials of registries ---

func (b *Build) pullSecrets() []table {
	found := []table{}
	for _, name := range b.runner.Kubernetes.PullSecrets {
		found = append(found, table{"name": name})
	}
	if b.secret != "" {
		found = append(found, table{"name": b.secret})
	}
	return found
}

// dockerConfig: {host: credentials}, the variable's before GitLab's own; nil for none.
func (b *Build) dockerConfig() (table, error) {
	found := table{}
	if text := b.variables.get("DOCKER_AUTH_CONFIG"); text != "" {
		var given struct {
			Auths map[string]struct{ Auth, Username, Password string }
		}
		if err := json.Unmarshal([]byte(text), &given); err != nil {
			return nil, err
		}
		for host, of := range given.Auths {
			if decoded, err := base64.StdEncoding.DecodeString(of.Auth); err == nil && of.Auth != "" {
				of.Username, of.Password, _ = strings.Cut(string(decoded), ":")
			}
			found[hostOf(host)] = table{"username": of.Username, "password": of.Password}
		}
	}
	for _, of := range b.job.Credentials {
		if _, has := found[hostOf(of.URL)]; of.Type == "registry" && !has {
			found[hostOf(of.URL)] = table{"username": of.Username, "password": of.Password}
		}
	}
	return found, nil
}

func hostOf(address string) string {
	if parsed, err := url.Parse(address); err == nil && parsed.Host != "" {
		return parsed.Host
	}
	return strings.SplitN(address, "/", 2)[0]
}

func (b *Build) pullSecret(of table) table {
	text, _ := json.Marshal(of)
	return table{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockercfg", "metadata": table{"generateName": b.podName(), "namespace": b.namespace},
		"data": table{".dockercfg": base64.StdEncoding.EncodeToString(text)}}
}
