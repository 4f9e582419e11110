# Purge the packages that the note $1 says this chapter's install brought, but for those that another one needs by now.
# $2: the packages that it asked for. From $3 on: what undoes an install without a note that apt's history has lost.
# No apt autoremove: other orphans of the host are its owner's.
listed=$(sed -n 's/.*"kind": "package", "name": "\([^"]*\)", "before": "away"}.*/\1/p' "$1" 2>/dev/null || true)
if [ -z "$listed" ]; then
  apt purge "${@:3}"
else
  for p in $2; do
    if grep -qxF "$p" <<< "$listed" && dpkg-query -W "$p" >/dev/null 2>&1; then apt-mark auto "$p"; fi
  done
  unneeded=$(apt-get -s -o APT::AutoRemove::SuggestsImportant=false autoremove | awk '$1 == "Remv" {print $2}')
  ours=$(grep -xFf <(sed 's/:.*//' <<< "$listed") <(sed 's/:.*//' <<< "$unneeded") || true)
  # What is removed but for its settings is no orphan.
  left=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' | awk '$2 ~ /^rc/ {print $1}' |
    grep -xFf <(sed 's/:.*//' <<< "$listed") || true)
  # shellcheck disable=SC2086 # words
  [ -z "$ours$left" ] || apt purge $ours $left
fi
