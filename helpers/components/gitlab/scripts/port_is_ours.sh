# Nobody listens on the port $1 but a program of GitLab's, which are below /opt/gitlab or named so.
for pid in $(ss -Hltnp "sport = :$1" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u); do
  whose="$(readlink "/proc/$pid/exe" || true) $(tr '\0' ' ' < "/proc/$pid/cmdline" || true)"
  case $whose in
    */opt/gitlab/*) ;;
    *) echo "port $1 is held by process $pid: ${whose# }"; exit 1 ;;
  esac
done
