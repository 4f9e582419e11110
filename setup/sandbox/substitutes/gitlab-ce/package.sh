#!/bin/bash
# The package gitlab-ce: the double's Python, its commands and unit, under the address of a download by hand.
# build.sh puts it into an apt repository.
set -euo pipefail
version=13.12.15-ce.0
root=$PWD/root
mkdir -p "$root"/{DEBIAN,opt/gitlab/{bin,etc,embedded},usr/lib/systemd/system}
cp -r double "$root/opt/gitlab/embedded/"
cp gitlab.rb.template "$root/opt/gitlab/etc/"
cp gitlab-runsvdir.service "$root/usr/lib/systemd/system/"
for name in ctl rails; do
  printf '#!/bin/sh\nexec /usr/bin/python3 /opt/gitlab/embedded/double/gitlab_%s.py "$@"\n' "$name" > "$root/opt/gitlab/bin/gitlab-$name"
done
printf '#!/bin/sh\necho "this stand-in has no Redis" >&2\nexit 1\n' > "$root/opt/gitlab/bin/gitlab-redis-cli"
cp control postinst postrm prerm "$root/DEBIAN/"
chmod 755 "$root"/DEBIAN/p* "$root"/opt/gitlab/bin/*
chmod -R go=u-w "$root"
folder=$OUT/packages.gitlab.com/gitlab/gitlab-ce/packages/ubuntu/focal/gitlab-ce_${version}_amd64.deb
mkdir -p "$folder"
# The same sources give the same bytes.
export SOURCE_DATE_EPOCH=0
find "$root" -exec touch -h -d @0 {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$folder/download" > /dev/null
