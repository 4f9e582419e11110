#!/bin/bash
# python:3.11-slim-bookworm from Debian bookworm's own Python 3.11.
set -euo pipefail
mkdir -p "$OUT/images"
thin=()
for folder in doc man locale info; do thin+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
mmdebstrap --quiet --mode=root --variant=essential --include=python3,python3-pip,ca-certificates,netbase,tzdata,libstdc++6 --aptopt=/etc/apt/apt.conf.d/90machine \
  --aptopt='APT::Install-Recommends "false"' "${thin[@]}" bookworm root /etc/apt/sources.list
for name in python python3 python3.11; do ln -s /usr/bin/python3.11 "root/usr/local/bin/$name"; done
for name in pip pip3 pip3.11; do ln -s /usr/bin/pip3 "root/usr/local/bin/$name"; done
# In an image, pip is the one that installs Python packages.
rm -rf root/usr/lib/python3.11/EXTERNALLY-MANAGED root/etc/apt root/var/{cache,log,lib/apt}/* root/usr/share/{perl5,zoneinfo/right}
find root -name __pycache__ -prune -exec rm -rf {} +
cp /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs/
chroot root python -c 'import sys, ssl, sqlite3, zlib; assert sys.version_info[:2] == (3, 11)'
chroot root pip --version
find root -name __pycache__ -prune -exec rm -rf {} +
tar -C root --sort=name --numeric-owner --mtime=@0 -cf root.tar .
python3 /tools/mkimage.py "$OUT/images/python.tar" python:3.11-slim-bookworm --base-tar root.tar \
  --env LANG=C.UTF-8 --env PYTHON_VERSION=3.11 --cmd '["python3"]'
