# A probe: Kiali's password is not "admin".
found=$(microk8s kubectl get secret kiali -n istio-system -o jsonpath='{.data.passphrase}' 2>&1) || {
  echo "$found" | tail -1
  exit 1
}
[ "$found" != YWRtaW4= ] || { echo "Kiali's password is still admin"; exit 1; }
