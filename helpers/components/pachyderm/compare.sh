# Standard input: a List of objects. What each would be after an apply, as the server says; then what each is.
list=$(cat)
microk8s kubectl apply --dry-run=server -o json -f - <<< "$list"
echo @@@
microk8s kubectl get --ignore-not-found -o json -f - <<< "$list"
