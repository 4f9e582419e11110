# The package $1 goes when its install or upgrade was cut off. Apt's functions, which come next, would finish that first:
# its scripts start GitLab anew, and its users' processes keep the users from going. To purge, dpkg configures nothing.
cut_off_goes() {
  local state said
  state=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null) || return 0
  case $state in installed | config-files | not-installed) return 0 ;; esac
  for _ in $(seq 100); do
    said=$(LC_ALL=C dpkg --force-remove-reinstreq --purge "$1" 2>&1) && return 0
    case $said in *"is locked by another process"* | *"lock was locked"*) sleep 3 ;; *) break ;; esac
  done
  echo "$said" >&2
  return 1
}
cut_off_goes "$1"
