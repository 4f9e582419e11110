#!/bin/bash
# Knative Serving 0.13.0 from its Go module: the images that its release's manifests name.
set -euo pipefail
mkdir -p "$OUT/images" bin
programs=knative.dev/serving/cmd
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o bin/ $programs/{activator,autoscaler,controller,queue,webhook,networking/istio}

certificates=/etc/ssl/certs/ca-certificates.crt
for program in activator autoscaler controller queue webhook networking/istio; do
  name=${program##*/}
  python3 /tools/mkimage.py "$OUT/images/$name.tar" "gcr.io/knative-releases/$programs/$program:v0.13.0" \
    --dir /tmp:1777 --add "bin/$name:/ko-app/$name" --add $certificates:$certificates --entrypoint "[\"/ko-app/$name\"]" --user 65532
done
