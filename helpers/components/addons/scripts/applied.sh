# A function of knative_finish.sh and istio_finish.sh.
# shellcheck shell=bash
applied() {  # FILE or folder: kubectl apply, as far apart as `microk8s enable knative` tries it ten times, for 5 minutes
  local until=$((SECONDS + 300))
  until microk8s kubectl apply -f "$1"; do
    [ $SECONDS -lt $until ] || return 1
    echo "not all of $1 was applied"
    sleep 3
  done
}
