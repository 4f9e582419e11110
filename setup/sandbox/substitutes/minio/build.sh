#!/bin/sh
# Builds the stand-in for MinIO's server: one static binary under the original's address, with its checksum file beside it.
# In: OUT (what the mirror serves), CACHE (kept between builds), go on PATH.
set -eu

name=minio.RELEASE.2021-04-22T15-44-28Z
folder=$OUT/dl.min.io/server/minio/release/linux-amd64/archive
export GOCACHE="${GOCACHE:-$CACHE/go-build}" GOMODCACHE="${GOMODCACHE:-$CACHE/go-mod}" GOTOOLCHAIN=local GOFLAGS=-mod=readonly
export CGO_ENABLED=0 GOOS=linux GOARCH=amd64
mkdir -p "$folder" "$GOCACHE" "$GOMODCACHE"

echo "building $name with $(go env GOVERSION)"
# No path, time or revision goes in: the same sources and Go give the same bytes.
go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$folder/$name" .
cd "$folder"
sha256sum "$name" > "$name.sha256sum"
"./$name" --version
