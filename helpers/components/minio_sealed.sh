# Which root pair seals MinIO's users in the data directory $1? $2: its settings; $3: SHA-256 of our pair's two lines.
# Prints none (nothing is sealed), ours, another or unknown (no settings have a pair), with "begun" after ours and another
# where the former pair is still in the settings. From $4 on: with these words alone it is so.
data=$1 settings=$2 sum=$3
shift 3
said() {
  if [ $# = 1 ]; then echo "$1"; exit; fi
  [[ " ${*:2} " == *" $1 "* ]] || { echo "MinIO's users are sealed by a root pair that is not ours alone: $1"; exit 1; }
  exit 0
}
line() { { grep -s "^MINIO_$1=" "$settings" || grep -s "^MINIO_$2=" "$settings" | sed "s/^MINIO_$2/MINIO_$1/"; } | tail -n 1; }
[ -e "$data/.minio.sys/backend-encrypted" ] || said none "$@"
user=$(line ROOT_USER ACCESS_KEY || true) password=$(line ROOT_PASSWORD SECRET_KEY || true) begun=
[ -n "$user" ] && [ -n "$password" ] || said unknown "$@"
! grep -q '^MINIO_ROOT_PASSWORD_OLD=' "$settings" || begun=-begun
case $(printf '%s\n' "$user" "$password" | sha256sum) in "$sum "*) said ours$begun "$@" ;; *) said another$begun "$@" ;; esac
