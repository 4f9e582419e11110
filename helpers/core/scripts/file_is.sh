# The file $1 has SHA-256 $2, and mode and owner $3.
sum=$(sha256sum "$1" | cut -d" " -f1) || true
[ "$sum" = "$2" ] || { echo "$1: content differs from what we write"; exit 1; }
[ "$(stat -c '%a %U:%G' "$1")" = "$3" ] || { stat -c "%n: %a %U:%G instead of $3" "$1"; exit 1; }
