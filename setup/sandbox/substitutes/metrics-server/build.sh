#!/bin/bash
# metrics-server 0.6.1 under the name that MicroK8s 1.20 pulls: no registry serves its 0.3.6 with a checksum to hold it to.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X k8s.io/client-go/pkg/version.gitVersion=v0.6.1" \
  -o metrics-server sigs.k8s.io/metrics-server/cmd/metrics-server
python3 /tools/mkimage.py "$OUT/images/metrics-server.tar" k8s.gcr.io/metrics-server-amd64:v0.3.6 --add metrics-server:/metrics-server \
  --dir /tmp:1777 --entrypoint '["/metrics-server"]'
