# Takes away what `disable metallb` leaves: it deletes the namespace, and these are in none.
microk8s kubectl delete clusterrole,clusterrolebinding,podsecuritypolicy -l app=metallb --ignore-not-found
