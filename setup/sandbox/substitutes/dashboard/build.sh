#!/bin/bash
# Stand-ins for the Kubernetes Dashboard and its metrics-scraper: no registry serves either.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o dashboard .
python3 /tools/mkimage.py "$OUT/images/dashboard.tar" kubernetesui/dashboard:v2.0.0 --add dashboard:/dashboard --dir /tmp:1777 --entrypoint '["/dashboard"]'
python3 /tools/mkimage.py "$OUT/images/metrics-scraper.tar" kubernetesui/metrics-scraper:v1.0.4 --add dashboard:/metrics-scraper --dir /tmp:1777 \
  --entrypoint '["/metrics-scraper"]'
