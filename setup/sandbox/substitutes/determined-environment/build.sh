#!/bin/bash
# The image of Determined's tasks: Debian bookworm's Python with JupyterLab. No registry has a CPython 3.7, which the real one runs.
set -euo pipefail
mkdir -p "$OUT/images"
thin=()
for folder in doc man locale info; do thin+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
mmdebstrap --quiet --mode=root --variant=essential --include=python3,python3-pip,ca-certificates,netbase,tzdata,openssh-client,procps,libstdc++6 \
  --aptopt=/etc/apt/apt.conf.d/90machine --aptopt='APT::Install-Recommends "false"' "${thin[@]}" bookworm root /etc/apt/sources.list
for name in python python3 python3.11; do ln -s /usr/bin/python3.11 "root/usr/local/bin/$name"; done
for name in pip pip3; do ln -s /usr/bin/pip3 "root/usr/local/bin/$name"; done
# In an image, pip is the one that installs Python packages.
rm -rf root/usr/lib/python3.11/EXTERNALLY-MANAGED
# Installed from here, below the image's root: the image's own pip would need the builder's settings inside it.
python3 -m pip install --quiet --no-compile --break-system-packages --root root --prefix /usr/local --ignore-installed -r requirements.txt
if [ -d root/usr/local/local ]; then cp -a root/usr/local/local/. root/usr/local/; rm -rf root/usr/local/local; fi
rm -rf root/etc/apt root/var/{cache,log,lib/apt}/* root/usr/share/{perl5,zoneinfo/right} root/run/determined
find root -name __pycache__ -prune -exec rm -rf {} +
cp /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs/
mkdir -p root/run/determined/workdir
chroot root python -c 'import sys, boto3, grpc, jupyterlab; assert sys.version_info[:2] == (3, 11)'
# What the real image has not, a notebook must not find here; what the master's scripts run, it must.
if chroot root python -c 'import minio' 2> /dev/null; then exit 1; fi
chroot root bash -c 'set -e; /bin/which python3 bash tar seq getent whoami; python3 -m pip --version'
chroot root jupyter lab --version
find root -name __pycache__ -prune -exec rm -rf {} +
tar -C root --sort=name --numeric-owner --mtime=@0 -cf root.tar .
python3 /tools/mkimage.py "$OUT/images/environment.tar" determinedai/environments:py-3.7-pytorch-1.7-tf-1.15-cpu-baefbf7 --base-tar root.tar \
  --env LANG=C.UTF-8 --env LC_ALL=C.UTF-8 --env SHELL=/bin/bash --env PYTHONUNBUFFERED=1 --env PYTHONFAULTHANDLER=1 --env PYTHONHASHSEED=0 \
  --env JUPYTER_CONFIG_DIR=/run/determined/jupyter/config --env JUPYTER_DATA_DIR=/run/determined/jupyter/data \
  --env JUPYTER_RUNTIME_DIR=/run/determined/jupyter/runtime --workdir /run/determined/workdir --cmd '["python3"]'
