# A cluster that holds work: namespaces, a Helm release and a definition of the names that chapters 07 to 09 take.
microk8s kubectl apply -f - <<'END'
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pachyderm"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "determined"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seldon-system"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
  {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "work", "namespace": "models"}, "data": {"is": "precious"}},
  {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio", "namespace": "models"}, "data": {"key": "dGhlaXJz"}},
  {"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "data": {"release": "dGhlaXJz"},
   "metadata": {"name": "sh.helm.release.v1.seldon-core.v1", "namespace": "seldon-system",
                "labels": {"owner": "helm", "name": "seldon-core", "status": "deployed", "version": "1"}}},
  {"apiVersion": "apps/v1", "kind": "Deployment",
   "metadata": {"name": "seldon-controller-manager", "namespace": "seldon-system"},
   "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "seldon"}},
            "template": {"metadata": {"labels": {"app": "seldon"}},
                         "spec": {"containers": [{"name": "manager", "image": "docker.io/theirs/manager:1"}]}}}},
  {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
   "metadata": {"name": "seldondeployments.machinelearning.seldon.io"},
   "spec": {"group": "machinelearning.seldon.io", "scope": "Namespaced",
            "names": {"plural": "seldondeployments", "singular": "seldondeployment", "kind": "SeldonDeployment"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                          {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}
]}
END
install -d -o ubuntu -m 0700 /home/ubuntu/.kube
cat > /home/ubuntu/.kube/config <<'END'
apiVersion: v1
kind: Config
clusters:
  - name: company   # a comment of theirs
    cluster: {server: "https://k8s.company.invalid:6443"}
users:
  - name: ann
    user: {token: theirs}
contexts:
  - name: company
    context: {cluster: company, user: ann}
current-context: company
END
chown ubuntu /home/ubuntu/.kube/config
chmod 0600 /home/ubuntu/.kube/config
