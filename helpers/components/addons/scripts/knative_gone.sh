# A probe: Knative is away, with what is in no namespace; KINDS=yes: its kinds too.
nothing_of namespace knative-serving knative-eventing
everywhere=mutatingwebhookconfiguration,validatingwebhookconfiguration,clusterrole,clusterrolebinding
for release in serving.knative.dev/release eventing.knative.dev/release; do
  nothing_of $everywhere -l $release
done
[ "$1" != yes ] || no_kinds '\.knative\.dev'
