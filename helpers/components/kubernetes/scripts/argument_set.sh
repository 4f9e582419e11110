# MicroK8s starts PROGRAM with the argument NAME=VALUE; with an empty VALUE: without NAME.
file=/var/snap/microk8s/current/args/$1
part=$file.part.$$
trap 'rm -f "$part"' EXIT
cp -p "$file" "$part" # owner and mode
{ sed "/^$2[= ]/d; /^$2\$/d" "$file"; [ -z "$3" ] || echo "$2=$3"; } > "$part"
mv "$part" "$file"
systemctl restart "snap.microk8s.daemon-$4"
