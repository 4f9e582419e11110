# A probe of remove: the database has no project but $1. $2: the port of PostgreSQL, and $3 its database; or "" and the
# file of SQLite. $4: the first word of the projects that 1.0.1 made beside a user, or "": such a one is nobody's while it
# has no task and no labelling config. Asked of the database itself: Label Studio may be stopped.
no() { echo "$1"; exit 1; }
query="select title from project"
[ -z "$4" ] || query+=" where not (title = '$4' or title like '$4 ________') or label_config <> '<View></View>'
  or exists (select 1 from task where task.project_id = project.id)"
if [ -n "$2" ]; then
  command -v psql >/dev/null || exit 0
  ask() { runuser -u postgres -- psql -w -p "$port" -d "$1" -AtXqc "$2" </dev/null; }
  port=$2
  there=$(ask postgres "select 1 from pg_database where datname = '$3'") || no "cannot tell: PostgreSQL does not answer on port $2"
  [ -n "$there" ] || exit 0
  there=$(ask "$3" "select to_regclass('project')") || no "cannot tell what is in the database $3"
  [ -n "$there" ] || exit 0
  titles=$(ask "$3" "$query") || no "cannot tell what is in the database $3"
else
  [ -e "$3" ] || exit 0
  titles=$(python3 - "$3" "$query" << 'EOF'
import sqlite3, sys, urllib.parse
db = sqlite3.connect("file:" + urllib.parse.quote(sys.argv[1]) + "?mode=ro", uri=True)
if db.execute("select 1 from sqlite_master where name = 'project'").fetchone():
    print("\n".join(title for (title,) in db.execute(sys.argv[2])))
EOF
  ) || no "cannot tell what is in $3"
fi
others=$(grep -vxF -e "$1" <<< "$titles" | sed '/^$/d' || true)
[ -z "$others" ] || no "found: projects ${others//$'\n'/, }"
