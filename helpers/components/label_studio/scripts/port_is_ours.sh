# On the port $1 nothing listens but the unit $2.
pid=$(systemctl show -p MainPID "$2" 2>/dev/null | cut -d= -f2)
who=$(ss -Hltnp "sport = :$1" | grep -v "pid=${pid:-none}," || true)
[ -z "$who" ] || { echo "${who##*users:} listens there"; exit 1; }
