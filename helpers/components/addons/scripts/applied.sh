# A function of knative_finish.sh and istio_finish.sh.
# shellcheck shell=bash
applied() {  # FILE or folder: kubectl apply, as often and as far apart as `microk8s enable knative` tries it
  local try
  for try in 1 2 3 4 5 6 7 8 9 10; do
    microk8s kubectl apply -f "$1" && return
    echo "not all of $1 was applied, try $try"
    sleep 3
  done
  return 1
}
