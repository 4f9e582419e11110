# The unit $1 is active, starts at boot by $2, and was started after the last change of the files from $3 on.
unit=$1 enabled=$2
shift 2
state=$(systemctl is-active "$unit" || true)
[ "$state" = active ] || { echo "$unit is $state"; exit 1; }
systemctl is-enabled -q "$enabled" || { echo "$unit does not start at boot"; exit 1; }
note=/run/mlops-runbook/$unit
id=$(systemctl show -p InvocationID "$unit" | cut -d= -f2-)
noted=no
[ -z "$id" ] || [ "$(head -n 1 "$note" 2>/dev/null || true)" != "$id" ] || noted=yes
# Somebody else's start, or an older runbook's, has no note: its time is compared, for what the clock is worth.
since=$(date -d "$(systemctl show -p ActiveEnterTimestamp "$unit" | cut -d= -f2-)" +%s)
for f in "$@"; do
  sum=$(sha256sum "$f")
  if [ $noted = yes ] && grep -qF "  $f" "$note"; then
    grep -qxF -- "$sum" "$note" || { echo "$unit runs with settings older than $f"; exit 1; }
  else
    [ "$(stat -c %Y "$f")" -le "$since" ] || { echo "$unit runs with settings older than $f"; exit 1; }
  fi
done
