#!/bin/bash
# The microk8s snap's stand-in: Kubernetes 1.20.2, etcd, containerd, runc and CNI plugins under MicroK8s' commands and
# paths, served as one tar by a store that answers in the Snap Store's form.
set -euo pipefail
revision=2020 version=v1.20.2
snap=$PWD/snap
mkdir -p "$snap/bin" "$snap/opt/cni/bin"

bash ./kubernetes.sh "$snap/bin"

echo "Debian's etcd, containerd, runc, CNI plugins, kubectl"
bash /tools/debs.sh tree etcd-server containerd runc containernetworking-plugins kubernetes-client conntrack
for program in etcd containerd containerd-shim-runc-v2 ctr kubectl; do cp "tree/usr/bin/$program" "$snap/bin/"; done
for program in runc conntrack; do cp "tree/usr/sbin/$program" "$snap/bin/"; done
bash /tools/debs.sh net net-tools
mkdir -p "$snap/sbin"
cp net/sbin/ifconfig "$snap/sbin/" || cp net/usr/sbin/ifconfig "$snap/sbin/"
for plugin in loopback ptp bridge host-local portmap; do cp "tree/usr/lib/cni/$plugin" "$snap/opt/cni/bin/"; done
strip --strip-unneeded "$snap"/bin/{etcd,containerd,containerd-shim-runc-v2,ctr,runc,kubectl} "$snap"/opt/cni/bin/* 2> /dev/null || true
"$snap/bin/kubectl" version --client --short | grep -q 'v1.20.2'

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
