# The host has $1 GiB of memory, as machines are sold: a little of it is the kernel's.
have=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo)
[ "$have" -ge $(($1 * 1024 * 92 / 100)) ] || { echo "it has $have MiB"; exit 1; }
