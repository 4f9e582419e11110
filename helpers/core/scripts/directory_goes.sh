# The directory $1 goes; of a disk that is mounted there, what is on it, and the mount point is root's.
if mountpoint -q "$1"; then
  find "$1" -xdev -mindepth 1 ! -path "$1/lost+found*" -delete
  chown root:root "$1"
else rm -rf --one-file-system "$1"; fi
