#!/bin/sh
# apart.sh ROOT: in this mount namespace, give up the disks of all sandboxes but the one that ROOT lies on. The copy of
# such a mount would hold a disk that its own sandbox has let go of.
while read -r _ _ _ _ point _; do
  case $point in
    */sandbox/*/disk)
      case $1/ in "$point"/*) ;; *) umount -l "$point" || : ;; esac ;;
  esac
done < /proc/self/mountinfo
