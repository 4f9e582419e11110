module runbook/incluster

go 1.26.0
