package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"runbook/incluster"
)

const more = "Check https://docs.gitlab.com/runner/shells/index.html#shell-profile-loading for more information"

// systemError is a failure that is not the job's own.
type systemError struct{ error }

// pullError is an image that does not come.
type pullError struct{ image, message string }

func (e *pullError) Error() string { return "image pull failed: " + e.message }

// prepare decides the namespace, the account and the image, before anything is made.
func (b *Build) prepare() error {
	k := b.runner.Kubernetes
	var err error
	if b.policies, err = k.policies(); err != nil {
		return err
	}
	b.namespace, b.account = k.Namespace, k.ServiceAccount
	if b.namespace == "" {
		b.trace.warning("Namespace is empty, therefore assuming 'default'.")
		b.namespace = "default"
	}
	if err := b.overwrite("Namespace", "KUBERNETES_NAMESPACE_OVERWRITE", k.NamespaceOverwrite, &b.namespace); err != nil {
		return err
	}
	if err := b.overwrite("ServiceAccount", "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE", k.ServiceAccountOverwrite, &b.account); err != nil {
		return err
	}
	if err := k.check(); err != nil {
		return err
	}
	b.image = b.variables.expand(cmpOr(b.job.Image.Name, k.Image))
	if b.image == "" {
		return errors.New("no image specified and no default set in config")
	}
	if b.api == nil {
		if b.api, err = incluster.Open(); err != nil {
			return err
		}
	}
	b.trace.say("Using Kubernetes namespace: %s", b.namespace)
	b.trace.say("Using Kubernetes executor with image %s ...", b.image)
	return nil
}

// overwrite takes a job's wish when the configuration allows it.
func (b *Build) overwrite(what, key, allowed string, value *string) error {
	wish := b.variables.expanded().get(key)
	if wish == "" || allowed == "" {
		return nil
	}
	pattern, err := regexp.Compile(allowed)
	if err != nil {
		return err
	}
	if !pattern.MatchString(wish) {
		return fmt.Errorf("provided value %q does not match regex %q", wish, allowed)
	}
	*value = wish
	b.trace.say("%q overwritten with %q", what, wish)
	return nil
}

var quantity = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$`)

// check: quantities are read before the pod is made.
func (k *KubernetesConfig) check() error {
	for _, group := range []string{"", "service_", "helper_"} {
		for end, values := range k.resourcesOf(group) {
			for name, value := range values.(table) {
				if !quantity.MatchString(value.(string)) {
					return fmt.Errorf("parsing resource %q with %s value %q: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'", name, strings.TrimSuffix(end, "s"), value)
				}
			}
		}
	}
	return nil
}

func (b *Build) path(kind string) string { return "/api/v1/namespaces/" + b.namespace + "/" + kind }

// start makes the pod, by one pull policy after the other, and waits until it runs.
func (b *Build) start(ctx context.Context) error {
	if err := b.makeSecret(ctx); err != nil {
		return err
	}
	for i, policy := range b.policies {
		if i > 0 {
			b.trace.say("Attempt #%d: Trying %q pull policy for %q image", i+1, policy, b.image)
			b.removePod()
		}
		err := b.startPod(ctx, policy)
		var pull *pullError
		if !errors.As(err, &pull) {
			return err
		}
		b.trace.warning(fmt.Sprintf("Failed to pull image with policy %q: %v", policy, err))
		if i == len(b.policies)-1 {
			return fmt.Errorf("pulling image %q: %w", pull.image, err)
		}
	}
	return nil
}

func (b *Build) makeSecret(ctx context.Context) error {
	config, err := b.dockerConfig()
	if err != nil || len(config) == 0 {
		return err
	}
	var made struct{ Metadata struct{ Name string } }
	err = b.api.Do(ctx, "POST", b.path("secrets"), b.pullSecret(config), &made)
	b.secret = made.Metadata.Name
	return err
}

func (b *Build) startPod(ctx context.Context, policy string) error {
	var made podObject
	if err := b.api.Do(ctx, "POST", b.path("pods"), b.pod(policy), &made); err != nil {
		return err
	}
	b.pods = append(b.pods, made.Metadata.Name)
	b.name = made.Metadata.Name
	return b.await(ctx)
}

type podObject struct {
	Metadata struct{ Name string }
	Status   struct {
		Phase             string
		Conditions        []struct{ Type, Status, Reason, Message string }
		ContainerStatuses []struct {
			Name, Image string
			State       struct {
				Waiting *struct{ Reason, Message string }
			}
		}
	}
}

func (b *Build) look(ctx context.Context) (*podObject, error) {
	pod := &podObject{}
	return pod, b.api.Do(ctx, "GET", b.path("pods/"+b.name), nil, pod)
}

// await looks at the pod until it runs.
func (b *Build) await(ctx context.Context) error {
	k := b.runner.Kubernetes
	interval := time.Duration(k.PollInterval) * time.Second
	for range k.PollTimeout/k.PollInterval + 1 {
		pod, err := b.look(ctx)
		if err != nil {
			return err
		}
		if running, err := b.judge(pod); running || err != nil {
			return err
		}
		if pause(ctx, interval); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return errors.New("timed out waiting for pod to start")
}

// judge tells whether the pod runs, or never will.
func (b *Build) judge(pod *podObject) (running bool, err error) {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Waiting == nil {
			continue
		}
		switch c.State.Waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff":
			return false, &pullError{c.Image, c.State.Waiting.Message}
		case "InvalidImageName":
			return false, errors.New("image pull failed: " + c.State.Waiting.Message)
		}
	}
	switch pod.Status.Phase {
	case "Running":
		return true, nil
	case "Succeeded":
		return false, errors.New("pod already succeeded before it begins running")
	case "Failed":
		return false, errors.New("pod status is failed")
	}
	text := fmt.Sprintf("Waiting for pod %s/%s to be running, status is %s", b.namespace, b.name, pod.Status.Phase)
	for _, condition := range pod.Status.Conditions {
		if condition.Reason != "" {
			text += fmt.Sprintf("\n\t%s: %q", condition.Reason, condition.Message)
		}
	}
	b.trace.say("%s", text)
	return false, nil
}

// perform runs a stage's script in a container.
func (b *Build) perform(ctx context.Context, container, script string) error {
	if b.name == "" {
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	pod, err := b.look(ctx)
	if err != nil {
		return systemError{fmt.Errorf("couldn't get pod details: %w", err)}
	}
	if pod.Status.Phase != "Running" {
		return systemError{fmt.Errorf("pod %q (on namespace %q) is not running and cannot execute commands; current phase is %q", b.name, b.namespace, pod.Status.Phase)}
	}
	command := detect
	if container == "helper" {
		command = []string{"gitlab-runner-build"}
	}
	err = execute(ctx, b.namespace, b.name, container, command, script, b.trace)
	var exited *exitError
	if err != nil && !errors.As(err, &exited) && ctx.Err() == nil {
		return systemError{err}
	}
	return err
}

// --- cleaning up ---

func (b *Build) cleanUp() {
	b.removePod()
	if b.secret != "" {
		b.remove("secrets", "secrets", b.secret)
	}
}

func (b *Build) removePod() {
	for _, name := range b.pods {
		b.remove("pod", "pods", name)
	}
	b.pods, b.name = nil, ""
}

func (b *Build) remove(called, kind, name string) {
	err := b.api.Do(context.Background(), "DELETE", b.path(kind+"/"+name), nil, nil)
	if err != nil {
		b.trace.failure(fmt.Sprintf("Error cleaning up %s: %v", called, err))
	}
}
