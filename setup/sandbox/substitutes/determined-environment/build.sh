#!/bin/bash
# The image of Determined's tasks: CPython 3.7 as the real one has it, from Maven's registry, on Debian bookworm; JupyterLab 2.
set -euo pipefail
mkdir -p "$OUT/images"
thin=()
for folder in doc man locale info; do thin+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
mmdebstrap --quiet --mode=root --variant=essential --include=ca-certificates,netbase,tzdata,openssh-client,procps,libstdc++6,libcrypt1 \
  --aptopt=/etc/apt/apt.conf.d/90machine --aptopt='APT::Install-Recommends "false"' "${thin[@]}" bookworm root /etc/apt/sources.list

version=3.7.9-1.5.4
jar=cpython-$version-linux-x86_64.jar
proxy=()
if [[ ${https_proxy:-${HTTPS_PROXY:-}} =~ ([^:/@]+):([0-9]+)/?$ ]]; then proxy=("-Dhttps.proxyHost=${BASH_REMATCH[1]}" "-Dhttps.proxyPort=${BASH_REMATCH[2]}"); fi
mvn -q -B -Dstyle.color=never "-Dmaven.repo.local=$CACHE/m2" "${proxy[@]}" dependency:get -Dtransitive=false -Dartifact="org.bytedeco:cpython:$version:jar:linux-x86_64"
found=$CACHE/m2/org/bytedeco/cpython/$version/$jar
echo "0521c8dfb6c132946513e747a28f3a93bac945f83d7cda829956f69453b03f31  $found" | sha256sum -c --quiet
python3 -m zipfile -e "$found" jar
conda=$PWD/root/opt/conda
mkdir -p "$(dirname "$conda")"
mv jar/org/bytedeco/cpython/linux-x86_64 "$conda"
rm -rf "$conda"/{include,libs,share,python3.7,libjnipython.so} "$conda"/bin/{easy_install,pyvenv,c_rehash,idle,2to3,pydoc,pip}* \
  "$conda"/lib/python3.7/{idlelib,lib2to3/tests,ensurepip}
mv "$conda"/*.so* "$conda/lib"
echo /opt/conda/lib >root/etc/ld.so.conf.d/conda.conf
ldconfig -r root
chmod -R a+rX "$conda" && chmod a+x "$conda"/bin/*
ln -s python3.7 "$conda/bin/python"

# Installed from here, below the image's root: the image's own pip would need the builder's settings inside it.
pip=("$conda/bin/python3.7" -m pip install --quiet --no-compile --cert /etc/ssl/certs/ca-certificates.crt)
"${pip[@]}" pip==21.3.1
"${pip[@]}" --no-deps -r requirements.txt
grep -rlIZ "^#!$conda/bin/" "$conda/bin" | xargs -0 sed -i "1s|^#!$conda/bin/|#!/opt/conda/bin/|"
echo 'from pysqlite3._sqlite3 import *  # this CPython was built without' >"$conda/lib/python3.7/_sqlite3.py"

rm -rf root/etc/apt root/var/{cache,log,lib/apt}/* root/usr/share/{perl5,zoneinfo/right} root/run/determined
cp /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs/
mkdir -p root/run/determined/workdir
path=/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
inside() { chroot root env PATH=$path PYTHONDONTWRITEBYTECODE=1 "$@"; }
inside python -c 'import sys, boto3, grpc, jupyterlab, sqlite3; assert sys.version_info[:2] == (3, 7)'
# What the real image has not, a notebook must not find here; what the master's scripts run, it must.
for lacks in minio httpx papermill psycopg; do
  if inside python -c "import $lacks" 2>/dev/null; then exit 1; fi
done
inside bash -c 'set -e; /bin/which python3 bash tar seq getent whoami; python3 -m pip --version'
inside jupyter lab --version
find root -name __pycache__ -prune -exec rm -rf {} +
# Files of 2021: pip cannot pack what is older than 1980, as it does with itself to build a package.
tar -C root --sort=name --numeric-owner --mtime=@1622505600 -cf root.tar .
python3 /tools/mkimage.py "$OUT/images/environment.tar" determinedai/environments:py-3.7-pytorch-1.7-tf-1.15-cpu-baefbf7 --base-tar root.tar \
  --env PATH=$path --env LANG=C.UTF-8 --env LC_ALL=C.UTF-8 --env SHELL=/bin/bash --env PYTHONUNBUFFERED=1 --env PYTHONFAULTHANDLER=1 --env PYTHONHASHSEED=0 \
  --env JUPYTER_CONFIG_DIR=/run/determined/jupyter/config --env JUPYTER_DATA_DIR=/run/determined/jupyter/data \
  --env JUPYTER_RUNTIME_DIR=/run/determined/jupyter/runtime --workdir /run/determined/workdir --cmd '["python3"]'
