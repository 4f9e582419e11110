#!/bin/bash
# Helm 3.5.4 from its Go module, packed as its makers' site has it.
set -euo pipefail
folder=linux-amd64 package=helm.sh/helm/v3/internal/version
mkdir -p "$OUT/get.helm.sh" $folder
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X $package.version=v3.5.4" -o $folder/helm helm.sh/helm/v3/cmd/helm
[[ $($folder/helm version --short) == v3.5.4* ]]
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -c $folder | gzip -1n > "$OUT/get.helm.sh/helm-v3.5.4-$folder.tar.gz"
