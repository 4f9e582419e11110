# The ports that are open before the cluster comes go into FILE: they are the host's.
umask 077
mkdir -p "${1%/*}"
part=$1.part.$$
trap 'rm -f "$part"' EXIT
listening > "$part"
mv "$part" "$1"
