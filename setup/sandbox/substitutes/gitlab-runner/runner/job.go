package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// Job is what GitLab hands out: what is read of it.
type Job struct {
	ID            int64
	Token         string
	AllowGitFetch bool `json:"allow_git_fetch"`
	JobInfo       struct {
		Name, Stage string
		ProjectID   int64  `json:"project_id"`
		ProjectName string `json:"project_name"`
	} `json:"job_info"`
	GitInfo struct {
		URL      string `json:"repo_url"`
		Ref, Sha string
		RefType  string `json:"ref_type"`
		Refspecs []string
		Depth    int
	} `json:"git_info"`
	RunnerInfo struct{ Timeout int } `json:"runner_info"`
	Variables  []Variable
	Steps      []struct {
		Name         string
		Script       []string
		Timeout      int
		When         string
		AllowFailure bool `json:"allow_failure"`
	}
	Image     Image
	Services  []Image
	Artifacts []Artifact
	// Caches are not kept by this stand-in.
	Credentials  []struct{ Type, URL, Username, Password string }
	Dependencies []struct {
		ID            int64
		Token, Name   string
		ArtifactsFile struct{ Filename string } `json:"artifacts_file"`
	}
	Features struct {
		Sections bool `json:"trace_sections"`
	}
	Secrets map[string]json.RawMessage
}

// Image is the job's, or a service's.
type Image struct {
	Name       string   `toml:"name"`
	Alias      string   `toml:"alias"`
	Command    []string `toml:"command"`
	Entrypoint []string `toml:"entrypoint"`
}

// Artifact is what a job leaves behind.
type Artifact struct {
	Name      string
	Untracked bool
	Paths     []string
	Exclude   []string
	When      string
	Type      string `json:"artifact_type"`
	Format    string `json:"artifact_format"`
	ExpireIn  string `json:"expire_in"`
}

// Variable is one of a job's. GitLab's words may be a bool, or nothing.
type Variable struct {
	Key, Value                string
	Public, File, Masked, Raw bool
	internal                  bool
}

// variables are a job's in their order: a later one of the same key wins.
type variables []Variable

// get is the last value of a key.
func (vs variables) get(key string) string {
	for i := len(vs) - 1; i >= 0; i-- {
		if vs[i].Key == key {
			return vs[i].Value
		}
	}
	return ""
}

var reference = regexp.MustCompile(`\$\$|\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|\$[0-9*#@!?]`)

// expand puts in the values of what a text names, once.
func (vs variables) expand(text string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		return vs.get(strings.Trim(found, "${}"))
	})
}

// expanded are the variables with what their values name put in, all by the values as they were.
func (vs variables) expanded() variables {
	out := make(variables, len(vs))
	for i, v := range vs {
		if !v.Raw {
			v.Value = vs.expand(v.Value)
		}
		out[i] = v
	}
	return out
}

// secrets are the values that no log may show.
func (vs variables) secrets() [][]byte {
	found := [][]byte{}
	for _, v := range vs {
		if v.Masked && v.Value != "" && !strings.Contains(v.Value, "\n") {
			found = append(found, bytes.Clone([]byte(v.Value)))
		}
	}
	return found
}

func withoutUser(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	parsed.User = nil
	return parsed.String()
}

// folder is the path of the project: GROUP/PROJECT.
func (j *Job) folder() string {
	parsed, err := url.Parse(j.GitInfo.URL)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.Trim(parsed.Path, "/"), ".git")
}
