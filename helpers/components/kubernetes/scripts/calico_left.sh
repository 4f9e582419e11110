# Takes away the links that Calico made and MicroK8s' own removal leaves, unless another Calico runs on this host. Its
# iptables chains and ipsets (cali-*) match nothing without them, and go with the next boot: whoever takes them out of
# the rules of others by hand does more harm.
if command -v pgrep >/dev/null && ! pgrep -x calico-node >/dev/null; then
  for link in $(ip -o link show | sed -nE 's/^[0-9]+: (vxlan\.calico|cali[0-9a-f]{11})[@:].*/\1/p'); do
    ip link delete "$link" || true # a pod's goes by itself when its other end does
  done
fi
