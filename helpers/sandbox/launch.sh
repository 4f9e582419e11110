#!/bin/bash
# launch.sh ROOT PIDFILE CGROUPS NSPAWN-ARGUMENTS...: the sandbox host's supervisor, in a mount namespace of its own.
# It moves into the cgroups listed in the file CGROUPS, so that the guest's stay apart from the machine's and from
# other sandboxes', then runs systemd-nspawn and starts it again when the guest reboots (--keep-unit: exit code 133).
root=$1 pidfile=$2 cgroups=$3; shift 3
sh "${0%/*}/apart.sh" "$root"
while read -r dir; do echo $$ > "$dir/cgroup.procs" || exit 1; done < "$cgroups"
# Where /run lies on a disk, nspawn refuses to remove its own directory there at a reboot.
mkdir -p /run/systemd/nspawn && mount -t tmpfs -o mode=755 tmpfs /run/systemd/nspawn || exit 1
stopping=
trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
while [ -z "$stopping" ]; do
  systemd-nspawn "$@" &
  child=$!
  # shellcheck disable=SC2086  # split on purpose: the start time is a field of its own
  read -r stat < /proc/$child/stat && echo "$child $(set -- ${stat##*)}; echo "${20}")" > "$pidfile"
  wait "$child"; code=$?
  while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
  child=
  [ "$code" = 133 ] || exit "$code"
done
