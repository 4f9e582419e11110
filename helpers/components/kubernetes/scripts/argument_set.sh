# MicroK8s starts PROGRAM with the argument NAME=VALUE; with an empty VALUE: without NAME.
# The file changes while the service stands still: what is cut off in between is found, by the file or by the service.
file=/var/snap/microk8s/current/args/$1
part=$file.part.$$
trap 'rm -f "$part"' EXIT
cp -p "$file" "$part" # owner and mode
{ sed -e "/^$2[= ]/d; /^$2\$/d; \$a\\" "$file"; [ -z "$3" ] || echo "$2=$3"; } > "$part"
systemctl stop "snap.microk8s.daemon-$4"
mv "$part" "$file"
systemctl start "snap.microk8s.daemon-$4"
