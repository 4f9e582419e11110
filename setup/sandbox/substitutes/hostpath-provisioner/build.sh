#!/bin/bash
# A provisioner written here under the name of MicroK8s' own, whose source no registry serves.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o hostpath-provisioner .
python3 /tools/mkimage.py "$OUT/images/hostpath-provisioner.tar" cdkbot/hostpath-provisioner-amd64:1.0.0 \
  --add hostpath-provisioner:/hostpath-provisioner --entrypoint '["/hostpath-provisioner"]'
