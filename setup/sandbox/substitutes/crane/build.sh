#!/bin/bash
# crane 0.5.1 from its Go module, as its makers' debug image has it: the program, and a busybox to run scripts.
set -euo pipefail
mkdir -p "$OUT/images"
package=github.com/google/go-containerregistry/cmd/crane
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X $package/cmd.Version=v0.5.1" -o crane $package
[[ $(./crane version) == v0.5.1 ]]
bash /tools/debs.sh tree busybox-static
links=()
for command in $(tree/bin/busybox --list); do [ "$command" = busybox ] || links+=(--link "/busybox/$command:busybox"); done
printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n' > passwd
certificates=/etc/ssl/certs/ca-certificates.crt
python3 /tools/mkimage.py "$OUT/images/crane.tar" gcr.io/go-containerregistry/crane/debug:v0.5.1 --dir /tmp:1777 --dir /root:700 \
  --add crane:/ko-app/crane --add tree/bin/busybox:/busybox/busybox "${links[@]}" --add passwd:/etc/passwd --add $certificates:$certificates \
  --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/busybox:/ko-app --entrypoint '["/ko-app/crane"]'
