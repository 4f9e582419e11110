package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// option is a flag of register, the environment's name for it, and where its value goes in [[runners]]; "" for register itself.
type option struct {
	flag, short, environment, key, kind string
}

var registerOptions = []option{
	{"config", "c", "CONFIG_FILE", "", "text"},
	{"template-config", "", "TEMPLATE_CONFIG_FILE", "", "text"},
	{"non-interactive", "n", "REGISTER_NON_INTERACTIVE", "", "bool"},
	{"leave-runner", "", "REGISTER_LEAVE_RUNNER", "", "bool"},
	{"registration-token", "r", "REGISTRATION_TOKEN", "", "text"},
	{"run-untagged", "", "REGISTER_RUN_UNTAGGED", "", "bool"},
	{"locked", "", "REGISTER_LOCKED", "", "bool"},
	{"paused", "", "REGISTER_PAUSED", "", "bool"},
	{"access-level", "", "REGISTER_ACCESS_LEVEL", "", "text"},
	{"maximum-timeout", "", "REGISTER_MAXIMUM_TIMEOUT", "", "number"},
	{"tag-list", "", "RUNNER_TAG_LIST", "", "text"},
	{"name", "", "RUNNER_NAME", "name", "text"},
	{"description", "", "RUNNER_NAME", "name", "text"},
	{"url", "u", "CI_SERVER_URL", "url", "text"},
	{"token", "t", "CI_SERVER_TOKEN", "token", "text"},
	{"executor", "", "RUNNER_EXECUTOR", "executor", "text"},
	{"limit", "", "RUNNER_LIMIT", "limit", "number"},
	{"output-limit", "", "RUNNER_OUTPUT_LIMIT", "output_limit", "number"},
	{"request-concurrency", "", "RUNNER_REQUEST_CONCURRENCY", "request_concurrency", "number"},
	{"env", "", "RUNNER_ENV", "environment", "list"},
	{"clone-url", "", "CLONE_URL", "clone_url", "text"},
	{"builds-dir", "", "RUNNER_BUILDS_DIR", "builds_dir", "text"},
	{"cache-dir", "", "RUNNER_CACHE_DIR", "cache_dir", "text"},
	{"shell", "", "RUNNER_SHELL", "shell", "text"},
	{"tls-ca-file", "", "CI_SERVER_TLS_CA_FILE", "tls-ca-file", "text"},
	{"tls-cert-file", "", "CI_SERVER_TLS_CERT_FILE", "tls-cert-file", "text"},
	{"tls-key-file", "", "CI_SERVER_TLS_KEY_FILE", "tls-key-file", "text"},
	{"all-runners", "", "", "", "bool"},
	{"delete", "", "", "", "bool"},
	{"user", "", "", "", "text"},
	{"working-directory", "d", "", "", "text"},
	{"service", "", "", "", "text"},
	{"syslog", "", "", "", "bool"},
	{"listen-address", "", "LISTEN_ADDRESS", "", "text"},
	{"debug", "", "", "", "bool"},
	{"log-level", "l", "", "", "text"},
	{"log-format", "", "", "", "text"},
}

// kubernetesKeys are those of [runners.kubernetes]: the flag is --kubernetes-KEY, the environment KUBERNETES_KEY.
var kubernetesKeys = map[string]string{
	"host": "text", "cert_file": "text", "key_file": "text", "ca_file": "text", "bearer_token": "text", "bearer_token_overwrite_allowed": "bool",
	"image": "text", "namespace": "text", "namespace_overwrite_allowed": "text", "service_account": "text",
	"service_account_overwrite_allowed": "text", "pod_annotations_overwrite_allowed": "text", "privileged": "bool",
	"allow_privilege_escalation": "bool", "pull_policy": "text", "image_pull_secrets": "list", "helper_image": "text",
	"poll_interval": "number", "poll_timeout": "number", "dns_policy": "text", "cap_add": "list", "cap_drop": "list",
	"node_selector": "pairs", "node_tolerations": "pairs", "pod_labels": "pairs", "pod_annotations": "pairs",
}

