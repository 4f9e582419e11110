#!/bin/bash
# MetalLB 0.12.1 under the names that MicroK8s 1.20 pulls: its 0.9.3 is not served as a Go module.
set -euo pipefail
mkdir -p "$OUT/images"
for program in controller speaker; do
  CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X go.universe.tf/metallb/internal/version.release=0.12.1" \
    -o $program go.universe.tf/metallb/$program
  python3 /tools/mkimage.py "$OUT/images/$program.tar" metallb/$program:v0.9.3 --add $program:/$program --entrypoint "[\"/$program\"]"
done
