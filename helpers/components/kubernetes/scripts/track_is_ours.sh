# A probe: MicroK8s is not installed, or from this TRACK. Another one's cluster cannot be read by this one's program.
if not_installed; then exit 0; fi
found=$(snap list microk8s) || { echo 'cannot tell whether MicroK8s is installed: see sudo snap list'; exit 1; }
found=$(awk '$1 == "microk8s" {print $4}' <<< "$found")
[ "${found%%/*}" = "$1" ] || { echo "MicroK8s is installed from ${found:-no channel}, not from track $1"; exit 1; }
