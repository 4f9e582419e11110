# apart.sh, read by enter.sh and launch.sh with $keep set: in this mount namespace, gives up the disks of all sandboxes
# but the one that $keep lies on. A copy of such a mount would hold a disk that its own sandbox has let go of.
while read -r _ _ _ _ point _; do
  case $point in
    */sandbox/*/disk)
      case $keep/ in "$point"/*) ;; *) umount -l "$point" || : ;; esac ;;
  esac
done < /proc/self/mountinfo
