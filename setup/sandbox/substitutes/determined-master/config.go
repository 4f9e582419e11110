package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	cpuImage = "determinedai/environments:py-3.7-pytorch-1.7-tf-1.15-cpu-baefbf7"
	gpuImage = "determinedai/environments:cuda-10.2-pytorch-1.7-tf-1.15-gpu-baefbf7"
	hidden   = "********"
)

// DB is where the master keeps its data.
type DB struct {
	User       string `json:"user"`
	Password   string `json:"password"`
	Migrations string `json:"migrations"`
	Host       string `json:"host"`
	Port       string `json:"port"`
	Name       string `json:"name"`
	SSLMode    string `json:"ssl_mode"`
	SSLRoot    string `json:"ssl_root_cert"`
}

// Config is master.yaml, in the order in which the real master prints it.
type Config struct {
	ConfigFile string `json:"config_file"`
	Log        struct {
		Level string `json:"level"`
		Color bool   `json:"color"`
	} `json:"log"`
	DB                 DB  `json:"db"`
	TensorBoardTimeout int `json:"tensorboard_timeout"`
	Security           struct {
		DefaultTask struct {
			ID     int    `json:"id"`
			UserID int    `json:"user_id"`
			User   string `json:"user"`
			UID    int    `json:"uid"`
			Group  string `json:"group"`
			GID    int    `json:"gid"`
		} `json:"default_task"`
		TLS struct {
			Cert string `json:"cert"`
			Key  string `json:"key"`
		} `json:"tls"`
	} `json:"security"`
	CheckpointStorage map[string]any `json:"checkpoint_storage"`
	TaskDefaults      TaskDefaults   `json:"task_container_defaults"`
	Port              int            `json:"port"`
	HarnessPath       string         `json:"harness_path"`
	Root              string         `json:"root"`
	Telemetry         struct {
		Enabled bool   `json:"enabled"`
		Master  string `json:"segment_master_key"`
		WebUI   string `json:"segment_webui_key"`
	} `json:"telemetry"`
	EnableCORS  bool           `json:"enable_cors"`
	ClusterName string         `json:"cluster_name"`
	Logging     map[string]any `json:"logging"`
	Importance  struct {
		Workers int `json:"workers_limit"`
		Queue   int `json:"queue_limit"`
		Cores   int `json:"cores_per_worker"`
		Trees   int `json:"max_trees"`
	} `json:"hyperparameter_importance"`
	ResourceManager map[string]any   `json:"resource_manager"`
	ResourcePools   []map[string]any `json:"resource_pools"`
}

// TaskDefaults is what a task gets where its own configuration is silent.
type TaskDefaults struct {
	ShmSize        int64      `json:"shm_size_bytes"`
	NetworkMode    string     `json:"network_mode"`
	Interface      string     `json:"dtrain_network_interface,omitempty"`
	NCCLPorts      string     `json:"nccl_port_range,omitempty"`
	GlooPorts      string     `json:"gloo_port_range,omitempty"`
	CPUPodSpec     *PodSpec   `json:"cpu_pod_spec"`
	GPUPodSpec     *PodSpec   `json:"gpu_pod_spec"`
	Image          *Images    `json:"image,omitempty"`
	ForcePullImage bool       `json:"force_pull_image,omitempty"`
	Variables      *Variables `json:"environment_variables,omitempty"`
	AddCaps        []string   `json:"add_capabilities"`
	DropCaps       []string   `json:"drop_capabilities"`
	Devices        []any      `json:"devices"`
}

// Images is one image, or one for tasks without and one for tasks with slots.
type Images struct {
	CPU string `json:"cpu"`
	GPU string `json:"gpu"`
}

func (i *Images) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		i.CPU, i.GPU = one, one
		return nil
	}
	type plain Images
	return strict(data, (*plain)(i))
}

// Variables is a list of NAME=value, or one for tasks without and one for tasks with slots.
type Variables struct {
	CPU []string `json:"cpu"`
	GPU []string `json:"gpu"`
}

func (v *Variables) UnmarshalJSON(data []byte) error {
	var one []string
	if json.Unmarshal(data, &one) == nil {
		v.CPU, v.GPU = one, append([]string{}, one...)
		return nil
	}
	type plain Variables
	return strict(data, (*plain)(v))
}

