module runbook/seldon

go 1.25
