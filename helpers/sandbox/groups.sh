#!/bin/sh
# groups.sh: the groups that this process is in, of those that systemd-nspawn makes its own below (--keep-unit).
while IFS=: read -r _ controllers path; do
  case $controllers in
    name=systemd) top=/sys/fs/cgroup/systemd ;;
    '') top=/sys/fs/cgroup/unified; [ -d $top ] || top=/sys/fs/cgroup ;;
    *) continue ;;
  esac
  printf '%s\n' "$top${path%/}"
done < /proc/self/cgroup
