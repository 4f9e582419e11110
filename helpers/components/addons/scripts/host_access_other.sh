# A probe: the mark of host-access, $2, is not of another address than $1.
[ ! -e "$2" ] || [ "$(cat "$2")" = "$1" ] || { echo "it is enabled for $(cat "$2")"; exit 1; }
