#!/bin/bash
# Stand-ins for GitLab Runner 13.12: its image, its helper's image, and the chart that installs it.
set -euo pipefail
mkdir -p "$OUT/images"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o gitlab-runner ./runner
./gitlab-runner --version

echo "what both images stand on: Debian with bash, git and ps"
thin=()
for folder in doc man locale info zoneinfo; do thin+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
mmdebstrap --quiet --mode=root --variant=essential --include=git,ca-certificates,procps,netbase \
  --aptopt=/etc/apt/apt.conf.d/90machine --aptopt='APT::Install-Recommends "false"' "${thin[@]}" bookworm root /etc/apt/sources.list
rm -rf root/etc/apt root/var/{cache,log,lib/apt}/*
find root -name __pycache__ -prune -exec rm -rf {} +
cp /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs/
echo 'gitlab-runner:x:100:65533::/home/gitlab-runner:/bin/bash' >> root/etc/passwd
echo 'gitlab-runner:x:65533:' >> root/etc/group
install -d -o 100 -g 65533 root/home/gitlab-runner
install -d -m 0700 -o 100 -g 65533 root/etc/gitlab-runner
# As with a git that does not know it yet: no hint at each clone.
chroot root git config --system init.defaultBranch master
tar -C root --sort=name --numeric-owner --mtime=@0 -cf root.tar .

image() { python3 /tools/mkimage.py "$OUT/images/$1.tar" "$2" --base-tar root.tar --add gitlab-runner:/usr/bin/gitlab-runner "${@:3}"; }
image runner gitlab/gitlab-runner:alpine-v13.12.0 --add entrypoint:/entrypoint \
  --entrypoint '["/entrypoint"]' --cmd '["run", "--user=gitlab-runner", "--working-directory=/home/gitlab-runner"]'
image helper gitlab/gitlab-runner-helper:x86_64-7a6612da --link /usr/bin/gitlab-runner-helper:gitlab-runner \
  --add gitlab-runner-build:/usr/bin/gitlab-runner-build --cmd '["gitlab-runner-build"]'
python3 stopsignal.py "$OUT/images/runner.tar" SIGQUIT

echo "the chart, where its repository's index says that it lies"
python3 /tools/chart.py chart "$OUT/charts.gitlab.io" "$OUT/gitlab-charts.s3.amazonaws.com"
