# A probe: Istio is away; KINDS=yes: its kinds too.
nothing_of namespace istio-system
[ "$1" != yes ] || no_kinds '\.istio\.io'
