#!/bin/bash
# Stand-ins for Seldon Core 1.7.0: its operator, its executor, its usage reporter, and the chart that installs them.
set -euo pipefail
mkdir -p "$OUT/images" bin
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o bin/ ./operator ./executor ./usage
image() { python3 /tools/mkimage.py "$OUT/images/$1.tar" "$2" --dir /tmp:1777 "${@:3}"; }
image operator docker.io/seldonio/seldon-core-operator:1.7.0 --add bin/operator:/manager --entrypoint '["/manager"]'
image executor docker.io/seldonio/seldon-core-executor:1.7.0 --add bin/executor:/executor --entrypoint '["/executor"]'
# The chart starts this one through a shell.
image usage gcr.io/google_containers/spartakus-amd64:v1.1.0 --add bin/usage:/spartakus --add bin/usage:/bin/sh --entrypoint '["/spartakus"]'
python3 /tools/chart.py chart "$OUT/storage.googleapis.com/seldon-charts"
