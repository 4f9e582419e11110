package main

import (
	"fmt"
	"strings"
)

// Script is what a container's shell reads: one eval fed by nothing, so that no command reads the script as its input.
type Script struct{ lines []string }

func (s *Script) add(format string, values ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, values...))
}

func (s *Script) echo(colour, text string) {
	if colour == "" {
		s.add("echo %s", quote(text))
	} else {
		s.add("echo %s", quote(colour+text+plain))
	}
}

// quote makes a text one word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// text is the script as it is sent.
func (s *Script) text(trace, newEval bool) string {
	body := strings.Join(s.lines, "\n") + "\n"
	head := "set -eo pipefail\nset +o noclobber\n"
	if trace {
		head = "set -o xtrace\n" + head
	}
	if newEval {
		return head + ": | (eval " + quote(body) + ")\nexit 0\n"
	}
	return head + ": | eval " + quote(body) + "\nexit 0\n"
}

// export makes a variable; one that is a file lies beside the project's folder.
func (b *Build) export(s *Script) {
	for _, v := range b.variables {
		if v.File {
			path := b.temp() + "/" + v.Key
			s.add("mkdir -p %s", quote(b.temp()))
			s.add("printf %%s %s > %s", quote(v.Value), quote(path))
			v.Value = path
		}
		if isName(v.Key) {
			s.add("export %s=%s", v.Key, quote(v.Value))
		}
	}
}

func isName(key string) bool {
	return key != "" && strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == "" && (key[0] < '0' || key[0] > '9')
}

// newScript begins in the shell's own folder, with the variables.
func (b *Build) newScript() *Script {
	s := &Script{}
	b.export(s)
	return s
}

func (b *Build) prepareScript() *Script {
	s := &Script{}
	s.add(`echo "Running on $(hostname) via %s..."`, hostname())
	return s
}

// sourcesScript brings the project to the build's folder.
func (b *Build) sourcesScript() *Script {
	s := b.newScript()
	for _, text := range []string{b.runner.PreClone} {
		if text != "" {
			s.add("%s", text)
		}
	}
	folder, strategy := quote(b.folder()), b.variables.get("GIT_STRATEGY")
	if strategy == "" && b.job.AllowGitFetch {
		strategy = "fetch"
	}
	if strategy == "none" {
		s.add("mkdir -p %s", folder)
		s.echo(green, "Skipping Git repository setup")
		s.echo(green, "Skipping Git checkout")
		s.echo(green, "Skipping Git submodules setup")
		return s
	}
	if strategy != "fetch" {
		s.add("rm -r -f %s", folder)
	}
	b.fetch(s, folder)
	b.checkout(s)
	return s
}

func (b *Build) fetch(s *Script, folder string) {
	git := b.job.GitInfo
	depth := ""
	if git.Depth > 0 {
		s.echo(green, fmt.Sprintf("Fetching changes with git depth set to %d...", git.Depth))
		depth = fmt.Sprintf(" --depth %d", git.Depth)
	} else {
		s.echo(green, "Fetching changes...")
	}
	settings := " -c " + quote("http.userAgent=gitlab-runner "+version+" linux/amd64")
	if b.server.certificates() != "" {
		settings += " -c " + quote("http."+hostURL(b.repository())+".sslCAInfo="+b.temp()+"/CI_SERVER_TLS_CA_FILE")
	}
	s.add("git init %s", folder)
	s.add("cd %s", folder)
	s.add("if git remote add origin %s > /dev/null 2>&1; then", quote(b.repository()))
	s.echo(green, "Created fresh repository.")
	s.add("else git remote set-url origin %s; fi", quote(b.repository()))
	specs := []string{}
	for _, spec := range git.Refspecs {
		specs = append(specs, quote(spec))
	}
	s.add("git%s fetch origin %s%s %s", settings, strings.Join(specs, " "), depth, b.flags("GIT_FETCH_EXTRA_FLAGS", "--prune --quiet"))
}

// flags are a variable's words; "none" is none of them.
func (b *Build) flags(key, otherwise string) string {
	words := cmpOr(b.variables.get(key), otherwise)
	if words == "none" {
		return ""
	}
	quoted := []string{}
	for _, word := range strings.Fields(words) {
		quoted = append(quoted, quote(word))
	}
	return strings.Join(quoted, " ")
}

