# In the environment $1 is Label Studio $2, installed whole under the mark $3, and its Python runs.
if [ "$(cat "$1/installed" 2>/dev/null)" != "$3" ]; then
  echo "Label Studio $2 is not in $1 as pinned"
  exit 1
fi
if ! ls -d "$1"/lib/python3*/site-packages/label_studio-"$2".dist-info >/dev/null 2>&1; then
  echo "$1 has lost packages"
  exit 1
fi
"$1/bin/python" -c pass