func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func defaultConfig(path string) *Config {
	c := &Config{ConfigFile: path, TensorBoardTimeout: 300, Port: 8080, HarnessPath: "/opt/determined", Root: "/usr/share/determined/master"}
	c.Log.Level, c.Log.Color = "info", true
	c.DB = DB{User: "postgres", Password: "postgres", Migrations: "file:///usr/share/determined/master/static/migrations", Host: "localhost",
		Port: "5432", Name: "determined", SSLMode: "disable"}
	c.Security.DefaultTask.User, c.Security.DefaultTask.Group = "root", "root"
	c.CheckpointStorage = map[string]any{}
	c.TaskDefaults.ShmSize, c.TaskDefaults.NetworkMode = 4<<30, "bridge"
	c.Telemetry.Enabled = true
	c.Logging = map[string]any{"type": "default"}
	c.Importance.Workers, c.Importance.Queue, c.Importance.Cores, c.Importance.Trees = 2, 16, 1, 100
	return c
}

// readConfig reads master.yaml; an unknown key is an error. DET_DB_... in the environment wins over the file.
func readConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("stat %s: no such file or directory\nerror finding configuration file", path)
	} else if err != nil {
		return nil, fmt.Errorf("%w\nerror reading configuration file", err)
	}
	c := defaultConfig(path)
	if err := yaml.UnmarshalStrict(text, c); err != nil {
		return nil, fmt.Errorf("%w\ncannot unmarshal configuration", err)
	}
	for name, value := range map[string]*string{"USER": &c.DB.User, "PASSWORD": &c.DB.Password, "HOST": &c.DB.Host, "PORT": &c.DB.Port, "NAME": &c.DB.Name} {
		if given := os.Getenv("DET_DB_" + name); given != "" {
			*value = given
		}
	}
	if len(c.CheckpointStorage) == 0 {
		c.CheckpointStorage = map[string]any{"type": "shared_fs", "host_path": "/var/lib/determined/checkpoints"}
	}
	for name, value := range map[string]float64{"save_experiment_best": 0, "save_trial_best": 1, "save_trial_latest": 1} {
		setDefault(c.CheckpointStorage, name, value)
	}
	if c.CheckpointStorage["type"] == "s3" {
		for _, name := range []string{"bucket", "access_key", "secret_key"} {
			if text, _ := c.CheckpointStorage[name].(string); text == "" && name == "bucket" {
				return nil, fmt.Errorf("checkpoint_storage: s3 needs %s\ncannot unmarshal configuration", name)
			}
		}
	}
	if c.ResourceManager == nil {
		c.ResourceManager = map[string]any{"type": "agent"}
	}
	if c.kubernetes() {
		setDefault(c.ResourceManager, "namespace", "default")
		setDefault(c.ResourceManager, "max_slots_per_pod", 0.0)
		setDefault(c.ResourceManager, "master_service_name", "")
		return c, nil
	}
	setDefault(c.ResourceManager, "scheduler", map[string]any{"type": "fair_share", "fitting_policy": "best"})
	setDefault(c.ResourceManager, "default_cpu_resource_pool", "default")
	setDefault(c.ResourceManager, "default_gpu_resource_pool", "default")
	if c.ResourcePools == nil {
		c.ResourcePools = []map[string]any{{"pool_name": "default", "description": "", "provider": nil, "max_cpu_containers_per_agent": 100}}
	}
	return c, nil
}

func setDefault(values map[string]any, name string, value any) {
	if values[name] == nil {
		values[name] = value
	}
}

func (c *Config) kubernetes() bool { return c.ResourceManager["type"] == "kubernetes" }

func (c *Config) pool() string {
	if c.kubernetes() {
		return "kubernetes"
	}
	return "default"
}

func (c *Config) maxSlots() int {
	number, _ := c.ResourceManager["max_slots_per_pod"].(float64)
	return int(number)
}

// printable is the configuration with its secrets hidden, as the API and the log show it.
func (c *Config) printable() *Config {
	p := *c
	p.DB.Password, p.Telemetry.Master, p.Telemetry.WebUI = hidden, hidden, hidden
	p.CheckpointStorage = map[string]any{}
	for name, value := range c.CheckpointStorage {
		if strings.HasSuffix(name, "_key") || name == "hdfs_password" {
			value = hidden
		}
		p.CheckpointStorage[name] = value
	}
	return &p
}

func compact(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // only values of our own types come here
	}
	return data
}
