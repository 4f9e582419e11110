package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// table is a part of config.toml as it is written there: what this stand-in does not know is kept.
type table = map[string]any

// Config is config.toml.
type Config struct {
	Concurrent    int    `toml:"concurrent"`
	CheckInterval int    `toml:"check_interval"`
	LogLevel      string `toml:"log_level"`
	Listen        string `toml:"listen_address"`
	Runners       []*Runner

	path string
	all  table
}

// Runner is one [[runners]].
type Runner struct {
	Name, URL, Token, Executor string
	Limit                      int
	OutputLimit                int               `toml:"output_limit"`
	RequestConcurrency         int               `toml:"request_concurrency"`
	CAFile                     string            `toml:"tls-ca-file"`
	CloneURL                   string            `toml:"clone_url"`
	BuildsDir                  string            `toml:"builds_dir"`
	Environment                []string          `toml:"environment"`
	PreClone                   string            `toml:"pre_clone_script"`
	PreBuild                   string            `toml:"pre_build_script"`
	PostBuild                  string            `toml:"post_build_script"`
	Flags                      map[string]bool   `toml:"feature_flags"`
	Kubernetes                 *KubernetesConfig `toml:"kubernetes"`

	certs string
}

// KubernetesConfig is [runners.kubernetes]: what is read of it.
type KubernetesConfig struct {
	Image                   string            `toml:"image"`
	Namespace               string            `toml:"namespace"`
	NamespaceOverwrite      string            `toml:"namespace_overwrite_allowed"`
	ServiceAccount          string            `toml:"service_account"`
	ServiceAccountOverwrite string            `toml:"service_account_overwrite_allowed"`
	Privileged              bool              `toml:"privileged"`
	AllowEscalation         *bool             `toml:"allow_privilege_escalation"`
	PullPolicy              any               `toml:"pull_policy"`
	PullSecrets             []string          `toml:"image_pull_secrets"`
	HelperImage             string            `toml:"helper_image"`
	PollInterval            int               `toml:"poll_interval"`
	PollTimeout             int               `toml:"poll_timeout"`
	Grace                   int               `toml:"terminationGracePeriodSeconds"`
	NodeSelector            map[string]string `toml:"node_selector"`
	Tolerations             map[string]string `toml:"node_tolerations"`
	PodLabels               map[string]string `toml:"pod_labels"`
	PodAnnotations          map[string]string `toml:"pod_annotations"`
	PodSecurity             table             `toml:"pod_security_context"`
	CapAdd                  []string          `toml:"cap_add"`
	CapDrop                 []string          `toml:"cap_drop"`
	DNSPolicy               string            `toml:"dns_policy"`
	HostAliases             []struct {
		IP        string
		Hostnames []string
	} `toml:"host_aliases"`
	Services []Image `toml:"services"`
	Volumes  map[string][]struct {
		Name      string            `toml:"name"`
		MountPath string            `toml:"mount_path"`
		HostPath  string            `toml:"host_path"`
		ReadOnly  bool              `toml:"read_only"`
		Medium    string            `toml:"medium"`
		SubPath   string            `toml:"sub_path"`
		Items     map[string]string `toml:"items"`
	} `toml:"volumes"`
	resources table
}

// defaultConfig is where config.toml lies when nothing is said.
func defaultConfig() string {
	if path := os.Getenv("CONFIG_FILE"); path != "" {
		return path
	}
	if os.Getuid() == 0 {
		return "/etc/gitlab-runner/config.toml"
	}
	home, _ := os.UserHomeDir()
	return filepath.Join(home, ".gitlab-runner/config.toml")
}

// loadConfig reads the file; one that is not there is an empty configuration.
func loadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	c := &Config{Concurrent: 1, path: path, all: table{}}
	if err := toml.Unmarshal(text, c); err != nil {
		return nil, err
	}
	if err := toml.Unmarshal(text, &c.all); err != nil {
		return nil, err
	}
	for i, r := range c.Runners {
		r.complete(filepath.Join(filepath.Dir(path), "certs"), c.tables()[i])
	}
	return c, nil
}

// complete fills in what is not written.
func (r *Runner) complete(certs string, written table) {
	if r.Kubernetes == nil {
		r.Kubernetes = &KubernetesConfig{}
	}
	k := r.Kubernetes
	k.resources, _ = written["kubernetes"].(table)
	k.PollInterval = positive(k.PollInterval, 3)
	k.PollTimeout = positive(k.PollTimeout, 180)
	r.OutputLimit, r.RequestConcurrency = positive(r.OutputLimit, 4096), positive(r.RequestConcurrency, 1)
	if address, err := url.Parse(r.URL); err == nil && r.CAFile == "" {
		if path := filepath.Join(certs, address.Hostname()+".crt"); exists(path) {
			r.CAFile = path
		}
	}
}

func positive(value, otherwise int) int {
	if value > 0 {
		return value
	}
	return otherwise
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tables are the [[runners]] as they are written.
func (c *Config) tables() []table {
	found := []table{}
	switch list := c.all["runners"].(type) {
	case []table:
		found = list
	case []any:
		for _, one := range list {
			found = append(found, one.(table))
		}
	}
	return found
}

// save writes the file anew with these runners.
func (c *Config) save(runners []table) error {
	usual := table{"concurrent": c.Concurrent, "check_interval": c.CheckInterval}
	for key, value := range usual {
		if _, written := c.all[key]; !written {
			c.all[key] = value
		}
	}
	c.all["runners"] = runners
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(c.all); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(c.path+".new", text.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(c.path+".new", c.path)
}

// merge fills the keys that are empty with the template's.
func merge(into, template table) {
	for key, value := range template {
		below, isTable := value.(table)
		own, has := into[key].(table)
		switch {
		case isTable && has:
			merge(own, below)
		case into[key] == nil || into[key] == "":
			into[key] = value
		}
	}
}

// readTemplate is the one [[runners]] of a template.
func readTemplate(path string) (table, error) {
	c := &Config{all: table{}}
	if _, err := toml.DecodeFile(path, &c.all); err != nil {
		return nil, fmt.Errorf("couldn't load configuration template file: %w", err)
	}
	if len(c.tables()) != 1 {
		return nil, fmt.Errorf("couldn't load configuration template file: configuration template must contain exactly one [[runners]] entry")
	}
	return c.tables()[0], nil
}

// short is how a token is shown.
func short(token string) string { return token[:min(8, len(token))] }

// key is what a runner is known by, its token in full.
func (r *Runner) key() string { return r.URL + r.Token }

// api is an address below the server's.
func api(server string) string {
	for _, end := range []string{"/", "/ci", "/"} {
		server = strings.TrimSuffix(server, end)
	}
	return server + "/api/v4/"
}

// policies are the pull policies in the order in which they are tried.
func (k *KubernetesConfig) policies() ([]string, error) {
	words := []string{}
	switch written := k.PullPolicy.(type) {
	case string:
		words = append(words, written)
	case []any:
		for _, one := range written {
			words = append(words, fmt.Sprint(one))
		}
	}
	if len(words) == 0 {
		words = []string{""}
	}
	known := map[string]string{"": "", "always": "Always", "if-not-present": "IfNotPresent", "never": "Never"}
	found := []string{}
	for _, word := range words {
		name, ok := known[word]
		if !ok {
			return nil, fmt.Errorf("unsupported kubernetes-pull-policy: %q", word)
		}
		if !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	return found, nil
}

// certificates is the folder of CAs beside the file.
func certificates(c *Config) string { return filepath.Join(filepath.Dir(c.path), "certs") }
