module istio

go 1.25
