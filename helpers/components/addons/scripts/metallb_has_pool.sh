# A probe: MetalLB's addresses are exactly these RANGES (first-last, with a space between two).
found=$(microk8s kubectl get configmap config -n metallb-system -o jsonpath='{.data.config}' 2>&1) || {
  echo "MetalLB has no configuration: $found" | tail -1
  exit 1
}
found=$(echo "$found" | grep -oE '[0-9.]+-[0-9.]+' | tr '\n' ' ')
[ "$found" = "$1 " ] || { echo "MetalLB's pool is ${found:-empty}, not $1"; exit 1; }
