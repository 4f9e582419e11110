# A probe: these services of MicroK8s run.
for unit in "$@"; do
  state=$(systemctl is-active "snap.microk8s.daemon-$unit" || true)
  [ "$state" = active ] || { echo "snap.microk8s.daemon-$unit is $state"; exit 1; }
done
