#!/bin/bash
# The microk8s snap's stand-in: Kubernetes 1.20.2, etcd, containerd, runc and CNI plugins under MicroK8s' commands and
# paths, served as one tar by a store that answers in the Snap Store's form.
set -euo pipefail
revision=2020 version=v1.20.2
snap=$PWD/snap libraries=/snap/microk8s/current/lib
mkdir -p "$snap/bin" "$snap/opt/cni/bin"

bash ./kubernetes.sh "$snap/bin"

echo "Debian's etcd, containerd, runc, CNI plugins, kubectl"
bash /tools/debs.sh tree etcd-server containerd runc containernetworking-plugins kubernetes-client conntrack net-tools
for program in etcd containerd containerd-shim-runc-v2 ctr kubectl; do cp "tree/usr/bin/$program" "$snap/bin/"; done
for program in runc conntrack; do cp "tree/usr/sbin/$program" "$snap/bin/"; done
mkdir -p "$snap/sbin"
cp tree/sbin/ifconfig "$snap/sbin/" || cp tree/usr/sbin/ifconfig "$snap/sbin/"
for plugin in loopback ptp bridge host-local portmap; do cp "tree/usr/lib/cni/$plugin" "$snap/opt/cni/bin/"; done
strip --strip-unneeded "$snap"/bin/{etcd,containerd,containerd-shim-runc-v2,ctr,runc,kubectl} "$snap"/opt/cni/bin/* 2> /dev/null || true
"$snap/bin/kubectl" version --client --short | grep -q 'v1.20.2'

# The real snap's programs are built on core18 and run on any host since 2018: these, built on Debian 12, bring their C
# library with them. Set in the programs, since runc and the shim start themselves by /proc/self/exe.
echo "their libraries"
bash /tools/debs.sh tree libc6 libseccomp2 libmnl0 libnetfilter-conntrack3 libnfnetlink0
mkdir -p "$snap/lib"
for name in ld-linux-x86-64.so.2 libc.so.6 lib{pthread,mnl,nfnetlink}.so.0 lib{dl,resolv,seccomp}.so.2 libnetfilter_conntrack.so.3; do
  cp -L "$(find tree/lib tree/usr/lib -name "$name")" "$snap/lib/"
done
for program in "$snap"/bin/* "$snap"/sbin/* "$snap"/opt/cni/bin/*; do
  if patchelf --print-interpreter "$program" &> /dev/null; then
    patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" "$program"
  fi
done

echo "Knative's manifests"
knative=$snap/actions/knative
bash /tools/knative-manifests.sh "$knative/setup/serving-crds.yaml" imagecache core/resources
bash /tools/knative-manifests.sh "$knative/serving-core.yaml" core
(printf -- '---\n'; cat "$knative/setup/eventing-crds.yaml") >> "$knative/eventing-core.yaml"
bash /tools/knative-manifests.sh "$knative/monitoring-core.yaml" monitoring/100-namespace.yaml

echo "the snap"
id=EaXqgt1lyCaxKaQCU349mlodBkDCXRcg
name=api.snapcraft.io/api/v1/snaps/download/${id}_$revision.tar
mkdir -p "$OUT/$(dirname "$name")" "$OUT/api.snapcraft.io/v2/snaps/info"
tar -C "$snap" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$OUT/$name" .
python3 - "$OUT/$name" "$OUT/api.snapcraft.io/v2/snaps/info/microk8s" "$id" "$revision" "$version" << 'P'
import hashlib, json, os, sys
tar, info, snap_id, revision, version = sys.argv[1:]
with open(tar, "rb") as file:
    digest = hashlib.file_digest(file, "sha3-384").hexdigest()
entry = {"channel": {"name": "1.20/stable", "track": "1.20", "risk": "stable", "architecture": "amd64", "released-at": "2021-01-13T00:00:00Z"},
         "revision": int(revision), "version": version, "confinement": "classic",
         "download": {"url": "https://api.snapcraft.io" + tar.partition("api.snapcraft.io")[2], "size": os.path.getsize(tar), "sha3-384": digest}}
about = {"summary": "Kubernetes for workstations and appliances, as a sandbox stands in for it", "license": "Apache-2.0",
         "description": "Not Canonical's MicroK8s: its commands and paths, around Kubernetes 1.20.2 of Debian's source package.",
         "publisher": {"username": "runbook-sandbox", "display-name": "the runbook's sandbox"}}
with open(info, "w") as file:
    json.dump({"name": "microk8s", "snap-id": snap_id, "snap": about, "channel-map": [entry]}, file, indent=1)
P
ls -l "$OUT/$name" | awk '{ printf "the snap: %d MiB\n", $5 / 1048576 }'
