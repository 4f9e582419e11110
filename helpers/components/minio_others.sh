# No bucket but those in "${@:2}" holds anything in the data directory $1: a bucket is a folder of it. A server that is
# not running is a no, for what lies there may not be all that it serves. One that is disabled was on its way out.
# What cannot be read counts as something.
no() { echo "$1"; exit 1; }
first() { find "$@" -print -quit || echo unread; }
[ -d "$1" ] && [ -n "$(first "$1" -mindepth 1 -maxdepth 1 ! -name lost+found)" ] || exit 0
tells=$(systemctl show -p LoadState -p UnitFileState -p ActiveState minio.service) ||
  no "cannot tell which buckets there are: systemctl does not say whether MinIO runs"
case $tells in
  *LoadState=not-found* | *ActiveState=active* | *UnitFileState=disabled*) ;;
  *) no "cannot tell which buckets there are: minio.service is there and does not run" ;;
esac
ours=()
for name in lost+found "${@:2}"; do ours+=(! -name "$name"); done
there=$(find "$1" -mindepth 1 -maxdepth 1 -type d ! -name '.*' "${ours[@]}")
while read -r d; do
  [ -z "$d" ] || [ -z "$(first "$d" -type f)" ] || no "found: bucket ${d##*/}"
done <<< "$there"
