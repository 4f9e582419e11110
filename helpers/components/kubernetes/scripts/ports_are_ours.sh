# A probe: on these ports nothing listens but MicroK8s. A program's name is not enough: another Kubernetes has the same.
ours() {
  case $(readlink "/proc/$1/exe" 2>/dev/null) in /snap/microk8s/*) return 0 ;; esac
  grep -q 'snap\.microk8s\.' "/proc/$1/cgroup" 2>/dev/null
}
who() {
  local unit
  unit=$(grep -oE '[^/]+\.(service|scope)' "/proc/$1/cgroup" 2>/dev/null | tail -n 1 || true)
  echo "$(cat "/proc/$1/comm" 2>/dev/null || echo 'a program that just ended') (process $1${unit:+ of $unit})"
}
taken=
for port in "$@"; do
  listening=$(ss -Hltnp "sport = :$port")
  [ -n "$listening" ] || continue
  pids=$(grep -oE 'pid=[0-9]+' <<< "$listening" | cut -d= -f2 | sort -un || true)
  [ -n "$pids" ] || taken+="${taken:+, }$port by somebody"
  for pid in $pids; do
    ours "$pid" || taken+="${taken:+, }$port by $(who "$pid")"
  done
done
[ -z "$taken" ] || { echo "taken: $taken"; exit 1; }
