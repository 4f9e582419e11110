"""A target's state, for comparing before and after."""

from __future__ import annotations

import re

# What a running system changes by itself (a pod that ends gives its address back), and the package manager's own bookkeeping. Label Studio notes when its user was last there, Determined that somebody logged in.
_FILES = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log -o -path /var/cache \
  -o -path /var/lib/systemd -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/ucf -o -path '/var/lib/postgresql/*/main' -o -path '/var/snap/*/common/default-storage/determined-*/data' -o -path /home -o -path /var/lib/label-studio/label_studio.sqlite3 \
  -o -path /var/lib/containerd -o -path '/var/lib/cni/*' -o -path '/var/snap/*/var/run' -o -path '/var/snap/*/var/lib/containerd' -o -path '/var/snap/*/common/var/lib/kubelet' -o -path '/var/snap/*/common/run' -o -name '*.rendered' -o -path ~root/.kube/cache -o -path /usr/share/doc -o -path /usr/share/man -o -path /usr/share/locale \) -prune -o \( -type f -o -type l -o -type d \) \
  -printf '%y %m %u:%g %s %T@ %p %l\n' | sed -E 's/^d ([^ ]+ [^ ]+) [^ ]+ [^ ]+/d \1/' | sort -k5
"""
_REST = r"""
echo "== users"; getent passwd; getent group
echo "== packages"; dpkg -l | awk '/^[a-z][a-z] / {print $1, $2, $3}'
echo "== units"; systemctl list-unit-files --no-legend --plain | grep -v ' transient' | awk '{print $1, $2}' | sort
echo "== running"; for u in minio postgresql@15-main; do echo "$u $(systemctl show -p MainPID $u)"; done
echo "== cluster"; ! command -v microk8s >/dev/null || ! systemctl is-active -q snap.microk8s.daemon-apiserver || microk8s kubectl get deploy,ds,sts,svc,cm,sa,secret,pvc,pv,sc,ns,clusterrole -A --no-headers -o custom-columns=K:.kind,NS:.metadata.namespace,N:.metadata.name,G:.metadata.generation
echo "== databases"; ! command -v pg_dumpall >/dev/null || ! systemctl is-active -q postgresql@15-main || runuser -u postgres -- pg_dumpall 2>/dev/null | grep -vE '^.(un)?restrict '
"""


def state(host):
    """The host's files (mode, owner, size, mtime, path), users, packages, units, main processes and databases, as lines."""
    return host.run(_FILES + _REST, timeout=120, quiet=True).out.splitlines()


def difference(before, after):
    """Lines that came or went, for an assertion's message."""
    gone, new = set(before) - set(after), set(after) - set(before)
    return sorted("- " + l for l in gone) + sorted("+ " + l for l in new)


def without_times(lines):
    """The same lines without the files' modification times, for comparing two disks made by the same recipe."""
    return [re.sub(r"^(\w \d+ \S+ \d+) \d+\.\d+ ", r"\1 ", l) for l in lines]
