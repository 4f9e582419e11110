# What there is on a host, as lines: files (mode, owner, size, mtime, path), users, packages, units, and what each
# component's own host_state.sh tells, such as its main process.

left_out=()
leaves_out() { for path; do left_out+=(-o -path "$path"); done; } # what a running system changes by itself
runs_as() { echo "main process of $1 $(systemctl show -p MainPID "$1")"; }

# tests/components/*/host_state.sh

# What cloud-init, apt-daily and snapd write in a fresh host's first minutes, and the package manager's own bookkeeping,
# at midnight in /var/backups.
leaves_out /var/log /var/cache /var/backups /var/lib/cloud /var/lib/runbook-kind /var/lib/snapd/seeding \
  /var/lib/systemd /var/lib/apt /var/lib/dpkg /var/lib/ucf
leaves_out /sys /dev /run /tmp /var/tmp /home /usr/share/doc /usr/share/man /usr/share/locale
find / -xdev \( -path /proc "${left_out[@]}" \) -prune -o \( -type f -o -type l -o -type d \) \
  -printf '%y %m %u:%g %s %T@ %p %l\n' | sed -E 's/^d ([^ ]+ [^ ]+) [^ ]+ [^ ]+/d \1/' | sort -k5

echo "== users"
getent passwd
getent group
echo "== packages"
dpkg -l | awk '/^[a-z][a-z] / {print $1, $2, $3}'
echo "== units"
systemctl list-unit-files --no-legend --plain | grep -v ' transient' | awk '{print $1, $2}' | sort
