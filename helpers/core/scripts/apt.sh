# An install that was cut off leaves packages half-configured. And a fresh host's own apt holds the locks for minutes:
# apt waits for dpkg's lock when told to (Ubuntu 18.04's does not know how), dpkg does not, nobody for that of the lists.
locked() {
  case $said in *"E: Could not get lock"* | *"is locked by another process"* | *"lock was locked"*) sleep 3 ;; *) return 1 ;; esac
}
apt() {
  for _ in $(seq 100); do
    said=$(apt-get -qy -o DPkg::Lock::Timeout=300 "$@" 2>&1 | tee >(cat >&2)) && return 0
    locked || return 1
  done
  return 1
}
settle() {
  for _ in $(seq 100); do
    said=$(dpkg --configure -a 2>&1) && return 0
    locked || break
  done
  echo "$said" >&2
  return 1
}
# The host's sources are its owner's. One that is gone (a 404) is told, and no reason to stop: what is wanted lies in
# others, or apt says that it is nowhere.
update() {
  for _ in $(seq 100); do
    said=$(flock /run/lock/runbook-apt apt-get -qy update 2>&1) && echo "$said" && return 0
    locked || break
  done
  echo "apt-get update did not end well; going on with the lists that are there:" >&2
  echo "$said" | grep -E '^[EW]: ' | tail -n 4 >&2 || echo "$said" | tail -n 4 >&2
}
settle
