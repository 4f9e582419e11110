# Each Deployment of Knative's Eventing gets one pod (WANTED=yes), or none but the webhook: an object of Eventing's kinds
# is refused while that does not answer. The release itself gives sources-controller none.
replicas=0
[ "$1" != yes ] || replicas=1
found=$(microk8s kubectl get deployments -n knative-eventing -o jsonpath='{.items[*].metadata.name}')
for deployment in $found; do
  case $deployment in
    sources-controller) ;;
    eventing-webhook) microk8s kubectl scale deployment "$deployment" -n knative-eventing --replicas=1 ;;
    *) microk8s kubectl scale deployment "$deployment" -n knative-eventing --replicas=$replicas ;;
  esac
done
