# A probe: Knative is away; KINDS=yes: its kinds too.
nothing_of namespace knative-serving knative-eventing
[ "$1" != yes ] || no_kinds '\.knative\.dev'
