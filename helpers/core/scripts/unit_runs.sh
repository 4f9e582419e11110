# The unit $1 is active, starts at boot by $2, and was started after the last change of the files from $3 on.
unit=$1 enabled=$2
shift 2
state=$(systemctl is-active "$unit" || true)
[ "$state" = active ] || { echo "$unit is $state"; exit 1; }
systemctl is-enabled -q "$enabled" || { echo "$unit does not start at boot"; exit 1; }
since=$(date -d "$(systemctl show -p ActiveEnterTimestamp "$unit" | cut -d= -f2-)" +%s)
for f in "$@"; do
  [ "$(stat -c %Y "$f")" -le "$since" ] || { echo "$unit runs with settings older than $f"; exit 1; }
done
