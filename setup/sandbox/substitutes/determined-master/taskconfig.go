package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
)

// TaskConfig is the configuration of a command, notebook or shell, in the order in which the real master prints it.
type TaskConfig struct {
	Description string      `json:"description"`
	BindMounts  []BindMount `json:"bind_mounts"`
	Environment struct {
		Image          Images         `json:"image"`
		Variables      Variables      `json:"environment_variables"`
		Ports          map[string]int `json:"ports"`
		ForcePullImage bool           `json:"force_pull_image"`
		PodSpec        *PodSpec       `json:"pod_spec"`
		RegistryAuth   any            `json:"registry_auth,omitempty"`
		AddCaps        []string       `json:"add_capabilities"`
		DropCaps       []string       `json:"drop_capabilities"`
	} `json:"environment"`
	Resources struct {
		Slots          int     `json:"slots"`
		MaxSlots       *int    `json:"max_slots"`
		SlotsPerTrial  int     `json:"slots_per_trial"`
		Weight         float64 `json:"weight"`
		NativeParallel bool    `json:"native_parallel,omitempty"`
		ShmSize        *int64  `json:"shm_size"`
		AgentLabel     string  `json:"agent_label"`
		ResourcePool   string  `json:"resource_pool"`
		Priority       *int    `json:"priority"`
		Devices        []any   `json:"devices"`
	} `json:"resources"`
	Entrypoint      []string `json:"entrypoint"`
	TensorBoardArgs []string `json:"tensorboard_args,omitempty"`
}

// BindMount is a folder of the node in the container.
type BindMount struct {
	HostPath      string `json:"host_path"`
	ContainerPath string `json:"container_path"`
	ReadOnly      bool   `json:"read_only"`
	Propagation   string `json:"propagation,omitempty"`
}

// whole is a number that may come as a string, as 64-bit numbers do in /api/v1.
type whole int64

func (w *whole) UnmarshalJSON(data []byte) error {
	number, err := json.Number(strings.Trim(string(data), `"`)).Int64()
	*w = whole(number)
	return err
}

// File is one file or folder (type 53) of the task's context.
type File struct {
	Path    string `json:"path"`
	Type    whole  `json:"type"`
	Content []byte `json:"content"`
	Mode    whole  `json:"mode"`
	MTime   whole  `json:"mtime"`
	UID     whole  `json:"uid"`
	GID     whole  `json:"gid"`
}

type launchRequest struct {
	Config       map[string]any  `json:"config"`
	TemplateName string          `json:"templateName"`
	Template     string          `json:"template"` // the older routes
	Files        []File          `json:"files"`
	UserFiles    []File          `json:"user_files"`
	Data         json.RawMessage `json:"data"`
	Preview      bool            `json:"preview"`
}

// mostOfACall is what gRPC takes where nobody says otherwise, as 0.15.3 does not.
const mostOfACall = 4 << 20

// size is about that of the request as gRPC's message: its files as they are, not in base64.
func (l *launchRequest) size() int {
	bytes := len(compact(l.Config))
	for _, file := range l.Files {
		bytes += len(file.Path) + len(file.Content) + 20
	}
	return bytes
}

// taskConfig fills what the request leaves open and refuses what the real master refuses.
func (s *Server) taskConfig(kind string, given launchRequest) (*TaskConfig, error) {
	c := &TaskConfig{}
	defaults := s.config.TaskDefaults
	c.Environment.Image = Images{cpuImage, gpuImage}
	if defaults.Image != nil {
		c.Environment.Image = *defaults.Image
	}
	if defaults.Variables != nil {
		c.Environment.Variables = *defaults.Variables
	}
	c.Environment.ForcePullImage = defaults.ForcePullImage
	c.Resources.Slots, c.Resources.SlotsPerTrial, c.Resources.Weight = 1, 1, 1
	if given.Config != nil {
		text := compact(given.Config)
		if err := strict(text, c); err != nil {
			return nil, fmt.Errorf("unable to parse the config in the parameters: %s: %w", text, err)
		}
	}
	if given.TemplateName != "" || given.Template != "" {
		return nil, errNotFound
	}
	if pool := c.Resources.ResourcePool; pool != "" && pool != s.config.pool() {
		return nil, fmt.Errorf("cannot find resource pool: %s", pool)
	}
	c.Resources.ResourcePool = s.config.pool()
	if c.Environment.PodSpec == nil {
		c.Environment.PodSpec = defaults.CPUPodSpec
		if c.Resources.Slots > 0 {
			c.Environment.PodSpec = defaults.GPUPodSpec
		}
	}
	if c.Description == "" {
		c.Description = fmt.Sprintf("%s (%s)", strings.ToUpper(kind[:1])+kind[1:], petName(3))
	}
	switch kind {
	case "notebook":
		port := 2900 + rand.IntN(299)
		c.Environment.Ports = map[string]int{"notebook": port}
		variable := fmt.Sprintf("NOTEBOOK_PORT=%d", port)
		c.Environment.Variables.CPU = append(c.Environment.Variables.CPU, variable)
		c.Environment.Variables.GPU = append(c.Environment.Variables.GPU, variable)
		c.Entrypoint = []string{notebookPage}
	case "command":
		if len(c.Entrypoint) == 1 {
			c.Entrypoint = append([]string{"/bin/sh", "-c"}, c.Entrypoint...)
		}
	case "shell":
		c.Entrypoint = []string{"/run/determined/ssh/shell-entrypoint.sh"}
	}
	return c, c.problems()
}

// image and variables for the task's kind of device.
func (c *TaskConfig) image() string {
	if c.Resources.Slots > 0 {
		return c.Environment.Image.GPU
	}
	return c.Environment.Image.CPU
}

func (c *TaskConfig) variables() []string {
	if c.Resources.Slots > 0 {
		return c.Environment.Variables.GPU
	}
	return c.Environment.Variables.CPU
}

// target is where it is in the container: below the task's folder, unless said otherwise.
func (b BindMount) target() string {
	if path.IsAbs(b.ContainerPath) {
		return b.ContainerPath
	}
	return path.Join(workDir, b.ContainerPath)
}

var words = [][]string{
	{"mostly", "gently", "barely", "kindly", "openly", "rarely", "simply", "surely", "wholly", "firmly"},
	{"amber", "brisk", "calm", "eager", "fond", "grand", "keen", "merry", "proud", "quiet", "swift", "witty"},
	{"badger", "bison", "crane", "dove", "falcon", "gecko", "heron", "lynx", "marten", "otter", "panda", "robin", "stork", "tapir"},
}

// petName gives the last n of an adverb, an adjective and an animal.
func petName(n int) string {
	parts := []string{}
	for _, list := range words[len(words)-n:] {
		parts = append(parts, list[rand.IntN(len(list))])
	}
	return strings.Join(parts, "-")
}
