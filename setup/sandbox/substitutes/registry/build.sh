#!/bin/bash
# The image of MicroK8s' registry add-on from Debian's docker-registry 2.8.2.
set -euo pipefail
mkdir -p "$OUT/images"
bash /tools/debs.sh tree docker-registry
strip --strip-unneeded tree/usr/bin/docker-registry 2> /dev/null || true
libraries=()
for library in $(ldd tree/usr/bin/docker-registry | grep -o '/lib[^ ]*' | sort -u); do
  libraries+=(--add "$(readlink -f "$library"):$library")
done
# Debian's own configuration asks for a password on push; the official image's does not, nor does this one.
cat > config.yml << 'Y'
version: 0.1
log: {fields: {service: registry}}
storage: {filesystem: {rootdirectory: /var/lib/registry}, cache: {blobdescriptor: inmemory}}
http: {addr: ":5000", headers: {X-Content-Type-Options: [nosniff]}}
Y
python3 /tools/mkimage.py "$OUT/images/registry.tar" cdkbot/registry-amd64:2.6 --dir /tmp:1777 --dir /var/lib/registry \
  --add tree/usr/bin/docker-registry:/bin/registry --add config.yml:/etc/docker/registry/config.yml "${libraries[@]}" \
  --entrypoint '["/bin/registry"]' --cmd '["serve", "/etc/docker/registry/config.yml"]'
