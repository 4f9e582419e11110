# The databases, which are not told by their files.
leaves_out '/var/lib/postgresql/*/main'
runs_as postgresql@15-main
echo "== databases"
! command -v pg_dumpall >/dev/null || ! systemctl is-active -q postgresql@15-main ||
  runuser -u postgres -- pg_dumpall 2>/dev/null | grep -vE '^.(un)?restrict '
