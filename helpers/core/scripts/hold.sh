# Holds the lock $1 until standard input ends, and says so. $2: seconds to wait for a run that is just ending.
# $3: who has it, for a person.  $4: by which its owner's machine can prove that the owner is dead.
# $5: the process that holds it for such a dead owner; it is ended.
umask 077
exec 9>> "$1"
if ! flock -n 9; then
  [ "$(head -n 1 "$1")" != "$5" ] || kill "$5" || true
  flock -w "$2" 9 || { echo "@@runbook taken $(tr '\n' '\t' < "$1")"; exit 0; }
fi
printf '%s\n' $$ "$4" "$3, since $(date -u '+%Y-%m-%d %H:%M:%S') UTC by the host's clock" > "$1"
echo "@@runbook held"
exec cat > /dev/null
