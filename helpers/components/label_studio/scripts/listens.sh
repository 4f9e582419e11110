# The process of the unit $1 listens on the port $2. Exit 3: it took another one, because that was busy as it started.
# `systemctl start` returns before the program listens: then it listens nowhere yet.
pid=$(systemctl show -p MainPID "$1" | cut -d= -f2)
[ "${pid:-0}" != 0 ] || { echo "$1 is $(systemctl is-active "$1" || true)"; exit 1; }
where=$(ss -Hltnp | grep "pid=$pid," | awk '{print $4}' || true)
case "$where" in
  *:"$2") ;;
  '') echo "$1 listens nowhere yet"; exit 1 ;;
  *) echo "$1 listens on $where, not on port $2: that was busy when it started"; exit 3 ;;
esac
