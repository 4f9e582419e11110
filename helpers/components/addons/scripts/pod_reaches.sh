# Prints what a pod of the Deployment hello in NAMESPACE is told at ADDRESS of this host, where LISTENER, a Python
# program, says WORD meanwhile.
namespace=$1 address=$2 word=$3 listener=$4
exec 3< <(exec python3 -c "$listener" "$address" "$word" 300)
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
read -r -t 120 port <&3 || { echo "the host itself cannot listen at $address" >&2; exit 1; }
microk8s kubectl exec -n "$namespace" deploy/hello -- sh -c "nc -w 5 $address $port </dev/null"
