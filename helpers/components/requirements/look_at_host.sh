# Prints what a host has, a line each: name=value, and port=NUMBER PROGRAM for what listens.
echo "cpus=$(nproc)"
echo "memory_kib=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)"
echo "disk_kib=$(df -Pk /var | awk 'NR==2 {print $4}')"
# shellcheck source=/dev/null
. /etc/os-release
echo "release=$NAME ${VERSION_ID:-}"
echo "kernel=$(uname -r)"
echo "machine=$(uname -m)"
echo "init=$(cat /proc/1/comm)"
echo "cgroup=$(case $(stat -fc %T /sys/fs/cgroup) in cgroup2fs) echo v2;; *) echo v1;; esac)"
gpu='' card=''
if command -v nvidia-smi >/dev/null; then
  # It prints its errors on standard output: "NVIDIA-SMI has failed because it couldn't communicate with the driver".
  gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) || gpu="no driver: ${gpu:-no word}"
  gpu=${gpu%%$'\n'*}
fi
if command -v lspci >/dev/null; then
  card=$(lspci 2>/dev/null | grep -i nvidia | head -1 || true)
fi
echo "gpu=${gpu:-${card:+a card, but no driver}}"
echo "name_ok=$(getent hosts "$(hostname)" >/dev/null && echo yes || echo no)"
echo "dns_ok=$(getent hosts localhost >/dev/null && grep -q '^nameserver' /etc/resolv.conf && echo yes || echo no)"
echo "clock=$(date +%s.%N)"
ss -Hltnp | awk '{n=split($4,a,":"); who=$6; sub(/.*\(\("/,"",who); sub(/".*/,"",who); print "port=" a[n] " " who}'
