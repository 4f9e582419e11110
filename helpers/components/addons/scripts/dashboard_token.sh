# Prints the token of kube-system's default service account, in base64.
fields='{range .items[?(@.type=="kubernetes.io/service-account-token")]}{.metadata.name} {.data.token}{"\n"}{end}'
microk8s kubectl get secrets -n kube-system -o jsonpath="$fields" | grep '^default-token' | cut -d' ' -f2
