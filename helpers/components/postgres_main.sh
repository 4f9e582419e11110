# The cluster $1/main, in C.UTF-8, which every host has. What a runbook wrote for one that was not there goes first.
for left in "/etc/postgresql/VERSION/main" "/etc/postgresql/$1/main"; do
  [ -d "$left" ] && [ ! -e "$left/postgresql.conf" ] || continue
  for file in "$left/pg_hba.conf" "$left/conf.d/runbook.conf"; do
    ! grep -qs '^# Written by the runbook, chapter 06' "$file" || rm "$file"
  done
  rmdir "$left/conf.d" "$left" /etc/postgresql/VERSION 2>/dev/null || true
done
pg_createcluster --locale C.UTF-8 "$1" main
