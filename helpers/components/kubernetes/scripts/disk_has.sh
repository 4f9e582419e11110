# A probe: GIB GiB are free below /var.
free=$(df -BG --output=avail /var | tail -1 | tr -dc 0-9)
[ "$free" -ge "$1" ] || { echo "$free GiB free at /var"; exit 1; }
