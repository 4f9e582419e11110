# Below $1 lies nothing of PostgreSQL packages that are not installed: an install would take it up, and remove, which purges
# what it installed, would delete it.
found=
for cluster in "$1"/etc/postgresql/*/* "$1"/var/lib/postgresql/*/*; do
  version=${cluster%/*}
  [ ! -e "$cluster" ] || [ -x "$1/usr/lib/postgresql/${version##*/}/bin/postgres" ] || found+=", $cluster"
done
common=$(dpkg-query -W -f '${db:Status-Abbrev}' postgresql-common 2>/dev/null || true)
for file in "$1"/etc/postgresql-common/*; do
  case $common in ii*) ;; *) [ ! -e "$file" ] || found+=", $file" ;; esac
done
[ -z "$found" ] || { echo "no such PostgreSQL is installed, and there is ${found#, }"; exit 1; }
