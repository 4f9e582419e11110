# Purge the packages that the note $1 says this chapter's install brought, but for those that another one needs by now.
# From $2 on: what undoes an install without a note, when apt's history has lost it.
# No apt autoremove: the host's other orphans are its owner's, and it keeps what a package forbids it (postgresql-15 does).
goes() { apt-get -s purge "$@" | awk '$1 == "Purg" || $1 == "Remv" {print $2}' | sed 's/:.*//'; }
listed=()
for p in $(sed -n 's/.*"kind": "package", "name": "\([^"]*\)", "before": "\(away\|settings\)"}.*/\1/p' "$1" 2>/dev/null || true); do
  if dpkg-query -W "$p" >/dev/null 2>&1; then listed+=("${p%%:*}"); fi
done
# One that an installed package suggests (as libc6 does locales) stays, as with apt: it would take settings that were here.
suggested=$(dpkg-query -W -f '${Package}:${Recommends}, ${Suggests}\n' | grep -vE "^($(IFS='|'; echo "${listed[*]}")):" |
  cut -d: -f2- | tr ',|' '\n\n' | awk '{print $1}' | sort -u) || true
mapfile -t listed < <(printf '%s\n' "${listed[@]}" | grep -vxFf <(printf '%s\n' "$suggested" | sed '/^$/d') | sed '/^$/d' || true)
others() { grep -vxFf <(printf '%s\n' "${listed[@]}") <<< "$1" || true; }
if ! grep -qsF '"kind": "package"' "$1" || grep -qsF '"from": "list"' "$1"; then
  apt purge "${@:2}"
elif [ ${#listed[@]} -gt 0 ]; then
  ours=("${listed[@]}")
  if [ -n "$(others "$(goes "${listed[@]}")")" ]; then
    ours=()
    for p in "${listed[@]}"; do [ -n "$(others "$(goes "$p")")" ] || ours+=("$p"); done
  fi
  # One that had been removed before, and its settings kept, is so again: first, for purge purges what goes along.
  kept=$(sed -n 's/.*"kind": "package", "name": "\([^":]*\)[^"]*", "before": "settings".*/\1/p' "$1")
  mapfile -t removed < <(printf '%s\n' "${ours[@]}" | grep -xFf <(sed '/^$/d' <<< "$kept") | sed '/^$/d' || true)
  mapfile -t purged < <(printf '%s\n' "${ours[@]}" | grep -vxFf <(sed '/^$/d' <<< "$kept") | sed '/^$/d' || true)
  [ ${#removed[@]} = 0 ] || apt remove "${removed[@]}"
  [ ${#purged[@]} = 0 ] || apt purge "${purged[@]}"
fi
