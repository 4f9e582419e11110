# Each package, from $2 on, is "there" or "gone", as $1 says; else its name and exit 1.
want=$1
shift
for p in "$@"; do
  state=gone
  if dpkg-query -W -f '${db:Status-Abbrev}\n' "$p" 2>/dev/null | grep >/dev/null '^ii'; then state=there; fi
  [ "$state" = "$want" ] && continue
  if [ "$want" = there ]; then echo "$p is not installed"; else echo "$p is installed"; fi
  exit 1
done
