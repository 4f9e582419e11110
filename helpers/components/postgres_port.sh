# Is port PORT nobody's, or that of the cluster whose files the chapter writes: main of the newest version in FOLDER?
command -v pg_lsclusters >/dev/null || exit 0
newest=$({ ls "$2" 2>/dev/null || true; } | { grep "^[0-9]" || true; } | sort -n | tail -1)
clusters=$(pg_lsclusters -h) || { echo "cannot tell: pg_lsclusters does not say which clusters there are"; exit 1; }
other=$(awk -v port="$1" -v newest="$newest" '$3 == port && ($1 != newest || $2 != "main") { print $1 "/" $2 }' <<< "$clusters")
[ -z "$other" ] || { echo "port $1 is that of the cluster ${other//$'\n'/, }; the chapter sets up $newest/main"; exit 1; }
