# The host of URL, NAME at PORT, is found by the cluster's own name server, as a pod would ask it, and answers.
# ASK_DNS: the program that asks. A pod's connections leave through this host, so it is tried from here.
url=$1 name=$2 port=$3 ask_dns=$4
case $name in
  *[!0-9.]*)
    server=$(microk8s kubectl get service kube-dns -n kube-system -o jsonpath='{.spec.clusterIP}')
    found=$(python3 -c "$ask_dns" "$server" "$name" 2>&1) ||
      { echo "${found:-no such host: the name server of the cluster has no address for $name}"; exit 1; }
    ;;
  *) found=$name ;;
esac
address=${found%%$'\n'*}
curl -sSk -m 15 --noproxy '*' -o /dev/null --resolve "$name:$port:$address" "$url/-/health" 2>&1 ||
  { echo "from the cluster's host, at $address"; exit 1; }
