#!/bin/bash
# MetalLB 0.12.1 under the names that MicroK8s 1.20 pulls: its 0.9.3 is not served as a Go module.
set -euo pipefail
mkdir -p "$OUT/images" bin
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X go.universe.tf/metallb/internal/version.release=0.12.1" \
  -o bin/ go.universe.tf/metallb/{controller,speaker}
for program in controller speaker; do
  python3 /tools/mkimage.py "$OUT/images/$program.tar" metallb/$program:v0.9.3 --add bin/$program:/$program --entrypoint "[\"/$program\"]"
done
