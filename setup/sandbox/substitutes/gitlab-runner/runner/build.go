package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"runbook/incluster"
)

// Build is a job that runs.
type Build struct {
	runner    *Runner
	server    *Server
	job       *Job
	trace     *Trace
	number    int // among this runner's jobs of the project
	variables variables

	api       *incluster.Client
	policies  []string
	namespace string
	account   string
	image     string
	name      string   // the pod's, once it is made
	pods      []string // all that were made
	secret    string
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

func (b *Build) address() string { return strings.TrimSuffix(b.server.base, "/api/v4/") + "/" }

// folder is the build's: the project's below a folder of the runner and the number.
func (b *Build) folder() string {
	if path := b.variables.expand(b.variables.get("GIT_CLONE_PATH")); strings.HasPrefix(path, b.buildsDir()) {
		return strings.TrimSuffix(path, "/")
	}
	return fmt.Sprintf("%s/%s/%d/%s", b.buildsDir(), short(b.runner.Token), b.number, b.job.folder())
}

func (b *Build) temp() string { return b.folder() + ".tmp" }

// repository is where the project is cloned from.
func (b *Build) repository() string {
	if b.runner.CloneURL == "" {
		return b.job.GitInfo.URL
	}
	parsed, err := url.Parse(strings.TrimSuffix(b.runner.CloneURL, "/"))
	if err != nil {
		return b.job.GitInfo.URL
	}
	parsed.User = url.UserPassword("gitlab-ci-token", b.variables.get("CI_JOB_TOKEN"))
	return parsed.String() + "/" + b.variables.get("CI_PROJECT_PATH") + ".git"
}

func hostURL(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return parsed.Scheme + "://" + parsed.Host
}

func (b *Build) flag(name string) bool {
	if on, set := b.runner.Flags[name]; set {
		return on
	}
	on, _ := strconv.ParseBool(b.variables.get(name))
	return on
}

// gather puts the variables in their order; those of the server in the server's.
func (b *Build) gather() {
	own := func(key, value string) Variable {
		return Variable{Key: key, Value: value, Public: true, internal: true, Raw: true}
	}
	all := variables{own("CI_JOB_IMAGE", cmpOr(b.job.Image.Name, b.runner.Kubernetes.Image)), own("CI_RUNNER_SHORT_TOKEN", short(b.runner.Token))}
	for _, text := range b.runner.Environment {
		key, value, _ := strings.Cut(text, "=")
		all = append(all, Variable{Key: key, Value: value, Public: true, internal: true})
	}
	b.variables = b.job.Variables
	folder := b.folder()
	for _, pair := range [][2]string{{"CI_BUILDS_DIR", b.buildsDir()}, {"CI_PROJECT_DIR", folder}, {"CI_CONCURRENT_ID", fmt.Sprint(b.number)},
		{"CI_CONCURRENT_PROJECT_ID", fmt.Sprint(b.number)}, {"CI_SERVER", "yes"}, {"CI_JOB_STATUS", "running"}} {
		all = append(all, own(pair[0], pair[1]))
	}
	if chain := b.server.certificates(); chain != "" {
		all = append(all, Variable{Key: "CI_SERVER_TLS_CA_FILE", Value: chain, Public: true, File: true, internal: true, Raw: true})
	}
	all = append(all, b.job.Variables...)
	all = append(all, own("CI_DISPOSABLE_ENVIRONMENT", "true"), own("CI_RUNNER_VERSION", version), own("CI_RUNNER_REVISION", revision),
		own("CI_RUNNER_EXECUTABLE_ARCH", "linux/amd64"))
	b.variables = all.expanded()
}

// run does the job, tells how it ended, and leaves nothing.
func (b *Build) run(parent context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	b.trace = newTrace(b.server, b.job, b.runner.OutputLimit*1024, cancel)
	timeout := time.Duration(positive(b.job.RunnerInfo.Timeout, 7200)) * time.Second
	late := time.AfterFunc(timeout, func() { cancel(lateError(timeout)) })
	defer late.Stop()
	b.trace.say("Running with gitlab-runner %s (%s)", version, revision)
	b.trace.say("  on %s %s", b.runner.Name, short(b.runner.Token))
	b.gather()
	b.trace.mask(b.variables.secrets())
	err := b.stages(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	b.cleanUp()
	b.end(err, time.Since(began))
	return err
}

type lateError time.Duration

func (e lateError) Error() string {
	return fmt.Sprintf("execution took longer than %s seconds", time.Duration(e))
}

// stages runs one after the other. What the job leaves is brought away also when it failed.
func (b *Build) stages(ctx context.Context) error {
	if err := b.stage("prepare_executor", `Preparing the "kubernetes" executor`, b.prepareOften); err != nil {
		return systemError{err}
	}
	// Only the first script's failure is wrapped, whatever it was.
	if err := b.scripted(ctx, "prepare_script", "Preparing environment", "helper", b.prepareScript()); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return systemError{fmt.Errorf("prepare environment: %w. %s", unwrapped(err), more)}
	}
	err := b.body(ctx)
	if upload := b.upload(ctx, err); err == nil {
		err = upload
	}
	if text := b.forgetScript(); len(text.lines) > 0 && ctx.Err() == nil {
		b.scripted(ctx, "cleanup_file_variables", "Cleaning up file based variables", "helper", text)
	}
	return err
}

func unwrapped(err error) error {
	var system systemError
	if errors.As(err, &system) {
		return system.error
	}
	return err
}

// prepareOften: three tries, three seconds apart.
func (b *Build) prepareOften() (err error) {
	for try := 1; ; try++ {
		if err = b.prepare(); err == nil || try == 3 {
			return err
		}
		b.trace.failure("Preparation failed: " + err.Error())
		b.trace.say("Will be retried in 3s ...")
		time.Sleep(3 * time.Second)
	}
}

// body is the job from its sources until its after_script.
func (b *Build) body(ctx context.Context) error {
	if err := b.often(ctx, "GET_SOURCES_ATTEMPTS", func() error {
		return b.scripted(ctx, "get_sources", "Getting source from Git repository", "helper", b.sourcesScript())
	}); err != nil {
		return err
	}
	if b.depends() {
		if err := b.often(ctx, "ARTIFACT_DOWNLOAD_ATTEMPTS", func() error {
			return b.scripted(ctx, "download_artifacts", "Downloading artifacts", "helper", b.downloadScript())
		}); err != nil {
			return err
		}
	}
	return b.steps(ctx)
}

func (b *Build) depends() bool {
	for _, of := range b.job.Dependencies {
		if of.ArtifactsFile.Filename != "" {
			return true
		}
	}
	return false
}

// often tries as many times as a variable says.
func (b *Build) often(ctx context.Context, key string, do func() error) (err error) {
	tries := 1
	if text := b.variables.get(key); text != "" {
		if tries, err = strconv.Atoi(text); err != nil || tries < 1 || tries > 10 {
			return fmt.Errorf("number of attempts out of the range [1, 10] for stage: %s", key)
		}
	}
	for range tries {
		if err = do(); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// steps runs the job's own scripts, then its after_script, whose result nobody asks for.
func (b *Build) steps(ctx context.Context) (err error) {
	for _, step := range b.job.Steps {
		if step.Name == "after_script" || len(step.Script) == 0 {
			continue
		}
		name := "step_" + step.Name
		err = b.scripted(ctx, name, fmt.Sprintf("Executing %q stage of the job script", name), "build", b.stepScript(step.Script, false))
		if err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return err
	}
	for _, step := range b.job.Steps {
		if step.Name == "after_script" && len(step.Script) > 0 {
			b.after(ctx, err, step.Script)
		}
	}
	return err
}

func (b *Build) after(ctx context.Context, err error, lines []string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	status := "success"
	if err != nil {
		status = "failed"
	}
	b.variables = append(b.variables, Variable{Key: "CI_JOB_STATUS", Value: status, internal: true, Public: true})
	b.scripted(ctx, "after_script", "Running after_script", "build", b.stepScript(lines, true))
}

// upload brings away what is to be kept of a job that ended so.
func (b *Build) upload(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	name, header, when := "upload_artifacts_on_success", "Uploading artifacts for successful job", "on_success"
	if err != nil {
		name, header, when = "upload_artifacts_on_failure", "Uploading artifacts for failed job", "on_failure"
	}
	chosen := []Artifact{}
	for _, a := range b.job.Artifacts {
		if wanted := cmpOr(a.When, "on_success"); (wanted == "always" || wanted == when) && (len(a.Paths) > 0 || a.Untracked) {
			chosen = append(chosen, a)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	return b.scripted(ctx, name, header, "helper", b.uploadScript(chosen))
}

// scripted is a stage that a container's shell runs.
func (b *Build) scripted(ctx context.Context, name, header, container string, script *Script) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text := script.text(b.flag("CI_DEBUG_TRACE"), b.flag("FF_USE_NEW_BASH_EVAL_STRATEGY"))
	return b.stage(name, header, func() error {
		if name == "prepare_script" && b.runner.Kubernetes.HelperImage == "" && !b.flag("FF_GITLAB_REGISTRY_HELPER_IMAGE") {
			b.trace.warning("Pulling GitLab Runner helper image from Docker Hub. Helper image is migrating to registry.gitlab.com, for more information see " +
				"https://docs.gitlab.com/runner/configuration/advanced-configuration.html#migrate-helper-image-to-registry-gitlab-com")
		}
		return b.perform(ctx, container, text)
	})
}

func (b *Build) stage(name, header string, do func() error) error {
	b.trace.section("start", name)
	b.trace.header(header)
	err := do()
	b.trace.section("end", name)
	return err
}

// end says how it went, in the job's log, to the server, and in the runner's log.
func (b *Build) end(err error, took time.Duration) {
	about := []any{"job", b.job.ID, "project", b.job.JobInfo.ProjectID, "runner", short(b.runner.Token), "duration_s", took.Seconds()}
	if err == nil {
		b.trace.own(green, "Job succeeded")
		b.trace.finish("success", "", 0)
		line("", "Job succeeded", about...)
		return
	}
	text, reason, code := judged(err)
	b.trace.failure(text)
	b.trace.finish("failed", reason, code)
	level := "WARNING"
	if reason == "runner_system_failure" {
		level = "ERROR"
	}
	line(level, text, about...)
	line("WARNING", "Failed to process runner", "builds", 0, "error", err, "executor", "kubernetes", "runner", short(b.runner.Token))
}

// judged is a failure in the words of the log, for the server, and its code.
func judged(err error) (text, reason string, code int) {
	var exited *exitError
	var late lateError
	var system systemError
	var stopped stopError
	text = "Job failed: " + err.Error()
	switch {
	case errors.As(err, &late):
		return text, "job_execution_timeout", 0
	case errors.Is(err, errCanceled):
		return text, "job_canceled", 0
	case errors.As(err, &stopped):
		return text, "runner_system_failure", 0
	case errors.As(err, &system):
		return "Job failed (system failure): " + err.Error(), "runner_system_failure", 0
	case errors.As(err, &exited):
		return text, "script_failure", exited.code
	}
	return text, "runner_system_failure", 0
}
