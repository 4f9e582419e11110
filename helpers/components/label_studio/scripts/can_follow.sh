# In the environment $1 is none, or Label Studio $2, or an older one whose database $2 can bring up to date: 1.0's,
# it cannot.
there=$(find "$1"/lib/python3*/site-packages -maxdepth 1 -name 'label_studio-*.dist-info' 2>/dev/null |
  sed 's/.*label_studio-//; s/.dist-info//' | sort -V | tail -n 1 || true)
case "$there" in
  '' | "$2") exit 0 ;;
  1.0.*) ;;
  *) [ "$(printf '%s\n' "$there" "$2" | sort -V | tail -n 1)" != "$2" ] || exit 0 ;;
esac
echo "Label Studio $there is there, and $2 cannot use its database"
exit 1
