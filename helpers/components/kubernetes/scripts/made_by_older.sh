# $KIND $NAME was made by a runbook that kept no note of its chapter. $1: "known" when the machine that asks
# installed this chapter here before; $2: a label, key=value, of what is ours in whosever cluster ("": none), and
# $3: the namespace that says it for what is outside of the cluster; $4: a file that such a runbook left, $5: the note of
# today's that makes it, too. That the cluster is ours says nothing of what somebody put into it.
[ -z "$NOTED" ] || exit 1
[ "$KIND" != miniouser ] || exit 1 # such a one made none
if [ -n "$2" ]; then
  case $KIND in
    namespace) space=$NAME ;;
    object) space=${NAME%%/*} ;;
    *) space=$3 ;;
  esac
  microk8s kubectl get namespace --field-selector "metadata.name=$space" -l "$2" -o name | grep -q . && exit 0
  [ "$KIND" = object ] && microk8s kubectl get "${NAME#*/}" -n "$space" --show-labels | grep -q "[ ,]$2\\(,\\|$\\)"
else
  [ "$1" = known ] || { [ -n "$4" ] && [ -e "$4" ] && [ ! -e "$5" ]; }
fi
