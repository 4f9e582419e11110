module runbook/gitlab-runner

go 1.26.0

require (
	github.com/BurntSushi/toml v1.6.0
	github.com/moby/spdystream v0.5.1
	runbook/incluster v0.0.0
)

replace runbook/incluster => ../../tools/incluster
