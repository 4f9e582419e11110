# The repository $1, of the distribution $4 and its release $5, has version $3 of the package $2, or it is here already.
said=$(dpkg-query -W -f '${db:Status-Abbrev} ${Version}' "$2" 2>/dev/null || true)
[ "$said" != "ii  $3" ] || exit 0
index=$1/dists/$5/main/binary-$(dpkg --print-architecture)/Packages.gz
file=$(mktemp)
trap 'rm -f "$file"' EXIT
fetch "$index" "$file" 2>/dev/null || { echo "nothing for $4 $5: $index does not answer"; exit 1; }
zcat "$file" | awk -v name="$2" -v version="$3" '
  $1 == "Package:" {p = $2} $1 == "Version:" {if (p == name && $2 == version) found = 1} END {exit !found}' ||
  { echo "no $2 $3 for $4 $5"; exit 1; }
