#!/bin/bash
# An apt repository for each release with the package $1, as its publisher has them, signed by a key that is made here and
# thrown away.
set -euo pipefail
deb=$1
export GNUPGHOME=$PWD/keys
mkdir -m 0700 "$GNUPGHOME"
gpg=(gpg --batch --quiet --pinentry-mode loopback --passphrase "")
"${gpg[@]}" --quick-generate-key "the sandbox's stand-in for packages.gitlab.com" rsa3072 sign never
folder=$OUT/packages.gitlab.com
mkdir -p "$folder/gpgkey"
"${gpg[@]}" --armor --export > "$folder/gpgkey/gpg.key"
# Upstream has this version for Ubuntu 16.04 to 20.04 and Debian 9 and 10; the sandbox's hosts are newer.
for release in ubuntu/{bionic,focal,jammy,noble} debian/{buster,bullseye,bookworm,trixie}; do
  name=${release#*/}
  top=$folder/gitlab/gitlab-ce/$release
  file=pool/main/g/gitlab-ce/gitlab-ce_$(dpkg-deb -f "$deb" Version)_amd64.deb
  index=dists/$name/main/binary-amd64
  mkdir -p "$top/$index" "$(dirname "$top/$file")"
  cp "$deb" "$top/$file"
  {
    dpkg-deb -f "$deb"
    printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$deb")" "$(sha256sum < "$deb" | cut -d' ' -f1)"
  } > "$top/$index/Packages"
  gzip -9nk "$top/$index/Packages"
  {
    printf 'Origin: the sandbox\nLabel: gitlab-ce\nSuite: %s\nCodename: %s\nArchitectures: amd64\nComponents: main\n' "$name" "$name"
    printf 'Date: %s\nSHA256:\n' "$(LC_ALL=C date -Ru)"
    for list in Packages Packages.gz; do
      printf ' %s %s main/binary-amd64/%s\n' "$(sha256sum < "$top/$index/$list" | cut -d' ' -f1)" "$(stat -c %s "$top/$index/$list")" "$list"
    done
  } | "${gpg[@]}" --clearsign > "$top/dists/$name/InRelease"
done
gpgconf --kill all
rm -r "$GNUPGHOME"
