#!/bin/sh
# tidy.sh: take away the groups that systemd-nspawn makes below ours (--keep-unit) and leaves. One in use stays.
while IFS=: read -r _ controllers path; do
  case $controllers in
    name=systemd) top=/sys/fs/cgroup/systemd ;;
    '') top=/sys/fs/cgroup/unified; [ -d $top ] || top=/sys/fs/cgroup ;;
    *) continue ;;
  esac
  rmdir "$top${path%/}/payload" "$top${path%/}/supervisor" 2> /dev/null || :
done < /proc/self/cgroup
