# $KIND $NAME was made by a runbook that kept no note, by MinIO's settings $1 and its data directory $2.
# A data directory is nobody's but the user's that owns it, wherever it was moved to.
if [ "$KIND" = folder ] && [ "$(stat -c %U "$NAME")" != minio-user ]; then exit 1; fi
if [ -n "$NOTED" ]; then [ "$KIND" = folder ]; exit; fi
# The settings are ours; or an install was cut off before them, and the user is as we make it.
if [ -e "$1" ]; then
  head -n 1 "$1" | grep -q '^# Written by the runbook, chapter 05'
else
  getent passwd minio-user | grep -q ":$2:/usr/sbin/nologin$"
fi
