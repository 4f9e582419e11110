# A probe: the alias kubectl of microk8s.kubectl is there ($1: there), or gone. A snapd that does not answer proves nothing.
if command -v snap >/dev/null; then
  said=$(LC_ALL=C snap aliases 2>&1) || { echo "cannot tell which aliases there are: ${said##*$'\n'}"; exit 1; }
else
  said=
fi
state=gone
! grep -qE '^microk8s.kubectl +kubectl ' <<< "$said" || state=there
[ $state = "$1" ] || { echo "the alias kubectl is $state"; exit 1; }
