# Which secrets are installed on this host: $1/secrets/NAME has a salted hash. $2: list, note (NAME LINE ...) or
# forget (NAME ...).
base=$1 verb=$2
shift 2
umask 077
case $verb in
  list)
    [ -e "$base/secrets" ] || exit 0
    for file in "$base"/secrets/*; do
      [ ! -e "$file" ] || echo "installed ${file##*/} $(cat "$file")"
    done ;;
  note)
    mkdir -p "$base/secrets"
    chmod 0700 "$base"
    while [ $# -gt 0 ]; do
      printf '%s\n' "$2" > "$base/secrets/.$1"
      sync "$base/secrets/.$1"
      mv -fT "$base/secrets/.$1" "$base/secrets/$1"
      shift 2
    done ;;
  forget)
    for name in "$@"; do rm -f "$base/secrets/$name" "$base/secrets/.$name"; done
    rmdir "$base/secrets" "$base" 2>/dev/null || true ;;
esac
