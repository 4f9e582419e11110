# The package $1 is here in version $2, whole.
said=$(dpkg-query -W -f '${db:Status-Abbrev} ${Version}' "$1" 2>/dev/null || true)
[ "$said" = "ii  $2" ] || { echo "${said:-$1 is not installed}"; exit 1; }
