# rolled_out NAME NOUN GENERATION OBSERVED WANTED ALL UPDATED AVAILABLE WHY: the wanted pods are available, all of them
# are of the newest template, and the controller has seen that one. As `kubectl rollout status` has it: while a
# Deployment rolls over it has more pods than it wants, and those that are available may be the old ones.
# ALL empty: there are never more than wanted. WHY: what keeps it from making pods.
rolled_out() {
  local want=${5:-0} all=${6:-0} new=${7:-0} have=${8:-0} why=${9:+: $9}
  if [ "$want" -lt 1 ] || [ "$have" -lt "$want" ]; then
    echo "$1: $have of $want $2$why"
  elif [ "${4:-0}" -lt "$3" ]; then
    echo "$1: its last change is not taken up yet"
  elif [ "$new" -lt "$want" ]; then
    echo "$1: $new of $want pods are of its newest template$why"
  elif [ "$all" -gt "$new" ]; then
    echo "$1: pods of an older template are still there: $((all - new))$why"
  else
    return 0
  fi
  return 1
}
