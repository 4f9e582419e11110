# A probe: the snap store has the channel TRACK/RISK of MicroK8s, or MicroK8s is here already. Names others if not.
snap list microk8s >/dev/null 2>&1 && exit 0
snap info microk8s | grep -E >/dev/null "^ +$1/$2:" || {
  snap info microk8s | grep -E '^ +[0-9]' | awk '{print $1}' | head -5
  exit 1
}
