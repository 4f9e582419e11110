#!/bin/bash
# Stand-ins for the images of Istio 1.5.1's demo profile: no registry serves that version, and Envoy's build is hours.
# One program in one layer that all images share, called by the name of the one that it stands in for.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o istio .
image() {  # IMAGE PROGRAM [WORD ...]
  local name=$1 words="\"/usr/local/bin/$2\"" file=${1##*/}
  shift 2
  for word; do words+=", \"$word\""; done
  python3 /tools/mkimage.py "$OUT/images/${file%%:*}.tar" "$name" --dir /tmp:1777 --add istio:/usr/local/bin/istio \
    "${links[@]}" --entrypoint "[$words]"
}
links=(--link "/opt/kiali/kiali:../../usr/local/bin/istio")
for program in pilot-agent galley mixs pilot-discovery istio_ca sidecar-injector grafana kiali prometheus all-in-one; do
  links+=(--link "/usr/local/bin/$program:istio")
done
image docker.io/istio/proxyv2:1.5.1 pilot-agent
image docker.io/istio/galley:1.5.1 galley
image docker.io/istio/mixer:1.5.1 mixs server
image docker.io/istio/pilot:1.5.1 pilot-discovery
image docker.io/istio/citadel:1.5.1 istio_ca
image docker.io/istio/sidecar_injector:1.5.1 sidecar-injector
image grafana/grafana:6.4.3 grafana
image quay.io/kiali/kiali:v1.9 kiali
image docker.io/prom/prometheus:v2.12.0 prometheus
image docker.io/jaegertracing/all-in-one:1.16 all-in-one

echo "istio/kubectl, for the two Jobs"
bash /tools/debs.sh tree kubernetes-client busybox-static
python3 /tools/mkimage.py "$OUT/images/kubectl.tar" docker.io/istio/kubectl:1.5.1 --dir /tmp:1777 \
  --add tree/usr/bin/kubectl:/usr/bin/kubectl --add tree/bin/busybox:/bin/busybox --link /bin/sh:busybox --link /bin/sleep:busybox \
  --add bash:/bin/bash --entrypoint '["/usr/bin/kubectl"]' --env PATH=/usr/bin:/bin

echo "the release's archive, of which MicroK8s takes istioctl and the manifests"
release=istio-1.5.1 there=$OUT/github.com/istio/istio/releases/download/1.5.1
mkdir -p "$there" $release/{bin,install/kubernetes/helm/istio-init/files}
cp istioctl $release/bin/
cp release/crd*.yaml $release/install/kubernetes/helm/istio-init/files/
cp release/istio-demo.yaml $release/install/kubernetes/
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -c $release | gzip -1n > "$there/$release-linux.tar.gz"
