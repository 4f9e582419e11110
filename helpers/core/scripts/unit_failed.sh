# Exit 0 and the last lines of its log when the unit $1 has failed, or is started again and again.
if [ "$(systemctl is-failed "$1" || true)" != failed ]; then
  [ "$(systemctl show -p NRestarts "$1" | cut -d= -f2)" -gt 3 ] 2>/dev/null || exit 1
fi
echo "$1 keeps failing:"
journalctl -u "$1" -n 8 --no-pager -o cat
