# What must be the same: each file with its contents, mode, owner and time; users; packages; databases; who runs.
find /etc/default /etc/systemd /etc/postgresql /srv /opt /usr/local /var/lib/label-studio \
  /etc/gitlab /var/opt/gitlab \
  ! -type d -printf '%p %y %m %U:%G %T@ %l ' -exec sh -c '[ -h "$0" ] && echo || sha256sum < "$0"' {} \; | sort
find /srv /opt /var/lib/label-studio /etc/gitlab /var/opt/gitlab -type d -printf '%p %m %U:%G\n' | sort
getent passwd
getent group
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
for port in 5432 5433; do
  systemctl is-active -q "postgresql@15-$([ $port = 5432 ] && echo main || echo shop)" || continue
  runuser -u postgres -- pg_dumpall -p $port | grep -vE '^.(un)?restrict '
done
for unit in minio postgresql postgresql@15-main postgresql@15-shop; do
  echo "$unit $(systemctl is-enabled $unit) $(systemctl is-active $unit)"
done
if [ -e /var/lib/mlops-runbook ]; then find /var/lib/mlops-runbook; fi
