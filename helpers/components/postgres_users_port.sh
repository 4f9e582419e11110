# Does the cluster main of the newest version in $2 have port $1, or has no other chapter's note in $3 a database on the
# one that it has? Their notes name the port: on another one, their remove would find nothing, and forget what is there.
command -v pg_lsclusters >/dev/null || exit 0
newest=$({ ls "$2" 2>/dev/null || true; } | { grep "^[0-9]" || true; } | sort -n | tail -1)
clusters=$(pg_lsclusters -h) || { echo "cannot tell: pg_lsclusters does not say which clusters there are"; exit 1; }
port=$(awk -v newest="$newest" '$1 == newest && $2 == "main" { print $3 }' <<< "$clusters")
if [ -z "$port" ] || [ "$port" = "$1" ]; then exit 0; fi
for note in "$3"/*.json; do
  chapter=${note##*/} chapter=${chapter%.json}
  if [ "$chapter" != postgres ] && grep -qs "\"kind\": \"database\", \"name\": \"$port/" "$note"; then
    echo "chapter $chapter has its database on port $port"
    exit 1
  fi
done
