# Below $1 lies nothing of PostgreSQL packages that are not installed: an install would take it up, and remove, which purges
# what it installed, would delete it.
found=
for cluster in "$1"/etc/postgresql/*/* "$1"/var/lib/postgresql/*/*; do
  version=${cluster%/*}
  [ ! -e "$cluster" ] || [ -x "$1/usr/lib/postgresql/${version##*/}/bin/postgres" ] || found+=", $cluster"
done
is_installed() { case $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) in ii*) ;; *) return 1 ;; esac; }
is_installed postgresql-common || for file in "$1"/etc/postgresql-common/*; do
  owner=$(dpkg-query -S "${file#"$1"}" 2>/dev/null | cut -d: -f1 || true)  # psql's package has two files there
  [ ! -e "$file" ] || is_installed "${owner:-none}" || found+=", $file"
done
[ -z "$found" ] || { echo "no such PostgreSQL is installed, and there is ${found#, }"; exit 1; }
