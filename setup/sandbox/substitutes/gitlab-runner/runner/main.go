// A stand-in for gitlab-runner 13.12 and for its helper: what GitLab, the chart and the jobs see of them.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

const (
	version  = "13.12.0"
	revision = "7a6612da"
	branch   = "13-12-stable"
)

// commands are those of the runner, then those of its helper.
var commands = map[string]func([]string) error{
	"register": register, "list": list, "verify": verify, "unregister": unregister, "run": run,
	"artifacts-uploader": uploadArtifacts, "artifacts-downloader": downloadArtifacts,
}

func main() {
	if len(os.Args) < 2 {
		fmt.Println("gitlab-runner " + version + " (a stand-in): register, list, verify, unregister, run")
		return
	}
	if name := os.Args[1]; name == "--version" || name == "-v" {
		printVersion()
		return
	}
	command, known := commands[os.Args[1]]
	if !known {
		fatal("FATAL", fmt.Sprintf("Command %s not found.", os.Args[1]))
	}
	if filepath.Base(os.Args[0]) != "gitlab-runner-helper" {
		line("", "Runtime platform", "arch", runtime.GOARCH, "os", runtime.GOOS, "pid", os.Getpid(), "revision", revision, "version", version)
	}
	if err := command(os.Args[2:]); err != nil {
		finish(err)
	}
}

// refusal is how a command ends: its level, its words, and what stands beside them.
type refusal struct {
	level, text string
	fields      []any
}

func (r *refusal) Error() string { return r.text }

func finish(err error) {
	var said *refusal
	if errors.As(err, &said) {
		fatal(said.level, said.text, said.fields...)
	}
	fatal("FATAL", err.Error())
}

func fatal(level, text string, fields ...any) {
	line(level, text, fields...)
	os.Exit(1)
}

func printVersion() {
	fmt.Printf("Version:      %s\nGit revision: %s\nGit branch:   %s\nGO version:   %s\nBuilt:        a stand-in\nOS/Arch:      %s/%s\n",
		version, revision, branch, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
