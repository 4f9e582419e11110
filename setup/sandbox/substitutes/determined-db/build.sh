#!/bin/bash
# postgres:10.14, the database of Determined's chart, from Debian bookworm's PostgreSQL 15.
set -euo pipefail
mkdir -p "$OUT/images"
thin=()
for folder in doc man locale info; do thin+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
mmdebstrap --quiet --mode=root --variant=essential --include=postgresql-15,tzdata,netbase --aptopt=/etc/apt/apt.conf.d/90machine \
  --aptopt='APT::Install-Recommends "false"' "${thin[@]}" bookworm root /etc/apt/sources.list
cp entrypoint root/usr/local/bin/docker-entrypoint.sh
chmod 755 root/usr/local/bin/docker-entrypoint.sh
ln -s /usr/local/bin/docker-entrypoint.sh root/docker-entrypoint.sh
# The cluster that the package made: an image brings none. The user's number is the real image's.
rm -rf root/var/lib/postgresql/* root/etc/postgresql/* root/etc/apt root/var/{cache,log,lib/apt}/* root/usr/share/zoneinfo/right
# Half the size: no just-in-time compiler (it is switched off where it is missing), no Perl beyond Debian's essential one.
rm -rf root/usr/lib/x86_64-linux-gnu/{libLLVM*,libz3*,perl} root/usr/lib/postgresql/15/lib/{bitcode,llvmjit*} root/usr/share/perl
chroot root groupmod --gid 999 --non-unique postgres
chroot root usermod --uid 999 --non-unique --home /var/lib/postgresql postgres
mkdir -p root/var/lib/postgresql/data root/run/postgresql   # /var/run is a link, which would lead out of root
chroot root chown -R postgres:postgres /var/lib/postgresql /run/postgresql
chmod 700 root/var/lib/postgresql/data
chmod 2777 root/run/postgresql
chroot root /usr/lib/postgresql/15/bin/postgres --version
tar -C root --sort=name --numeric-owner --mtime=@0 -cf root.tar .
python3 /tools/mkimage.py "$OUT/images/postgres.tar" postgres:10.14 --base-tar root.tar --env LANG=C.UTF-8 --env PG_MAJOR=15 \
  --env PGDATA=/var/lib/postgresql/data --env PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  --entrypoint '["docker-entrypoint.sh"]' --cmd '["postgres"]'
