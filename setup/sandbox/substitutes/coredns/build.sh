#!/bin/bash
# CoreDNS 1.6.6, the version that MicroK8s 1.20 names, from its Go module.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o coredns github.com/coredns/coredns
[[ $(./coredns -version) == CoreDNS-1.6.6* ]]
python3 /tools/mkimage.py "$OUT/images/coredns.tar" coredns/coredns:1.6.6 --add coredns:/coredns \
  --add /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt --entrypoint '["/coredns"]'
