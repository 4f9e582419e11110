#!/bin/bash
# Pachyderm 1.13.2 from its Go module: pachctl as its release page has it, and the images that `pachctl deploy` names.
# etcd is Debian's: the release that Pachyderm names needs gRPC of 2018.
set -euo pipefail
mkdir -p "$OUT/images" bin
build() { CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1" "${@:2}"; }
image() { python3 /tools/mkimage.py "$OUT/images/$1.tar" "pachyderm/$2" "${@:3}"; }
module=github.com/pachyderm/pachyderm

build bin/ $module/src/server/cmd/{pachctl,pachd,worker}
build init $module/etc/worker
[[ $(bin/pachctl version --client-only) == 1.13.2 ]]

folder=pachctl_1.13.2_linux_amd64
release=$OUT/github.com/pachyderm/pachyderm/releases/download/v1.13.2
mkdir -p $folder "$release"
cp bin/pachctl $folder/
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -c $folder | gzip -1n > "$release/$folder.tar.gz"

certificates=/etc/ssl/certs/ca-certificates.crt
image pachd pachd:1.13.2 --dir /tmp:1777 --dir /pach-cache:777 --add bin/pachd:/pachd --add $certificates:$certificates
image worker worker:1.13.2 --dir /tmp:1777 --add init:/app/init --add bin/worker:/app/worker --add bin/pachctl:/app/pachctl --workdir /app

bash /tools/debs.sh tree etcd-server etcd-client busybox-static
strip --strip-unneeded tree/usr/bin/etcd{,ctl} 2> /dev/null || true
libraries=()
for library in $(ldd tree/usr/bin/etcd tree/usr/bin/etcdctl | grep -o '/lib[^ ]*' | sort -u); do
  libraries+=(--add "$(readlink -f "$library"):$library")
done
image etcd etcd:v3.3.5 --dir /tmp:1777 --add tree/usr/bin/etcd:/usr/local/bin/etcd --add tree/usr/bin/etcdctl:/usr/local/bin/etcdctl \
  --add tree/bin/busybox:/bin/busybox --link /bin/sh:busybox "${libraries[@]}"
