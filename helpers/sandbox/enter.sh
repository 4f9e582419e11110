#!/bin/sh
# enter.sh ROOT [SOURCE:TARGET ...] -- COMMAND...: run COMMAND inside ROOT. Started by `unshare --mount --pid --fork`,
# so that every mount made here ends with the last process, also after a kill -9.
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
while [ "$1" != -- ]; do
  mkdir -p "$root/${1#*:}"
  mount --bind "${1%%:*}" "$root/${1#*:}"
  shift
done
shift
exec chroot "$root" "$@"
