# What MicroK8s 1.20's own removal leaves: its pods run on, rules lead to them, and links, network namespaces and libcni's
# notes stay. Its snap may be away already: its pods are known by their root below its folder, its shims by containerd's
# address. Another Kubernetes' pods have the same groups, but neither of these; one in a machine on this host has both,
# but in groups and process ids of that machine.
_root='^([^ ]+ ){3}([^ ]*/microk8s/common/var/lib/containerd/[^ ]* / |[^ ]+ / .*dir=[^ ]*/microk8s/common/var/lib/containerd/)'
_socket=/var/snap/microk8s/common/run/containerd.sock
_pods= # that were found, also where no process of theirs has that root any more
_left= # process ids

of_this_host() { [ "$(readlink "/proc/$1/ns/pid")" = "$(readlink /proc/self/ns/pid)" ]; }

# named PATTERN: ids of the processes with such a name
named() { grep -lxsE "$1" /proc/[0-9]*/comm | cut -d/ -f3 || true; }

find_pods() {
  local pid found
  found=$(grep -lsE "$_root" /proc/[0-9]*/mountinfo | cut -d/ -f3 || true)
  found=$(
    for pid in $found; do
      sed -nE 's|^[0-9]+:[^:]*:/kubepods.*pod([0-9a-f][0-9a-f_-]{31,35}).*|\1|p' "/proc/$pid/cgroup" 2>/dev/null || true
    done
  )
  _pods=$(printf '%s\n' $_pods $found | sort -u)
  found=$(
    for pid in $(named 'containerd-shim.*'); do
      ! of_this_host "$pid" || ! grep -qsxzF "$_socket" "/proc/$pid/cmdline" || echo "$pid"
    done
  )
  if [ -n "$_pods" ]; then
    found+=" $(grep -lsE ":/kubepods.*pod($(paste -sd'|' <<< "$_pods"))" /proc/[0-9]*/cgroup | cut -d/ -f3 || true)"
  fi
  _left=$(printf '%s\n' $found | sort -un)
}

pods_told() {
  [ -z "$_left" ] || {
    echo "MicroK8s' pods still run: $(ps -o comm= -p "$(paste -sd, <<< "$_left")" | sort -u | paste -sd' ')" >&2
    return 1
  }
}

pods_end() {
  systemctl stop snap.microk8s.daemon-kubelet.service >/dev/null 2>&1 || true # it would start them anew
  for _ in $(seq 100); do
    find_pods
    [ -n "$_left" ] || return 0
    kill -KILL $_left 2>/dev/null || true
    sleep 0.1
  done
  pods_told
}

# Beside MicroK8s one runs, or ran, on this host: it has the same names for rules and folders.
another_kubernetes() {
  local pid
  for pid in $(named 'kubelet|k3s.*|k0s|rke2'); do
    case $(readlink "/proc/$pid/exe") in /snap/microk8s/*) continue ;; esac
    ! of_this_host "$pid" || grep -qs 'snap\.microk8s\.' "/proc/$pid/cgroup" || return 0
  done
  [ -n "$(ls -d /etc/kubernetes/kubelet.conf /etc/rancher/k3s /etc/rancher/rke2 /var/lib/k0s 2>/dev/null)" ]
}

# MicroK8s has its network's settings below its own folder.
another_network() { another_kubernetes || [ -n "$(ls -A /etc/cni/net.d 2>/dev/null)" ]; }

# kube-proxy takes its rules away, run as the service is, with the iptables that it has. It alone sees that argument. It
# ends with 1 where there is no ipset, or no set of another mode's: the rules tell.
rules_go() {
  local args=/var/snap/microk8s/current/args/kube-proxy with
  [ -f $args ] || return 0
  if another_kubernetes; then
    echo "left: iptables' KUBE-*, which may be another Kubernetes'"
    return 0
  fi
  systemctl stop snap.microk8s.daemon-proxy.service >/dev/null 2>&1 || true
  with=$(mktemp)
  { cat $args && echo --cleanup; } > "$with"
  timeout 180 unshare -m bash -c 'mount --bind "$0" "$1" && exec snap run microk8s.daemon-proxy' "$with" $args \
    >/dev/null 2>&1 || true
  rm -f "$with"
  ! { iptables-save || true; iptables-legacy-save || true; } 2>/dev/null | grep >/dev/null -e '-j KUBE-SERVICES' ||
    echo "left until the next boot: iptables' KUBE-*; kube-proxy --cleanup did not take them away"
}

# What libcni and the kubelet made beside the snap's folders.
files_left() {
  local inside path
  another_network || {
    inside=$(stat -Lc %i /proc/[0-9]*/ns/net 2>/dev/null | sort -u || true)
    for path in /run/netns/cni-*; do
      [ ! -e "$path" ] || grep -qx "$(stat -Lc %i "$path")" <<< "$inside" || echo "$path"
    done
    ls -d /var/lib/cni/*/{cni-loopback,k8s-pod-network,microk8s-flannel-network}* 2>/dev/null || true
  }
  another_kubernetes || ls -d /var/lib/kubelet/device-plugins 2>/dev/null || true
}

files_go() {
  local path
  for path in $(files_left); do
    case $path in /run/netns/*) umount -l "$path" 2>/dev/null || true ;; esac # a pod's links go with it
    rm -rf --one-file-system "$path"
  done
  rmdir /var/lib/kubelet /var/lib/cni/{results,networks,cache} /var/lib/cni 2>/dev/null || true
  ! another_network || echo "left: /run/netns/cni-* and /var/lib/cni, which others on this host use"
  rm -rf ~root/.kube/cache
  find ~root/.kube /usr/libexec/kubernetes -depth -type d -empty -delete 2>/dev/null || true
}

# Calico's, where no other one runs. Its chains and ipsets (cali-*) match nothing without them, and go with the next
# boot: whoever takes them out of the rules of others by hand does more harm.
links_left() {
  [ -n "$(named calico-node)" ] || ip -o link show | sed -nE 's/^[0-9]+: (vxlan\.calico|cali[0-9a-f]{11})[@:].*/\1/p'
}

links_go() {
  local link
  for link in $(links_left); do ip link delete "$link" || true; done
}

nothing_left() {
  local found
  find_pods
  pods_told || return 1
  found=$(files_left && links_left)
  [ -z "$found" ] || { echo "still there: ${found//$'\n'/ }"; return 1; }
}
