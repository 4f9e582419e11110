# Each package, from $2 on, is "there" or "gone", as $1 says; else its name and exit 1.
want=$1
shift
for p in "$@"; do
  state=gone code=0
  said=$(dpkg-query -W -f '${db:Status-Abbrev}\n' "$p" 2>/dev/null) || code=$?
  [ $code -lt 2 ] || { echo "cannot tell whether $p is installed: dpkg-query ended with $code"; exit 1; }
  case $said in ?i*) state=there ;; esac
  [ "$state" = "$want" ] && continue
  if [ "$want" = there ]; then echo "$p is not installed"; else echo "$p is installed"; fi
  exit 1
done
