# $2 starts the unit $1. Which contents the files from $3 on had then is noted until the host's next boot, with the start.
unit=$1 start=$2
shift 2
sums=$([ $# = 0 ] || sha256sum "$@") || sums=  # before the start: of what is written meanwhile it may know nothing
eval "$start"
umask 077
mkdir -p /run/mlops-runbook
printf '%s\n' "$(systemctl show -p InvocationID "$unit" | cut -d= -f2-)" "$sums" > "/run/mlops-runbook/$unit"
