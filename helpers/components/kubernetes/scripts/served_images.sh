# What lies on the node and runs in pods, against what the origin serves.
# Arguments: "NAMESPACE ..." whose pods are looked at, then an image each, "NAME DIGEST ...": its whole name, and the
# digests by which a node may know it, its manifest's and its own (the id).
spaces=$1; shift
served=$(printf 'served %s\n' "$@")

# Lines "on NAME DIGEST". containerd keeps an image by its names and, as "sha256:...", by its id.
on_the_node() {
  microk8s ctr images ls | awk 'NR > 1 {print "on", $1, $3}'
}

in_pods() {
  local fields='{range .items[*]}{"pod "}{.metadata.namespace}{" "}{.metadata.name}{" "}{.status.phase}'
  fields+='{" "}{.metadata.ownerReferences[0].controller}{"\n"}'
  fields+='{range .spec.containers[*]}{"asks "}{.name}{" "}{.image}{"\n"}{end}'
  fields+='{range .status.containerStatuses[*]}{"has "}{.name}{" "}{.ready}{" "}{.imageID}{" "}'
  fields+='{.state.running.startedAt}{"\n"}{end}{end}'
  microk8s kubectl get pods -A -o jsonpath="$fields"
}

# Lines "node NAME": another image of that name lies there.  "pod NAMESPACE POD NAME": a container runs another one.
# "late NAMESPACE POD NAME": one is not ready.  Of pods those only that a controller would make again.
compare() {
  awk -v spaces=" $spaces " '
    function whole(name,  first) {  # as catalogue.image_name()
      first = name; sub(/\/.*/, "", first)
      if (name !~ /\// || (first !~ /[.:]/ && first != "localhost")) name = "docker.io/" name
      sub(/^(index|registry-1)\.docker\.io\//, "docker.io/", name)
      if (name ~ /^docker\.io\/[^\/]*$/) sub(/\//, "/library/", name)
      if (name !~ /@/ && name !~ /:[^\/]*$/) name = name ":latest"
      return name
    }
    function other(name, digest) {return !((name, digest) in good) && !((name, id[digest]) in good)}
    $1 == "served" {known[$2]; for (i = 3; i <= NF; i++) good[$2, $i]}
    $1 == "on" && $2 ~ /^sha256:/ {id[$3] = $2}
    $1 == "on" && $2 in known {lies[$2] = $3}
    $1 == "pod" {pod = $2 " " $3; ours = index(spaces, " " $2 " ") && $5 == "true" && $4 ~ /Running|Pending/}
    $1 == "asks" && ours && whole($3) in known {name[pod, $2] = whole($3); late[pod " " whole($3)]}
    $1 == "has" && (pod, $2) in name {
      one = pod " " name[pod, $2]
      if ($3 == "true") delete late[one]
      if (NF == 5) {sub(/.*sha256:/, "sha256:", $4); if (other(name[pod, $2], $4)) print "pod", one}
    }
    END {
      for (one in lies) if (other(one, lies[one])) print "node", one
      for (one in late) print "late", one
    }' | sort -u
}

others() {
  local node pods=""
  node=$(on_the_node) || return 1
  [ -z "$spaces" ] || pods=$(in_pods) || return 1
  printf '%s\n' "$served" "$node" "$pods" | compare
}

# A probe: no other image than the origin's lies there or runs; of the kinds of lines given, too.
no_others() {
  local found
  found=$(others) || { echo "cannot tell which images there are"; return 1; }
  found=$(awk -v kinds=" node pod $* " 'index(kinds, " " $1 " ")' <<< "$found")
  [ -z "$found" ] || {
    awk '$1 == "node" {print $2 " on the node is another image than the origin serves"}
         $1 == "pod" {print "pod " $2 "/" $3 " runs another " $4 " than the origin serves"}
         $1 == "late" {print "pod " $2 "/" $3 " is not ready with " $4}' <<< "$found"
    return 1
  }
}

# The names of the other images are forgotten, and the pods that run one are made again.
pull_anew() {
  local found name space pod
  found=$(others)
  awk '$1 == "node" {print $2} $1 == "pod" {print $4}' <<< "$found" | sort -u | while read -r name; do
    microk8s ctr images ls -q </dev/null | { grep -xF "$name" || true; } | xargs -r microk8s ctr images rm
  done
  awk '$1 == "pod" {print $2, $3}' <<< "$found" | sort -u | while read -r space pod; do
    microk8s kubectl delete pod "$pod" -n "$space" --ignore-not-found </dev/null
  done
}
