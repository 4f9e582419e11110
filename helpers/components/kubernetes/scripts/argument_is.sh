# A probe: MicroK8s starts PROGRAM with the argument NAME=VALUE; with an empty VALUE: without NAME.
there=$(sed -n "s/^$2[= ] *//p" "/var/snap/microk8s/current/args/$1") || exit 1
[ "$there" = "$3" ] || { echo "$1 is started with $2=${there:-(none)}, not ${3:-(none)}"; exit 1; }
