#!/bin/bash
# The image that holds a pod's namespaces.
set -euo pipefail
mkdir -p "$OUT/images"
gcc -Os -static -s -o pause pause.c
python3 /tools/mkimage.py "$OUT/images/pause.tar" k8s.gcr.io/pause:3.1 --add pause:/pause --entrypoint '["/pause"]'
