# A probe: Kiali's password is not "admin", and not in the annotation in which `kubectl apply` keeps what it is given.
note='{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}'
found=$(microk8s kubectl get secret kiali -n istio-system -o jsonpath="{.data.passphrase}|$note" 2>&1) || {
  echo "$found" | tail -1
  exit 1
}
word=${found%%|*}
[ "$word" != YWRtaW4= ] || { echo "Kiali's password is still admin"; exit 1; }
case ${found#*|} in *"\"$word\""*) echo "Kiali's password stands in an annotation, in clear"; exit 1;; esac
