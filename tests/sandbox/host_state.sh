# What there is on a host, as lines: files (mode, owner, size, mtime, path), users, packages, units, main processes, the
# cluster's objects or what is left of one, and the databases.

# Left out is what a running system changes by itself (a pod that ends gives its address back), what cloud-init, apt-daily
# and snapd write in a fresh host's first minutes, and the package manager's own bookkeeping, at midnight in /var/backups.
# Label Studio notes when its user was last there, Determined that somebody logged in, GitLab when a token was last used.
find / -xdev \( \
  -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /home \
  -o -path /var/log -o -path /var/cache \
  -o -path /var/backups -o -path /var/lib/cloud -o -path /var/lib/runbook-kind -o -path /var/lib/snapd/seeding \
  -o -path /var/lib/systemd -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/ucf \
  -o -path '/var/lib/postgresql/*/main' \
  -o -path '/var/snap/*/common/default-storage/determined-*/data' \
  -o -path /var/lib/label-studio/label_studio.sqlite3 \
  -o -path '/var/opt/gitlab/*' \
  -o -path /var/lib/containerd -o -path '/var/lib/cni/*' \
  -o -path '/var/snap/*/var/run' -o -path '/var/snap/*/var/lib/containerd' \
  -o -path '/var/snap/*/common/var/lib/kubelet' -o -path '/var/snap/*/common/run' \
  -o -name '*.rendered' -o -path ~root/.kube/cache \
  -o -path /usr/share/doc -o -path /usr/share/man -o -path /usr/share/locale \
  \) -prune -o \( -type f -o -type l -o -type d \) \
  -printf '%y %m %u:%g %s %T@ %p %l\n' | sed -E 's/^d ([^ ]+ [^ ]+) [^ ]+ [^ ]+/d \1/' | sort -k5

echo "== users"
getent passwd
getent group
echo "== packages"
dpkg -l | awk '/^[a-z][a-z] / {print $1, $2, $3}'
echo "== units"
systemctl list-unit-files --no-legend --plain | grep -v ' transient' | awk '{print $1, $2}' | sort
echo "== running"
for u in minio postgresql@15-main; do echo "$u $(systemctl show -p MainPID $u)"; done
echo "== cluster"
! command -v microk8s >/dev/null || ! systemctl is-active -q snap.microk8s.daemon-apiserver ||
  microk8s kubectl get deploy,ds,sts,svc,cm,sa,secret,pvc,pv,sc,ns,clusterrole -A --no-headers \
    -o custom-columns=K:.kind,NS:.metadata.namespace,N:.metadata.name,G:.metadata.generation
echo "== databases"
! command -v pg_dumpall >/dev/null || ! systemctl is-active -q postgresql@15-main ||
  runuser -u postgres -- pg_dumpall 2>/dev/null | grep -vE '^.(un)?restrict '
echo "== left of a cluster"
[ -e /snap/microk8s ] || {
  set +e
  ls -d /run/netns/cni-* /var/lib/cni/* /var/lib/kubelet 2>/dev/null
  grep -lsE ':/kubepods' /proc/[0-9]*/cgroup | cut -d/ -f3 | xargs -r ps -o 'comm=' -p
  iptables-save 2>/dev/null | grep -E -e '-j (KUBE-[ESNP]|CNI-)' -e 'for MicroK8s pods'
  ip -o link | grep -oE '(cali[0-9a-f]{11}|vxlan.calico)'
  true
} | sed 's/^/kube: /'