func (b *Build) checkout(s *Script) {
	git := b.job.GitInfo
	if no := b.variables.get("GIT_CHECKOUT"); no == "false" || no == "0" {
		s.echo(green, "Skipping Git checkout")
	} else {
		s.echo(green, fmt.Sprintf("Checking out %s as %s...", short(git.Sha), git.Ref))
		s.add("git checkout -f -q %s", quote(git.Sha))
		if flags := b.flags("GIT_CLEAN_FLAGS", "-ffdx"); flags != "" {
			s.add("git clean %s", flags)
		}
		s.add("if git lfs version > /dev/null 2>&1; then git lfs pull; echo; fi")
	}
	b.submodules(s)
}

func (b *Build) submodules(s *Script) {
	switch strategy := b.variables.get("GIT_SUBMODULE_STRATEGY"); strategy {
	case "", "none":
		s.echo(green, "Skipping Git submodules setup")
	case "normal", "recursive":
		more := map[string]string{"normal": "", "recursive": " --recursive"}[strategy]
		s.echo(green, map[string]string{"normal": "Updating/initializing submodules...", "recursive": "Updating/initializing submodules recursively..."}[strategy])
		s.add("git submodule sync%s\ngit submodule update --init%s", more, more)
	}
}

// stepScript is a step of the job: each line is shown before it runs.
func (b *Build) stepScript(lines []string, after bool) *Script {
	s := b.newScript()
	s.add("cd %s", quote(b.folder()))
	if after {
		s.echo(green, "Running after script...")
	} else if b.runner.PreBuild != "" {
		lines = append([]string{b.runner.PreBuild}, lines...)
	}
	if !after && b.runner.PostBuild != "" {
		lines = append(lines[:len(lines):len(lines)], b.runner.PostBuild)
	}
	for _, text := range lines {
		first, _, several := strings.Cut(text, "\n")
		switch {
		case text == "":
			s.add("echo")
		case several:
			s.echo(green, "$ "+first+" # collapsed multi-line command")
		default:
			s.echo(green, "$ "+text)
		}
		s.add("%s", text)
	}
	return s
}

// downloadScript gets what jobs before this one left.
func (b *Build) downloadScript() *Script {
	s := b.newScript()
	s.add("cd %s", quote(b.folder()))
	for _, of := range b.job.Dependencies {
		if of.ArtifactsFile.Filename != "" {
			s.echo(green, fmt.Sprintf("Downloading artifacts for %s (%d)...", of.Name, of.ID))
			s.add("gitlab-runner-helper artifacts-downloader --url %s --token %s --id %d", quote(b.address()), quote(of.Token), of.ID)
		}
	}
	return s
}

// uploadScript leaves what the job made.
func (b *Build) uploadScript(chosen []Artifact) *Script {
	s := b.newScript()
	s.add("cd %s", quote(b.folder()))
	for _, a := range chosen {
		words := fmt.Sprintf("--url %s --token %s --id %d", quote(b.address()), quote(b.job.Token), b.job.ID)
		for _, path := range a.Paths {
			words += " --path " + quote(b.variables.expand(path))
		}
		for _, path := range a.Exclude {
			words += " --exclude " + quote(b.variables.expand(path))
		}
		if a.Untracked {
			words += " --untracked"
		}
		for _, pair := range [][2]string{{"expire-in", a.ExpireIn}, {"name", b.variables.expand(a.Name)}, {"artifact-format", a.Format}, {"artifact-type", a.Type}} {
			if pair[1] != "" {
				words += " --" + pair[0] + " " + quote(pair[1])
			}
		}
		s.echo(green, "Uploading artifacts...")
		s.add("gitlab-runner-helper artifacts-uploader %s", words)
	}
	return s
}

func (b *Build) forgetScript() *Script {
	s := &Script{}
	for _, v := range b.variables {
		if v.File {
			s.add("rm -f %s", quote(b.temp()+"/"+v.Key))
		}
	}
	return s
}
