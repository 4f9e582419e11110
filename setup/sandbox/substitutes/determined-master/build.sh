#!/bin/bash
# The double of determined-master: no registry has the real one.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o determined-master .
./determined-master version
# The binary also by itself: the tests run it as a process.
cp determined-master "$OUT/"
python3 wheel.py .
wheel=determined-0.15.3-py3-none-any.whl
python3 /tools/mkimage.py "$OUT/images/determined-master.tar" determinedai/determined-master:0.15.3 --add determined-master:/usr/bin/determined-master \
  --add "$wheel:/usr/share/determined/master/wheels/$wheel" --dir /tmp:1777 --dir /etc/determined --entrypoint '["/usr/bin/determined-master"]'
