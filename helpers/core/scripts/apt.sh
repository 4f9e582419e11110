# apt waits for its lock when told to, dpkg does not; an install that was cut off leaves packages half-configured.
apt() { apt-get -qy -o DPkg::Lock::Timeout=300 "$@"; }
settle() {
  for _ in $(seq 100); do
    said=$(dpkg --configure -a 2>&1) && return 0
    case $said in *lock*) sleep 3 ;; *) break ;; esac
  done
  echo "$said" >&2
  return 1
}
# DPkg::Lock::Timeout is for dpkg's lock; a fresh host's apt-daily holds the one of the lists.
update() {
  for _ in $(seq 100); do
    said=$(flock /run/lock/runbook-apt apt-get -qy update 2>&1) && echo "$said" && return 0
    case $said in *"Could not get lock"*) sleep 3 ;; *) break ;; esac
  done
  echo "$said" >&2
  return 1
}
settle
