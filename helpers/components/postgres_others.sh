# No cluster of PostgreSQL has a database but those in "$@"; a cluster that cannot be asked is a no. One whose data are
# gone has nothing to lose, and one that is down without its pg_hba.conf was on its way out: remove deletes that first.
no() { echo "$1"; exit 1; }
clusters=
if command -v pg_lsclusters >/dev/null; then
  clusters=$(pg_lsclusters -h) || no "pg_lsclusters does not say which clusters there are"
else
  left=$(ls -d /var/lib/postgresql/*/*/PG_VERSION 2>/dev/null || true)
  [ -z "$left" ] || no "data without a server that could be asked: ${left//PG_VERSION/}"
fi
names='select datname from pg_database where not datistemplate'
tables="select 'tables in the database postgres' from pg_class where oid > 16383 and relkind in ('r', 'p') limit 1"
while read -r version name port state _ data _; do
  [ -n "$version" ] || continue
  case $data in /*) ;; *) no "the cluster $version $name has no data directory that is known" ;; esac
  [ -e "$data/PG_VERSION" ] || continue
  case $state in down*) [ -e "/etc/postgresql/$version/$name/pg_hba.conf" ] || continue ;; esac
  ask=(runuser -u postgres -- psql -w -p "$port" -d postgres -AtXqc)
  if ! there=$("${ask[@]}" "$names" </dev/null) || ! more=$("${ask[@]}" "$tables" </dev/null); then
    no "the cluster $version $name cannot be asked on port $port: it is $state"
  fi
  others=$(grep -vxFf <(printf '%s\n' postgres "$@") <<< "$there" || true)
  others=${others//$'\n'/ }${more:+${others:+ and }$more}
  [ -z "$others" ] || no "found: $others"
done <<< "$clusters"
