#!/bin/bash
# Stand-ins for Knative Eventing 0.13.0's images: no registry of modules serves that version. One program in one layer
# that all images share, called by the name of the one that it stands in for.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o eventing .
links=()
for program in webhook controller channel_broker channel_controller channel_dispatcher; do links+=(--link "/ko-app/$program:eventing"); done
for program in webhook controller channel_broker in_memory/channel_controller in_memory/channel_dispatcher; do
  name=${program##*/}
  python3 /tools/mkimage.py "$OUT/images/$name.tar" "gcr.io/knative-releases/knative.dev/eventing/cmd/$program:v0.13.0" \
    --dir /tmp:1777 --add eventing:/ko-app/eventing "${links[@]}" --entrypoint "[\"/ko-app/$name\"]" --user 65532
done
