#!/bin/sh
# enter.sh ROOT [SOURCE:TARGET ...] -- COMMAND...: run COMMAND inside ROOT. Started by `unshare --mount --pid --fork`,
# so that every mount made here ends with the last process, also after a kill -9.
set -eu
root=$1; shift
sh "${0%/*}/apart.sh" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
while [ "$1" != -- ]; do
  source=${1%%:*} target=$root${1#*:}
  if [ -d "$source" ]; then mkdir -p "$target"; else touch "$target"; fi
  mount --bind "$source" "$target"
  shift
done
shift
exec chroot "$root" "$@"
