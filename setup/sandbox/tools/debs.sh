#!/bin/bash
# debs.sh FOLDER PACKAGE...: unpack Debian packages into FOLDER.
# The builder's lists of packages are fetched anew only when a package that they name is gone, and by one build at a time.
set -euo pipefail
folder=$1
shift
apt=(apt-get -q -o APT::Sandbox::User=root)
debs=$(mktemp -d)
(
  cd "$debs"
  "${apt[@]}" download "$@" > /dev/null 2> first-try || {
    flock "$CACHE/apt.lock" "${apt[@]}" update > /dev/null
    "${apt[@]}" download "$@" > /dev/null
  }
)
mkdir -p "$folder"
for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$folder"; done
rm -r "$debs"
