#!/bin/sh
# confine.sh ROOT WORD... -- COMMAND...: run COMMAND inside ROOT as a root to whom this machine gives nothing: with users
# of its own (files keep theirs, by idmapped mounts), devices of its own, ROOT, /proc/sys and /sys read-only. The network is
# this machine's: registries of packages may be reached through a proxy here. WORDs are systemd-nspawn's. Started by
# `unshare --mount --pid --fork`, so that all of it ends with the last process, also after a kill -9.
set -eu
here=${0%/*} root=$1; shift
sh "$here/apart.sh" "$root"
mount -t proc proc /proc
mkdir -p /run/systemd/nspawn && mount -t tmpfs -o mode=755 tmpfs /run/systemd/nspawn
# Builds beside each other share ROOT, whose lock nspawn would keep for the first.
export SYSTEMD_NSPAWN_LOCK=0
# Groups of its own: below shared ones, one that ends would take those away that another has just made.
ours=$(sh "$here/groups.sh") name=runbook-build-$(od -An -N6 -tx1 /dev/urandom | tr -d ' ')
each() {  # in this shell itself, which is what moves
  while read -r group; do "$1" || :; done << GROUPS
$ours
GROUPS
}
enter() {  # more than once: tidy.sh may take an empty one away
  for _ in 1 2 3 4 5; do mkdir -p "$group/$name" && echo 0 > "$group/$name/cgroup.procs" && break; done
}
leave() { echo 0 > "$group/cgroup.procs"; rmdir "$group/$name/payload" "$group/$name/supervisor" "$group/$name"; }
each enter
code=0
# The users are the last 65536 of those that systemd keeps for containers.
systemd-nspawn --quiet --register=no --keep-unit --settings=no --directory="$root" --machine=build --as-pid2 --pipe \
  --private-users=1878982656:65536 --private-users-ownership=map --link-journal=no --resolv-conf=off --timezone=off \
  --read-only --tmpfs=/root:mode=0700 --tmpfs=/var/tmp:mode=1777 \
  "$@" || code=$?
each leave 2> /dev/null
exit $code
