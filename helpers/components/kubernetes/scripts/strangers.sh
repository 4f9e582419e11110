# A probe of remove: outside of the namespaces "${@:5}", those that a chapter marked, and those that a note in the
# folder $4 has as made, there is nothing of the kinds $1, as kubectl takes them; $2: those of this storage class only. $3: a user whom the chapter put into the group
# microk8s: one who is not in it any more tells that a remove was cut off, after it had asked.
if not_installed; then exit 0; fi
columns=NS:.metadata.namespace,KIND:.kind,NAME:.metadata.name,CLASS:.spec.storageClassName
if ! marked=$(microk8s kubectl get namespaces -l runbook -o custom-columns=N:.metadata.name --no-headers) ||
  ! found=$(microk8s kubectl get "$1" -A -o custom-columns=$columns --no-headers); then
  case " $(id -nG "$3" 2>/dev/null || true) " in *' microk8s '* | '  ') cannot_tell 2>&1 || exit 1 ;; esac
  exit 0
fi
class=$2
made=$(cat "$4"/*.json 2>/dev/null | sed -n 's/^{"kind": "namespace", "name": "\([^"]*\)", "before": "away".*/\1/p' || true)
shift 4
others=$(awk -v ours="$* $marked ${made//$'\n'/ }" -v class="$class" '
  BEGIN { n = split(ours, names); for (i = 1; i <= n; i++) mine[names[i]] }
  NF && !($1 in mine) && (class == "" || $4 == class) { print $1 "/" $2 "/" $3 }' <<< "$found")
[ -z "$others" ] || { echo "others have $(wc -l <<< "$others"): $(head -n 8 <<< "$others" | paste -sd' ')"; exit 1; }