func init() {
	for _, group := range []string{"", "service_", "helper_"} {
		for _, name := range []string{"cpu", "memory", "ephemeral_storage"} {
			for _, end := range []string{"_limit", "_request", "_limit_overwrite_max_allowed", "_request_overwrite_max_allowed"} {
				kubernetesKeys[group+name+end] = "text"
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(kubernetesKeys)) {
		flag := "kubernetes-" + strings.ReplaceAll(key, "_", "-")
		registerOptions = append(registerOptions, option{flag, "", "KUBERNETES_" + strings.ToUpper(key), "kubernetes." + key, kubernetesKeys[key]})
	}
}

// given is what was said on the command line and in the environment.
type given struct {
	words map[string]string // of register itself, by flag
	table table             // of [[runners]]
}

// parse reads flags and environment; flags win.
func parse(arguments []string) (*given, error) {
	g := &given{map[string]string{}, table{}}
	for _, o := range registerOptions {
		if value := os.Getenv(o.environment); o.environment != "" && value != "" {
			if err := g.take(o, value); err != nil {
				return nil, err
			}
		}
	}
	lists := map[string]bool{} // what the environment says of a list ends with the first flag
	for i := 0; i < len(arguments); i++ {
		name, value, has := strings.Cut(strings.TrimLeft(arguments[i], "-"), "=")
		o, known := find(name)
		if !known || !strings.HasPrefix(arguments[i], "-") {
			return nil, fmt.Errorf("flag provided but not defined: -%s", name)
		}
		if !has && o.kind == "bool" {
			value = "true"
		} else if !has {
			if i++; i == len(arguments) {
				return nil, fmt.Errorf("flag needs an argument: -%s", name)
			}
			value = arguments[i]
		}
		if (o.kind == "list" || o.kind == "pairs") && !lists[o.flag] {
			lists[o.flag] = true
			g.forget(o.key)
		}
		if err := g.take(o, value); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func find(name string) (option, bool) {
	i := slices.IndexFunc(registerOptions, func(o option) bool { return o.flag == name || (o.short != "" && o.short == name) })
	if i < 0 {
		return option{}, false
	}
	return registerOptions[i], true
}

// place is the table and the name that a key stands for.
func (g *given) place(key string) (table, string) {
	if name, below := strings.CutPrefix(key, "kubernetes."); below {
		if g.table["kubernetes"] == nil {
			g.table["kubernetes"] = table{}
		}
		return g.table["kubernetes"].(table), name
	}
	return g.table, key
}

func (g *given) forget(key string) {
	in, name := g.place(key)
	delete(in, name)
}

func (g *given) take(o option, value string) (err error) {
	if o.key == "" {
		g.words[o.flag] = value
		return nil
	}
	in, name := g.place(o.key)
	switch o.kind {
	case "bool":
		in[name], err = strconv.ParseBool(value)
	case "number":
		in[name], err = strconv.ParseInt(value, 10, 64)
	case "list":
		list, _ := in[name].([]string)
		in[name] = append(list, value)
	case "pairs":
		pairs, _ := in[name].(table)
		if pairs == nil {
			pairs = table{}
		}
		key, of, _ := strings.Cut(value, ":")
		pairs[key] = of
		in[name] = pairs
	default:
		in[name] = value
	}
	if err != nil {
		return fmt.Errorf("invalid value %q for flag -%s: %w", value, o.flag, err)
	}
	return nil
}

func (g *given) text(key string) string {
	text, _ := g.table[key].(string)
	return text
}

func (g *given) yes(flag string, otherwise bool) bool {
	yes, err := strconv.ParseBool(g.words[flag])
	if err != nil {
		return otherwise
	}
	return yes
}

func (g *given) config() string {
	if path := g.words["config"]; path != "" {
		return path
	}
	return defaultConfig()
}
