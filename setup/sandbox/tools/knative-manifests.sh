#!/bin/bash
# Knative Serving 0.13.0's release manifests, made of its Go modules' config folders in the way of its hack/generate-yamls.sh:
# knative-manifests.sh OUTPUT PATH...   OUTPUT: an absolute path; PATH: a file or folder below config/, or imagecache
# Tags stand where the release has digests; what the pods ask of the node is cut to fit a small one.
set -euo pipefail
output=$1
shift
config() { go mod download -json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"] + "/config")'; }
cd "$(config knative.dev/serving@v0.13.0)"
for path in "$@"; do
  [ "$path" != imagecache ] || path=$(config knative.dev/caching@v0.0.0-20200116200605-67bca2c83dfa)/image.yaml
  find "$path" -name '*.yaml' | LC_ALL=C sort
done | while read -r file; do
  printf -- '---\n'
  grep -v '^#' "$file"
done | sed -E \
  -e 's#(image|queueSidecarImage): knative\.dev/serving/cmd/([a-z/-]+)#\1: gcr.io/knative-releases/knative.dev/serving/cmd/\2:v0.13.0#' \
  -e 's#serving\.knative\.dev/release: devel#serving.knative.dev/release: "v0.13.0"#' \
  -e '/requests:/ { n; s#cpu: [0-9]+m#cpu: 20m#; }' -e 's#maxReplicas: 20#maxReplicas: 1#' > "$output"
! grep -n 'image: knative.dev' "$output"
