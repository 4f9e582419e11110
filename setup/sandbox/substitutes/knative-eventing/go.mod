module knative-eventing

go 1.26.0

require runbook/incluster v0.0.0

replace runbook/incluster => ../../tools/incluster
